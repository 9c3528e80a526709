"""Every hash a model is known by: compute them from a file, and interpret one that a person typed.

Definitions after Civitai's scanner, AUTOMATIC1111's web UI and kohya's trainer.
"""

from __future__ import annotations

import errno
import os
import re
from typing import TYPE_CHECKING, NamedTuple, Protocol

from mlib.core.disk.storage import expect_file, open_for_reading, read_unchanged

# Modules that only `compute` needs are imported there, so that interpreting a hash does not slow start-up.

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO


#: The names of the hashes, in display order.
NAMES = ("sha256", "autov1", "autov2", "autov3", "sha256_12", "crc32", "blake3", "xxh3")
#: Digits of an AutoV3 that are shown and compared; elsewhere the whole hash is also used.
AUTOV3_DIGITS = 12

#: AutoV1 hashes 64 KiB after the first MiB, and is undefined for files under 2 MiB.
_AUTOV1_START = 0x100000
_AUTOV1_END = 0x110000
_AUTOV1_MIN_SIZE = 0x200000

#: SHA-256 of no bytes: the AutoV1 or AutoV3 that careless tools give to files without one.
_OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

_TYPED = re.compile(rf"(?:(?:{'|'.join(NAMES)})\s*:\s*)?(?:0x)?([0-9a-f]{{4,64}})", re.ASCII | re.IGNORECASE)
#: The hashes with a given number of digits, SHA-256 or its prefix first; other lengths are such a prefix.
_MEANINGS = {
    8: ("sha256", "autov1", "crc32"),
    10: ("autov2",),
    12: ("sha256_12", "autov3"),
    64: ("sha256", "autov3", "blake3"),
}


class Hashes(NamedTuple):
    """The hashes of one file in lower-case hex; None if a hash is not defined for it.

    `autov1` has 8 digits and is None under 2 MiB. `autov3` has all 64 digits, of which the first
    AUTOV3_DIGITS are shown and compared; it is None unless the file is safetensors with tensors. `crc32` has
    8 digits in Civitai's byte order, lowest first. `blake3` has 64 and is None if it was not computed. `xxh3`
    is the 128-bit variant, 32 digits.
    """

    sha256: str
    autov1: str | None
    autov3: str | None
    crc32: str
    blake3: str | None
    xxh3: str

    @property
    def autov2(self) -> str:
        """The first 10 digits of the SHA-256."""
        return self.sha256[:10]

    @property
    def sha256_12(self) -> str:
        """The first 12 digits of the SHA-256, as Forge writes it."""
        return self.sha256[:12]


def meanings(text: str) -> tuple[tuple[str, str], ...]:
    """The hashes that typed text may be, (name, lower-case hex), most likely first; empty if it is none.

    A `sha256` of fewer than 64 digits is a prefix of one, an `autov3` of 12 likewise. White space, `0x` and a
    hash name with a colon may precede it; only the number of digits counts, since many lists misname hashes.
    """
    match = _TYPED.fullmatch(text.strip())
    if match is None:
        return ()
    digits = match[1].lower()
    names = _MEANINGS.get(len(digits), ("sha256",))
    of_nothing = _OF_NOTHING.startswith(digits)
    return tuple((name, digits) for name in names if not (of_nothing and name in {"autov1", "autov3"}))


class _Digest(Protocol):
    """The common interface of hashlib, xxhash and blake3."""

    def update(self, data: memoryview, /) -> object: ...

    def hexdigest(self) -> str: ...


class _Crc32:
    """CRC-32 as a digest in Civitai's byte order, lowest first."""

    def __init__(self) -> None:
        from zlib import crc32

        self._function = crc32
        self._value = 0

    def update(self, data: memoryview, /) -> None:
        self._value = self._function(data, self._value)

    def hexdigest(self) -> str:
        return self._value.to_bytes(4, "little").hex()


class _Part(NamedTuple):
    """The bytes from `start` to `end` of a file, and the digest that they feed."""

    digest: _Digest
    start: int
    end: int


def compute(
    path: str,
    *,
    advance: Callable[[int], None],
    with_blake3: bool | None = None,
    view: memoryview | None = None,
) -> Hashes | None:
    """Compute all hashes of a regular file in one pass; None if it changed meanwhile.

    `advance` is called with the size of each chunk; an exception from it stops the reading. BLAKE3 is
    computed if its package is installed; with `with_blake3` False never, with True always, or ImportError is
    raised. `view` is the buffer to read into. Raises OSError, also if it is not a regular file.

    Runs on the caller's thread: to use several cores, hash several files at once, each with its own `view`.
    """
    if view is None:
        view = _new_buffer()
    expect_file(_status(path), path)
    with open_for_reading(path) as file:
        before = os.fstat(file.fileno())
        expect_file(before, path)
        parts = _parts(file, before.st_size, with_blake3=with_blake3)

        def take(at: int, chunk: memoryview) -> None:
            for digest, start, end in parts.values():
                if start < at + len(chunk) and at < end:
                    digest.update(chunk[max(start - at, 0) : min(end - at, len(chunk))])
            advance(len(chunk))

        if read_unchanged(file, path, before, view=view, take=take) is None:
            return None
    found = {name: part.digest.hexdigest() for name, part in parts.items()}
    return Hashes(
        sha256=found["sha256"],
        autov1=found["autov1"][:8] if "autov1" in found else None,
        autov3=found.get("autov3"),
        crc32=found["crc32"],
        blake3=found.get("blake3"),
        xxh3=found["xxh3"],
    )


def _new_buffer() -> memoryview:
    import mmap

    from mlib.core.disk.readers import BUFFER_BYTES

    return memoryview(mmap.mmap(-1, BUFFER_BYTES))  # whole pages: see `readers`


def _status(path: str) -> os.stat_result:
    try:
        return os.stat(path)
    except ValueError as error:  # a null byte or unpaired surrogate: not a possible file name
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from error


def _parts(file: BinaryIO, size: int, *, with_blake3: bool | None) -> dict[str, _Part]:
    """The digests for a file of `size` bytes by name, each with the part that it covers."""
    from hashlib import sha256

    from xxhash import xxh3_128

    whole: dict[str, _Digest] = {"sha256": sha256(), "crc32": _Crc32(), "xxh3": xxh3_128()}
    if blake3 := _blake3(wanted=with_blake3):
        whole["blake3"] = blake3
    parts = {name: _Part(digest, 0, size) for name, digest in whole.items()}
    if size >= _AUTOV1_MIN_SIZE:
        parts["autov1"] = _Part(sha256(), _AUTOV1_START, _AUTOV1_END)
    if tensors_start := _tensors_start(file, size):
        parts["autov3"] = _Part(sha256(), tensors_start, size)
    return parts


def _blake3(*, wanted: bool | None) -> _Digest | None:
    if wanted is False:
        return None
    try:
        from blake3 import blake3
    except ImportError:
        if wanted:
            raise
        return None
    return blake3()


def _tensors_start(file: BinaryIO, size: int) -> int | None:
    """The offset of the tensor bytes in a safetensors file; None if it is another format or has none."""
    from mlib.core.formats.cursor import read_at
    from mlib.core.formats.sniff import MAX_SAFETENSORS_HEADER, sniff

    header_size = int.from_bytes(read_at(file, 0, 8), "little")
    start = 8 + header_size
    if header_size > MAX_SAFETENSORS_HEADER or start >= size or sniff(file, size) != "safetensors":
        return None
    return start
