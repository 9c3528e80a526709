"""The JSON of a safetensors header, taken apart member by member: it may be 100 MB long.

Accepts exactly what the safetensors library (0.8, serde_json underneath) accepts, except that values in
`__metadata__` may be other than text, and that the limits below hold. Of equal keys the last one counts.
"""

from __future__ import annotations

import codecs
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from mlib.core.formats.reading import shown
from mlib.core.formats.safetensors_patterns import patterns
from mlib.core.formats.safetensors_plain import Layout, PlainTensors, remembered
from mlib.core.formats.safetensors_tensor import BadHeader, byte_size, described, makes_sense
from mlib.core.jsontext import Members, Number, depth, dump

if TYPE_CHECKING:
    from mlib.core.jsontext import Json

_METADATA = "__metadata__"
_MAX_LEVELS = 127  # of serde_json, the header itself included

# What no real header comes near, so that a hostile one costs neither a second nor 256 MB.
_MAX_ENTRIES = 100_000
_MAX_BACKSLASHES = 5_000_000
_MAX_METADATA = 12 * 2**20
_MAX_TEXT = 6 * 2**20
_MAX_ODD = 2 * 2**20
_ODD_COST = 100

#: How much is decoded to find one unusual value's end: most are short.
_WINDOWS = (2**8, 2**12, 2**17)


@dataclass(slots=True)
class Contents(Layout):
    """What a header holds. Metadata keys: `coerced` had a value that was no text, `dropped` one too long to
    keep (with its length in bytes); `repeated` keys, of metadata or tensors, came twice.
    """

    metadata: dict[str, str] = field(default_factory=dict)
    coerced: list[str] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    repeated: list[str] = field(default_factory=list)


def parse(header: bytes) -> Contents:
    """The contents of a header's JSON. Raises BadHeader."""
    _check_text(header)
    reading = _Reading(header)
    reading.members()
    contents = reading.contents
    if len({tensor.name for tensor in contents.tensors}) < len(contents.tensors):
        _keep_last(contents)
    return contents


def _check_text(header: bytes) -> None:
    if b"\0" in header:
        raise BadHeader("there are zeros in it: it has not been written completely")
    if header.count(b"\\") > _MAX_BACKSLASHES:
        raise BadHeader("too many escapes")
    if header.isascii():
        return
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(header), 2**20):
            decoder.decode(header[start : start + 2**20])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise BadHeader("it is not UTF-8") from None


def _keep_last(contents: Contents) -> None:
    """Of tensors with one name keep the last. The others need not fit the data, but must make sense."""
    last = {tensor.name: place for place, tensor in enumerate(contents.tensors)}
    for place, tensor in enumerate(contents.tensors):
        if last[tensor.name] != place:
            contents.repeated.append(tensor.name)
            if not makes_sense(tensor, contents.begins[place], contents.ends[place]):
                raise BadHeader(f"{shown(tensor.name)} has no sound dtype, shape and data_offsets")
    places = sorted(last.values())
    contents.tensors = [contents.tensors[place] for place in places]
    contents.begins = [contents.begins[place] for place in places]
    contents.ends = [contents.ends[place] for place in places]
    contents.sizes = [contents.sizes[place] for place in places]


