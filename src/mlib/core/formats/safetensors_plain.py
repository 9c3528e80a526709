"""Tensors of a safetensors header as every known writer puts them: many at once, by column."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from itertools import repeat
from typing import TypeAlias

from mlib.core.formats.header import Tensor
from mlib.core.formats.safetensors_patterns import patterns
from mlib.core.formats.safetensors_tensor import BadHeader, byte_size

# What no real header comes near, so that a hostile one costs neither a second nor 256 MB.
_MAX_TENSORS = 100_000
_MAX_NAMES = 16 * 2**20

#: How much is searched for tensors at once.
_NARROW, _WIDE = 2**10, 2**16
#: Files of one trainer have the same tensors: so many layouts are remembered, each of so many bytes at most.
_LAYOUTS = 16
_MAX_LAYOUT = 2**20

_RAW_METADATA = b"__metadata__"

#: dtype, shape, and how many bytes the two make.
_Kind: TypeAlias = tuple[str, tuple[int, ...], int | None]
#: Whole members, names, dtypes, shapes, begins, ends, separators.
_Columns: TypeAlias = tuple[tuple[bytes, ...], ...]


@dataclass(slots=True)
class Layout:
    """Tensors that lie in a row. Tensor by tensor: where its bytes begin and end, and how many its dtype and
    shape make (None: the dtype is unknown, or they make no number of whole bytes that 64 bits can tell).

    `names_size` is what their names take, in bytes.
    """

    tensors: list[Tensor] = field(default_factory=list)
    begins: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    sizes: list[int | None] = field(default_factory=list)
    names_size: int = 0

    def add(self, other: Layout) -> None:
        """Put the other's tensors behind these. Raises BadHeader where they become too many."""
        self.tensors += other.tensors
        self.begins += other.begins
        self.ends += other.ends
        self.sizes += other.sizes
        self.names_size += other.names_size
        self.check()

    def check(self) -> None:
        """Raise BadHeader for more than any model has."""
        if self.names_size > _MAX_NAMES:
            raise BadHeader("its names are too long")
        if len(self.tensors) > _MAX_TENSORS:
            raise BadHeader(f"more than {_MAX_TENSORS:,} tensors")


def remembered(header: bytes, at: int) -> tuple[Layout, int, bool]:
    """As `PlainTensors.take`, from memory if what follows `at` is as it was in another file."""
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
        """The tensors from `at` on, up to a member that is none, where that begins, and whether there is one.

        Raises BadHeader.
        """
        layout = Layout()
        while columns := self._run(at):
            whole, names, dtypes, shapes, begins, ends, separators = columns
            # No name of these holds a control character: all are decoded at once.
            texts = b"\n".join(names).decode().split("\n")
            known = map(self._kinds.__getitem__, zip(dtypes, shapes, strict=True))
            types, lengths, sizes = zip(*known, strict=True)
            # What Tensor() does, without a call in Python for each.
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
        """Plain tensors that follow one another from `at` on, within a window of the header, by column.

        One search for all of them takes half the time of a match for each, but may pass over members that are
        none: only what joins without a gap is believed, else just the first is taken and the window narrowed.
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
        """Whether all of them are tensors of this header, without a gap or a closing bracket between them."""
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
