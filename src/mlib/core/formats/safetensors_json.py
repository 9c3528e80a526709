"""Parse the JSON of a safetensors header, which may be 100 MB long, member by member.

Tensors written as every known writer does are read many at once with a regular expression, all other members
one by one. Accepts exactly what the safetensors library (0.8, on serde_json) accepts, except that values in
`__metadata__` need not be text, and that the limits below apply. Of equal keys the last one counts.
"""

from __future__ import annotations

import codecs
import functools
import json
import re
from dataclasses import dataclass, field
from itertools import repeat
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from mlib.core.formats.cursor import shown
from mlib.core.formats.header import Tensor
from mlib.core.jsontext import Members, Number, depth, dump

if TYPE_CHECKING:
    from mlib.core.jsontext import Json


# --- Patterns over the header's bytes, none of which backtracks


@dataclass(frozen=True, slots=True)
class Patterns:
    """`tight` and `loose` match a tensor without and with white space, up to the next separator; `entry`
    matches a metadata entry with a text value; `surrogate` has a group for an unpaired surrogate.
    """

    tight: re.Pattern[bytes]
    loose: re.Pattern[bytes]
    entry: re.Pattern[bytes]
    key: re.Pattern[bytes]
    opening: re.Pattern[bytes]
    closing: re.Pattern[bytes]
    space: re.Pattern[bytes]
    number: re.Pattern[str]
    shape: re.Pattern[bytes]
    surrogate: re.Pattern[bytes]


@functools.cache
def patterns() -> Patterns:
    """The patterns, compiled when first needed. Grammar after RFC 8259."""
    space = rb"[ \t\n\r]*+"
    # Like serde_json, refuse unpaired surrogates.
    escape = (
        rb'\\(?:["\\/bfnrt]|u(?:[0-9A-CEFa-cef][0-9A-Fa-f]{3}|[dD][0-7][0-9A-Fa-f]{2}'
        rb"|[dD][89ABab][0-9A-Fa-f]{2}\\u[dD][C-Fc-f][0-9A-Fa-f]{2}))"
    )
    text = rb'"[^"\\\x00-\x1f]*+(?:%b[^"\\\x00-\x1f]*+)*+"' % escape
    number = rb"(0|[1-9][0-9]{0,19}+)"
    tensor = (
        rb'("([^"\\\x00-\x1f]{0,4096}+)"~:~\{~"dtype"~:~"([^"\\\x00-\x1f]{0,64}+)"~,~"shape"~:~\[([^]]{0,512}+)\]'
        rb'~,~"data_offsets"~:~\[~%b~,~%b~\]~\}~([,}])~)' % (number, number)
    )
    return Patterns(
        tight=re.compile(tensor.replace(b"~", b"")),
        loose=re.compile(tensor.replace(b"~", space)),
        entry=re.compile(rb"~(%b)~:~(%b)~([,}])".replace(b"~", space) % (text, text)),
        key=re.compile(rb"~(%b)~:~".replace(b"~", space) % text),
        opening=re.compile(rb"~\{~(\}?+)".replace(b"~", space)),
        closing=re.compile(rb"~([,}])".replace(b"~", space)),
        space=re.compile(space),
        number=re.compile(number.decode()),
        shape=re.compile(rb"~(?:%b~(?:,~%b~)*+)?+".replace(b"~", space) % (number, number)),
        surrogate=re.compile(
            rb"\\\\|\\u[dD][89ABab][0-9A-Fa-f]{2}\\u[dD][C-Fc-f][0-9A-Fa-f]{2}|(\\u[dD][89A-Fa-f])"
        ),
    )


# --- One tensor: its description and its size in bytes

_BITS_OF = {
    4: ("F4",),
    6: ("F6_E2M3", "F6_E3M2"),
    8: ("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"),
    16: ("I16", "U16", "F16", "BF16"),
    32: ("I32", "U32", "F32"),
    64: ("C64", "F64", "I64", "U64"),
}
#: Bits per element of every dtype that the safetensors library 0.8 knows.
BITS = {dtype: bits for bits, dtypes in _BITS_OF.items() for dtype in dtypes}
_MAX_U64 = 2**64 - 1
_FIELDS = ("dtype", "shape", "data_offsets")
_NATURAL = re.compile(r"0|[1-9][0-9]{0,19}")