class _Reading:
    """One pass over a header."""

    def __init__(self, header: bytes) -> None:
        self.header = header
        self.contents = Contents()
        self._patterns = patterns()
        self._decoder = json.JSONDecoder(
            parse_int=_number, parse_float=_number, parse_constant=_no_number, object_pairs_hook=Members
        )
        self._plain = PlainTensors(header)
        self._metadata_left = _MAX_METADATA
        self._odd_left = _MAX_ODD
        self._has_metadata = False

    def members(self) -> None:
        opening = self._patterns.opening.match(self.header)
        if opening is None:
            raise BadHeader("it is no JSON object")
        at, more = opening.end(), not opening[1]
        while more:
            layout, at, more = self._tensors(self._skip(at))
            self.contents.add(layout)
            if more:
                at, more = self._odd_member(at)
        if self._skip(at) < len(self.header):
            raise BadHeader(f"there is more after the JSON, at byte {at:,}")

    def _tensors(self, at: int) -> tuple[Layout, int, bool]:
        """Plain tensors; what follows the metadata is often as it was in another file."""
        if self._has_metadata and not self.contents.tensors:
            return remembered(self.header, at)
        return self._plain.take(at)

    def _odd_member(self, at: int) -> tuple[int, bool]:
        """Take any other member: metadata, or a tensor written in an unusual way."""
        key, at = self._key(at)
        if key == _METADATA:
            if self._has_metadata:
                raise BadHeader("it has two __metadata__")
            self._has_metadata = True
            return self._more(self._metadata(at))
        value, end = self._value(at, levels=1)
        tensor, begins, ends = described(key, value)
        self.contents.tensors.append(tensor)
        self.contents.begins.append(begins)
        self.contents.ends.append(ends)
        self.contents.sizes.append(byte_size(tensor.dtype, tensor.shape))
        self.contents.check()
        return self._more(end)

    def _key(self, at: int) -> tuple[str, int]:
        match = self._patterns.key.match(self.header, at)
        if match is None:
            self._bad(at)
        start, end = match.span(1)
        return self._name(start, end), match.end()

    def _name(self, start: int, end: int) -> str:
        self.contents.names_size += end - start
        self.contents.check()
        return _text(self.header[start:end])

    def _more(self, at: int) -> tuple[int, bool]:
        match = self._patterns.closing.match(self.header, at)
        if match is None:
            self._bad(at)
        return match.end(), match[1] == b","

    def _skip(self, at: int) -> int:
        match = self._patterns.space.match(self.header, at)
        return at if match is None else match.end()

    def _metadata(self, at: int) -> int:
        if self.header.startswith(b"null", at):
            return at + 4
        opening = self._patterns.opening.match(self.header, at)
        if opening is None:
            raise BadHeader("its __metadata__ is no JSON object")
        at, more = opening.end(), not opening[1]
        for _ in range(_MAX_ENTRIES):
            if not more:
                return at
            match = self._patterns.entry.match(self.header, at)
            if match is None:
                at, more = self._odd_entry(at)
            else:
                self._enter(self._name(*match.span(1)), match.start(2), match.end(2))
                at, more = match.end(), match[3] == b","
        raise BadHeader(f"more than {_MAX_ENTRIES:,} entries in __metadata__")

    def _odd_entry(self, at: int) -> tuple[int, bool]:
        key, at = self._key(at)
        value, end = self._value(at, levels=2)
        self.contents.coerced.append(key)
        self._enter(key, at, end, dump(value))
        return self._more(end)

    def _enter(self, key: str, start: int, end: int, text: str | None = None) -> None:
        """Keep an entry of metadata whose value lies between `start` and `end`, if there is room for it."""
        metadata, dropped = self.contents.metadata, self.contents.dropped
        if key in metadata or key in dropped:
            self.contents.repeated.append(key)
        if end - start > min(self._metadata_left, _MAX_TEXT):
            metadata.pop(key, None)
            dropped[key] = end - start
            return
        dropped.pop(key, None)
        self._metadata_left -= end - start
        metadata[key] = _text(self.header[start:end]) if text is None else text

    def _value(self, at: int, *, levels: int) -> tuple[Json, int]:
        """Any JSON value, `levels` deep already, and where it ends."""
        for window in _WINDOWS:
            # The header is UTF-8, so only a character cut in two at the end is ignored.
            text = self.header[at : at + window].decode("utf-8", "ignore")
            all_there = at + window >= len(self.header)
            try:
                value, length = self._decoder.raw_decode(text)
            except RecursionError:
                raise BadHeader("nested too deeply") from None
            except ValueError:
                if all_there:
                    self._bad(at)
                continue
            if length < len(text) or all_there:
                break
        else:
            self._bad(at)
        end = at + len(text[:length].encode())
        self._odd_left -= _ODD_COST + end - at
        if self._odd_left < 0:
            raise BadHeader("too much of it is written in an unusual way")
        # No value is deeper than its text has brackets, and counting those costs next to nothing.
        brackets = text.count("[") + text.count("{")
        if brackets > _MAX_LEVELS - levels and depth(value) > _MAX_LEVELS - levels:
            raise BadHeader("nested too deeply")
        if any(match[1] for match in self._patterns.surrogate.finditer(self.header, at, end)):
            raise BadHeader(f"half a character at byte {at:,}")
        return value, end

    def _bad(self, at: int) -> NoReturn:
        raise BadHeader(f"it is no valid JSON, or too long a value, at byte {at:,}")


def _text(quoted: bytes) -> str:
    if b"\\" not in quoted:
        return quoted[1:-1].decode()
    text: str = json.loads(quoted)
    return text


def _number(literal: str) -> Number:
    if float(literal) in (float("inf"), float("-inf")):
        raise ValueError("number out of range")
    return Number(literal)


def _no_number(literal: str) -> NoReturn:
    raise ValueError(f"{literal} is no number in JSON")