class BadHeader(ValueError):
    """The header is not valid; the message says why in one line."""


def byte_size(dtype: str, shape: tuple[int, ...]) -> int | None:
    """The size of a tensor in bytes; None if its dtype is unknown or the size is not a whole 64-bit number.

    The lengths are multiplied in order: an overflow counts even if a zero follows.
    """
    bits = BITS.get(dtype)
    elements = 1
    for length in shape:
        elements *= length
        if elements > _MAX_U64 or length > _MAX_U64:
            return None
    if bits is None or elements * bits > _MAX_U64 or elements * bits % 8:
        return None
    return elements * bits // 8


def makes_sense(tensor: Tensor, begin: int, end: int) -> bool:
    """Whether the dtype is known and every number fits in 64 bits."""
    return tensor.dtype in BITS and max(begin, end, *tensor.shape) <= _MAX_U64


def described(name: str, value: Json) -> tuple[Tensor, int, int]:
    """Read a tensor and the start and end of its bytes, as leniently as serde's derived readers do.

    Raises BadHeader.
    """
    if isinstance(value, Members):
        known = [(key, inner) for key, inner in value if key in _FIELDS]
        by_key = dict(known)
        parts = [by_key[key] for key in _FIELDS if key in by_key] if len(known) == len(_FIELDS) else []
    else:
        parts = list(value) if isinstance(value, list) else []
    if len(parts) != len(_FIELDS):
        raise BadHeader(f"{shown(name)} does not have exactly dtype, shape and data_offsets")
    dtype, lengths, offsets = _variant(parts[0]), _naturals(parts[1]), _naturals(parts[2])
    if dtype is None or lengths is None or offsets is None or len(offsets) != 2:
        raise BadHeader(f"{shown(name)} has an invalid dtype, shape or data_offsets")
    return Tensor(name, dtype, lengths), offsets[0], offsets[1]


def _variant(value: Json) -> str | None:
    """An enum variant's name, which serde also accepts as `{name: null}`."""
    if isinstance(value, Members) and len(value) == 1 and value[0][1] is None:
        return value[0][0]
    return value if isinstance(value, str) and not isinstance(value, Number) else None


def _naturals(value: Json) -> tuple[int, ...] | None:
    if not isinstance(value, list) or isinstance(value, Members):
        return None
    if not all(isinstance(item, Number) and _NATURAL.fullmatch(item) for item in value):
        return None
    numbers = tuple(int(str(item)) for item in value)
    return None if any(number > _MAX_U64 for number in numbers) else numbers


# --- Plain tensors, as every known writer writes them: many at once, by column

# Far beyond any real header, so that a hostile one takes less than a second and 256 MB.
_MAX_TENSORS = 100_000
_MAX_NAMES = 16 * 2**20

#: Bytes searched for tensors at once.
_NARROW, _WIDE = 2**10, 2**16
#: Layouts cached, and the most bytes of one: files of one trainer have the same tensors.
_LAYOUTS = 16
_MAX_LAYOUT = 2**20

_RAW_METADATA = b"__metadata__"

#: dtype, shape and size in bytes.
_Kind: TypeAlias = tuple[str, tuple[int, ...], int | None]
#: Whole members, names, dtypes, shapes, begins, ends, separators.
_Columns: TypeAlias = tuple[tuple[bytes, ...], ...]


@dataclass(slots=True)
class Layout:
    """Consecutive tensors, with the start and end of the bytes of each, and the size by its dtype and shape
    (None if the dtype is unknown or the size is not a whole 64-bit number).

    `names_size` is the size of their names in bytes.
    """

    tensors: list[Tensor] = field(default_factory=list)
    begins: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    sizes: list[int | None] = field(default_factory=list)
    names_size: int = 0

    def add(self, other: Layout) -> None:
        """Append another layout's tensors. Raises BadHeader if there are too many."""
        self.tensors += other.tensors
        self.begins += other.begins
        self.ends += other.ends
        self.sizes += other.sizes
        self.names_size += other.names_size
        self.check()

    def check(self) -> None:
        """Raise BadHeader if a limit is exceeded."""
        if self.names_size > _MAX_NAMES:
            raise BadHeader("tensor names are too long")
        if len(self.tensors) > _MAX_TENSORS:
            raise BadHeader(f"more than {_MAX_TENSORS:,} tensors")


def remembered(header: bytes, at: int) -> tuple[Layout, int, bool]:
    """Like `PlainTensors.take`, but cached by the bytes from `at` on."""
    if len(header) - at > _MAX_LAYOUT:
        return PlainTensors(header).take(at)
    layout, length, more = _take_all(header[at:])
    return layout, at + length, more


@functools.lru_cache(maxsize=_LAYOUTS)
def _take_all(members: bytes) -> tuple[Layout, int, bool]:
    return PlainTensors(members).take(0)


class PlainTensors:
    """The plain tensors of one header, run by run."""

    def __init__(self, header: bytes) -> None:
        self._header = header
        self._patterns = patterns()
        self._kinds: dict[tuple[bytes, bytes], _Kind] = {}
        self._window = _WIDE

    def take(self, at: int) -> tuple[Layout, int, bool]:
        """Read the tensors from `at` up to the first other member; return them, its offset, and whether there
        is one.

        Raises BadHeader.
        """
        layout = Layout()
        while columns := self._run(at):
            whole, names, dtypes, shapes, begins, ends, separators = columns
            # None of these names has a control character, so all can be decoded at once.
            texts = b"\n".join(names).decode().split("\n")
            known = map(self._kinds.__getitem__, zip(dtypes, shapes, strict=True))
            types, lengths, sizes = zip(*known, strict=True)
            # Like Tensor(...), without a Python call for each.
            parts = zip(texts, types, lengths, strict=True)
            layout.tensors += map(tuple.__new__, repeat(Tensor), parts)
            layout.begins += map(int, begins)
            layout.ends += map(int, ends)
            layout.sizes += sizes
            layout.names_size += sum(map(len, names))
            layout.check()
            at += sum(map(len, whole))
            if separators[-1] == b"}":
                return layout, at, False
        return layout, at, True

    def _run(self, at: int) -> _Columns | None:
        """Find consecutive plain tensors from `at`, within a window of the header, by column.

        One search for all takes half the time of a match for each, but may skip other members: accept only
        matches that join without a gap, else take just the first and narrow the window.
        """
        for pattern in (self._patterns.tight, self._patterns.loose):
            if first := pattern.match(self._header, at):
                found = pattern.findall(self._header, at, max(first.end(), at + self._window))
                columns: _Columns = tuple(zip(*found, strict=True))
                self._window = min(4 * self._window, _WIDE)
                if self._joins(at, columns):
                    return columns
                self._window = _NARROW
                columns = tuple((group,) for group in first.groups())
                return columns if self._joins(at, columns) else None
        return None

    def _joins(self, at: int, columns: _Columns) -> bool:
        """Whether the matches are adjacent, without a gap or a closing brace between them."""
        whole, names, dtypes, shapes, _, _, separators = columns
        return (
            _RAW_METADATA not in names
            and b"}" not in separators[:-1]
            and self._header.startswith(b"".join(whole), at)
            and all(
                self._learn(*kind) for kind in set(zip(dtypes, shapes, strict=True)).difference(self._kinds)
            )
        )

    def _learn(self, raw_dtype: bytes, raw_shape: bytes) -> bool:
        if self._patterns.shape.fullmatch(raw_shape) is None:
            return False
        dtype = raw_dtype.decode()
        shape = tuple(map(int, raw_shape.split(b","))) if raw_shape.strip() else ()
        self._kinds[raw_dtype, raw_shape] = dtype, shape, byte_size(dtype, shape)
        return True


_METADATA = "__metadata__"
_MAX_LEVELS = 127  # serde_json's limit, including the header itself

# Far beyond any real header, so that a hostile one takes less than a second and 256 MB.
_MAX_ENTRIES = 100_000
_MAX_BACKSLASHES = 5_000_000
_MAX_METADATA = 12 * 2**20
_MAX_TEXT = 6 * 2**20
_MAX_ODD = 2 * 2**20
_ODD_COST = 100

#: Bytes decoded to find the end of an unusual value: most are short.
_WINDOWS = (2**8, 2**12, 2**17)


@dataclass(slots=True)
class Contents(Layout):
    """A header's content. `coerced` are metadata keys whose value was not text, `dropped` those whose value
    was too long to keep (with its length in bytes), `repeated` duplicate keys of metadata or tensors.
    """

    metadata: dict[str, str] = field(default_factory=dict)
    coerced: list[str] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    repeated: list[str] = field(default_factory=list)


def parse(header: bytes) -> Contents:
    """Parse a header's JSON. Raises BadHeader."""
    _check_text(header)
    reading = _Reading(header)
    reading.members()
    contents = reading.contents
    if len({tensor.name for tensor in contents.tensors}) < len(contents.tensors):
        _keep_last(contents)
    return contents


def _check_text(header: bytes) -> None:
    if b"\0" in header:
        raise BadHeader("contains null bytes: the file was not written completely")
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
        raise BadHeader("not UTF-8") from None


def _keep_last(contents: Contents) -> None:
    """Keep the last of tensors with the same name; the others must be valid but need not match the data."""
    last = {tensor.name: place for place, tensor in enumerate(contents.tensors)}
    for place, tensor in enumerate(contents.tensors):
        if last[tensor.name] != place:
            contents.repeated.append(tensor.name)
            if not makes_sense(tensor, contents.begins[place], contents.ends[place]):
                raise BadHeader(f"{shown(tensor.name)} has an invalid dtype, shape or data_offsets")
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
            raise BadHeader("not a JSON object")
        at, more = opening.end(), not opening[1]
        while more:
            layout, at, more = self._tensors(self._skip(at))
            self.contents.add(layout)
            if more:
                at, more = self._odd_member(at)
        if self._skip(at) < len(self.header):
            raise BadHeader(f"extra data after the JSON at byte {at:,}")

    def _tensors(self, at: int) -> tuple[Layout, int, bool]:
        """Read plain tensors, cached because what follows the metadata is often equal in other files."""
        if self._has_metadata and not self.contents.tensors:
            return remembered(self.header, at)
        return self._plain.take(at)

    def _odd_member(self, at: int) -> tuple[int, bool]:
        """Read any other member: metadata, or a tensor in unusual form."""
        key, at = self._key(at)
        if key == _METADATA:
            if self._has_metadata:
                raise BadHeader("duplicate __metadata__")
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
            raise BadHeader("__metadata__ is not a JSON object")
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
        """Keep a metadata entry whose value is at `start` to `end`, if there is room for it."""
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
        """Parse any JSON value at nesting level `levels`; return it and its end."""
        for window in _WINDOWS:
            # The header is valid UTF-8, so this ignores only a character cut in two at the end.
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
            raise BadHeader("too much unusual JSON")
        # A value is at most as deep as it has opening brackets, and counting those is cheap.
        brackets = text.count("[") + text.count("{")
        if brackets > _MAX_LEVELS - levels and depth(value) > _MAX_LEVELS - levels:
            raise BadHeader("nested too deeply")
        if any(match[1] for match in self._patterns.surrogate.finditer(self.header, at, end)):
            raise BadHeader(f"unpaired surrogate at byte {at:,}")
        return value, end

    def _bad(self, at: int) -> NoReturn:
        raise BadHeader(f"invalid JSON or too long a value at byte {at:,}")


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
    raise ValueError(f"{literal} is not a JSON number")
