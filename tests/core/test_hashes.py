from __future__ import annotations

import errno
import hashlib
import os
import socket
import struct
import subprocess
import sys
import time
import tracemalloc
import zlib
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from blake3 import blake3
from tests.model_files import framed, gguf, zip_archive
from tests.tools import safetensors, set_age, write_bytes
from xxhash import xxh3_128_hexdigest

from mlib.core.disk.hashing import Hashed, hash_once
from mlib.core.disk.readers import BUFFER_BYTES
from mlib.core.disk.uncached import reread
from mlib.core.hashes import AUTOV3_DIGITS, NAMES, Hashes, compute, meanings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MIB = 1 << 20
LENGTHS = {
    "sha256": 64,
    "autov1": 8,
    "autov2": 10,
    "autov3": 64,
    "sha256_12": 12,
    "crc32": 8,
    "blake3": 64,
    "xxh3": 32,
}
NOTHING = hashlib.sha256(b"").hexdigest()


def computed(path: Path, *, with_blake3: bool | None = None) -> Hashes:
    hashes = compute(str(path), advance=lambda _size: None, with_blake3=with_blake3)
    assert hashes is not None
    return hashes


def hashes_of(tmp_path: Path, content: bytes) -> Hashes:
    write_bytes(tmp_path / "a.bin", content)
    return computed(tmp_path / "a.bin")


def noise(size: int) -> bytes:
    return hashlib.shake_128(b"seed").digest(size)


# --- the digests --------------------------------------------------------------------------------------------

SIZES = [
    0,
    1,
    MIB - 1,
    MIB,
    MIB + 1,
    0x110000 - 1,
    0x110000,
    0x110000 + 1,
    2 * MIB - 1,
    2 * MIB,
    2 * MIB + 1,
    3 * MIB + 7,
]


@pytest.mark.parametrize("size", SIZES)
def test_every_hash_is_what_its_definition_says(tmp_path: Path, size: int) -> None:
    content = noise(size)
    assert hashes_of(tmp_path, content) == Hashes(
        sha256=hashlib.sha256(content).hexdigest(),
        autov1=hashlib.sha256(content[0x100000:0x110000]).hexdigest()[:8] if size >= 2_097_152 else None,
        autov3=None,
        crc32=struct.pack("<I", zlib.crc32(content)).hex(),
        blake3=blake3(content).hexdigest(),
        xxh3=xxh3_128_hexdigest(content),
    )


def test_values_known_from_elsewhere(tmp_path: Path) -> None:
    """From the publications of SHA-2 and BLAKE3, and Civitai's order of a CRC-32's bytes."""
    hashes = hashes_of(tmp_path, b"hello world")
    assert hashes.crc32 == "85114a0d"
    assert hashes.blake3 == "d74981efa70a0c880b8d8c1985d075dbcbf679b99a5f9914e5aaf96b831a9e24"
    assert hashes.sha256 == "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"
    assert hashes.autov2 == "b94d27b993"
    assert hashes.sha256_12 == "b94d27b9934d"


def test_a_crc32_keeps_its_leading_zeros(tmp_path: Path) -> None:
    content = next(text for text in map(b"%d".__mod__, range(10**6)) if zlib.crc32(text) & 0xFF == 0)
    crc32 = hashes_of(tmp_path, content).crc32
    assert len(crc32) == 8
    assert crc32.startswith("00")


def test_each_name_is_one_of_a_record_that_cannot_be_changed(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a.bin", safetensors("a", size=2 * MIB))
    hashes = computed(tmp_path / "a.bin")
    lengths = {name: len(getattr(hashes, name)) for name in NAMES}
    assert list(lengths) == [*LENGTHS]
    assert lengths == LENGTHS
    with pytest.raises(AttributeError):
        hashes.sha256 = ""  # type: ignore[misc]


def test_a_scan_finds_the_same(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a.safetensors", safetensors("a", size=5 * MIB))
    hashed = hash_once(
        str(tmp_path / "a.safetensors"), view=memoryview(bytearray(BUFFER_BYTES)), advance=lambda _size: None
    )
    assert isinstance(hashed, Hashed)
    hashes = computed(tmp_path / "a.safetensors")
    assert (hashes.sha256, hashes.xxh3) == (hashed.sha256, hashed.xxh3)


# --- AutoV3 -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 9, MIB, 3 * MIB])
def test_autov3_is_the_sha256_of_the_tensors_alone(tmp_path: Path, size: int) -> None:
    data = noise(size)
    header = b'{"a":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}' % (size, size)
    assert hashes_of(tmp_path, framed(header) + data).autov3 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("length", [BUFFER_BYTES - 9, BUFFER_BYTES - 8, BUFFER_BYTES - 7, 2 * BUFFER_BYTES])
def test_autov3_after_a_header_that_fills_the_buffer(tmp_path: Path, length: int) -> None:
    header = b'{"a":{"dtype":"U8","shape":[9],"data_offsets":[0,9]}}'.ljust(length)
    assert (
        hashes_of(tmp_path, framed(header) + b"123456789").autov3 == hashlib.sha256(b"123456789").hexdigest()
    )


def test_a_changed_header_leaves_autov3_and_changes_what_is_of_the_whole_file(tmp_path: Path) -> None:
    before = hashes_of(tmp_path, safetensors("a", size=3 * MIB))
    after = hashes_of(tmp_path, safetensors("a", size=3 * MIB, metadata={"modelspec.title": "b"}))
    assert after.autov3 == before.autov3 is not None
    for name in set(NAMES) - {"autov3"}:
        assert getattr(after, name) != getattr(before, name), name


def test_changed_tensors_change_autov3(tmp_path: Path) -> None:
    assert hashes_of(tmp_path, safetensors("a")).autov3 != hashes_of(tmp_path, safetensors("b")).autov3


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\2",
        struct.pack("<Q", 2),
        framed(b"{}"),
        framed(b'{"__metadata__":{"a":"b"}}'),
        framed(b"{}")[:-1],
        struct.pack("<Q", 3) + b"{}",
        struct.pack("<Q", 100_000_001) + b"{}" + b"data",
        struct.pack("<Q", 2**64 - 1) + b"{}" + b"data",
        struct.pack("<Q", 2**63) + b"{}" + b"data",
        struct.pack("<Q", 0) + b"{}" + b"data",
        framed(b"[]") + b"data",
        gguf(),
        zip_archive(size=9),
        b"\x80\2}." + b"x" * 100,
    ],
)
def test_no_autov3_without_tensors_or_a_sound_header(tmp_path: Path, content: bytes) -> None:
    hashes = hashes_of(tmp_path, content)
    assert hashes.autov3 is None
    assert hashes.sha256 == hashlib.sha256(content).hexdigest()


def test_a_header_of_the_greatest_length_is_sound_and_one_byte_more_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for length, sound in ((100_000_000, True), (100_000_001, False)):
        with path.open("wb") as file:
            file.write(struct.pack("<Q", length) + b"{}")
            file.truncate(8 + length)
            file.seek(8 + length)
            file.write(b"data")
        expected = hashlib.sha256(b"data").hexdigest() if sound else None
        assert computed(path, with_blake3=False).autov3 == expected


def test_a_zip_that_could_be_a_length_is_no_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with path.open("wb") as file:
        file.write(b"PK\3\4\0\0\0\0{}")
        file.truncate(70_000_000)
    started = time.process_time()
    assert computed(path, with_blake3=False).autov3 is None
    assert time.process_time() - started < 5


# --- BLAKE3 is optional -------------------------------------------------------------------------------------


def test_blake3_is_computed_where_it_is_wanted(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"x")
    assert computed(tmp_path / "a", with_blake3=False).blake3 is None
    for wanted in (None, True):
        assert computed(tmp_path / "a", with_blake3=wanted).blake3 == blake3(b"x").hexdigest()


def test_without_its_package_all_the_others_are_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bytes(tmp_path / "a", safetensors("a", size=2 * MIB))
    with_it = computed(tmp_path / "a")
    monkeypatch.setitem(sys.modules, "blake3", None)
    assert computed(tmp_path / "a") == with_it._replace(blake3=None)
    with pytest.raises(ImportError):
        computed(tmp_path / "a", with_blake3=True)


# --- a file that changes meanwhile --------------------------------------------------------------------------


def rewritten(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"changed")


def rewritten_with_its_old_mtime(path: Path) -> None:
    before = path.stat().st_mtime_ns
    rewritten(path)
    os.utime(path, ns=(before, before))


def grown(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def truncated(path: Path) -> None:
    os.truncate(path, MIB + 1)


def replaced(path: Path) -> None:
    write_bytes(path.with_name("new"), path.read_bytes())
    path.with_name("new").replace(path)


def removed(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    "change",
    [rewritten, rewritten_with_its_old_mtime, grown, truncated, replaced, removed],
    ids=lambda change: change.__name__,
)
@pytest.mark.parametrize("when", [1, 3])
def test_a_file_that_changes_while_it_is_read_has_no_hashes(
    tmp_path: Path, change: Callable[[Path], None], when: int
) -> None:
    path = tmp_path / "a.pt"
    write_bytes(path, b"x" * (3 * BUFFER_BYTES))
    chunks: list[int] = []

    def advance(size: int) -> None:
        chunks.append(size)
        if len(chunks) == when:
            change(path)

    assert compute(str(path), advance=advance) is None
    assert len(chunks) >= when


def test_a_link_that_is_turned_elsewhere_meanwhile_has_no_hashes(tmp_path: Path) -> None:
    """Neither file changes: only the path says that the bytes read are no longer its own."""
    for name in ("a", "b", "link"):
        write_bytes(tmp_path / name, b"x" * (2 * BUFFER_BYTES))

    def turn_to(name: str) -> None:
        (tmp_path / "link").unlink()
        (tmp_path / "link").symlink_to(name)

    turn_to("a")
    assert compute(str(tmp_path / "link"), advance=lambda _size: turn_to("b")) is None
    assert compute(str(tmp_path / "link"), advance=lambda _size: turn_to("b")) is not None


def test_a_file_that_does_not_tell_its_size_has_no_hashes() -> None:
    """What is under /proc looks empty."""
    assert compute("/proc/self/status", advance=lambda _size: None) is None


@pytest.mark.parametrize("how", ["compute", "hash_once", "reread"])
def test_a_file_that_grows_faster_than_it_is_read_is_given_up(tmp_path: Path, how: str) -> None:
    path = tmp_path / "a.pt"
    write_bytes(path, b"x" * 10)
    read: list[int] = []

    def advance(size: int) -> None:
        read.append(size)
        assert len(read) < 100, "it goes on for ever"
        with path.open("ab") as file:
            file.write(b"x" * 20)

    ways: dict[str, Callable[..., object]] = {"compute": compute, "hash_once": hash_once, "reread": reread}
    assert ways[how](str(path), advance=advance, view=memoryview(bytearray(10))) is None


# --- reading ------------------------------------------------------------------------------------------------


def test_progress_is_told_chunk_by_chunk_in_one_pass(tmp_path: Path) -> None:
    content = safetensors("a", size=3 * MIB)
    write_bytes(tmp_path / "a", content)
    chunks: list[int] = []
    compute(str(tmp_path / "a"), advance=chunks.append)
    assert sum(chunks) == len(content)
    assert chunks[0] == BUFFER_BYTES


def test_what_advance_raises_ends_the_reading_and_closes_the_file(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"x" * 4 * MIB)
    chunks: list[int] = []

    def advance(size: int) -> None:
        chunks.append(size)
        raise KeyboardInterrupt

    before = os.listdir("/proc/self/fd")
    with pytest.raises(KeyboardInterrupt):
        compute(str(tmp_path / "a"), advance=advance)
    assert len(chunks) == 1
    assert os.listdir("/proc/self/fd") == before


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with path.open("wb") as file:
        file.write(framed(b"{}"))
        file.truncate(48 * MIB)
    tracemalloc.start()
    try:
        computed(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MIB  # the buffer is not Python's


def test_a_file_is_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_bytes(path, safetensors("a"))
    set_age(path, 5000)
    before = path.stat()
    computed(path)
    after = path.stat()
    assert (before.st_mtime_ns, before.st_ctime_ns) == (after.st_mtime_ns, after.st_ctime_ns)


def test_a_link_is_hashed_as_what_it_leads_to(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"x")
    (tmp_path / "link").symlink_to("a")
    assert computed(tmp_path / "link") == computed(tmp_path / "a")


# --- what is no file ----------------------------------------------------------------------------------------


def refusal(path: str) -> OSError:
    started = time.monotonic()
    with pytest.raises(OSError) as caught:  # noqa: PT011 - which errno is what the tests are about
        compute(path, advance=lambda _size: None)
    assert time.monotonic() - started < 1
    assert caught.value.filename == path
    assert caught.value.strerror
    return caught.value


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert isinstance(refusal(str(tmp_path)), IsADirectoryError)


def test_a_fifo_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a")
    assert refusal(str(tmp_path / "a")).errno == errno.EINVAL


def test_a_fifo_that_took_a_files_place_at_the_last_moment_does_not_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bytes(tmp_path / "file", b"x")
    os.mkfifo(tmp_path / "a")
    status = os.stat(tmp_path / "file")
    with monkeypatch.context() as patched:
        patched.setattr("mlib.core.hashes._status", lambda _path: status)
        assert refusal(str(tmp_path / "a")).errno == errno.EINVAL


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null"])
def test_a_device_is_not_even_opened(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("mlib.core.hashes.open_for_reading", pytest.fail)
        assert refusal(path).errno == errno.EINVAL


def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind("a")
        assert refusal("a").errno == errno.EINVAL


@pytest.mark.parametrize("name", ["missing", "", "a\0b", "\ud800"])
def test_what_is_not_there_is_not_found(name: str) -> None:
    assert isinstance(refusal(name), FileNotFoundError)


# --- what a typed hash may stand for ------------------------------------------------------------------------

SHA = hashlib.sha256(b"x").hexdigest()


@pytest.mark.parametrize(
    ("length", "names"),
    [
        (4, ["sha256"]),
        (7, ["sha256"]),
        (8, ["sha256", "autov1", "crc32"]),
        (9, ["sha256"]),
        (10, ["autov2"]),
        (11, ["sha256"]),
        (12, ["sha256_12", "autov3"]),
        (13, ["sha256"]),
        (32, ["sha256"]),
        (63, ["sha256"]),
        (64, ["sha256", "autov3", "blake3"]),
    ],
)
def test_the_number_of_digits_decides(length: int, names: list[str]) -> None:
    assert meanings(SHA[:length]) == tuple((name, SHA[:length]) for name in names)
    assert meanings(SHA[:length].upper()) == meanings(SHA[:length])


@pytest.mark.parametrize(
    "text",
    [
        "2D711642B7",
        "  2d711642b7\r\n",
        "0x2d711642b7",
        "0X2D711642B7",
        "AutoV2:2D711642B7",
        "autov2: 2D711642B7",
        "AUTOV2 :\t0x2D711642B7 ",
        "sha256:2d711642b7",
        "blake3:2d711642b7",
        "\u00a02d711642b7\u2003",
        *(f"{name}:2d711642b7" for name in NAMES),
    ],
)
def test_what_stands_around_the_digits_is_taken_off(text: str) -> None:
    assert meanings(text) == (("autov2", "2d711642b7"),)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "0x",
        "abc",
        "0xabc",
        "sha256:",
        "sha256:abc",
        SHA + "0",
        "0x" + SHA + "0",
        "abcg",
        "ab cd",
        "ab-cd",
        "abcd\nabcd",
        "md5:abcdabcd",
        "sha256:sha256:abcdabcd",
        "0x0xabcdabcd",
        ":abcdabcd",
        "\uff11\uff12\uff13\uff14",  # digits, but full-width ones
        "\u0661\u0662\u0663\u0664",
        "\u017fha256:abcdabcd",  # an old letter that counts as an s where case does not
        "abcd\ud800",
        "abcd\0",
        "urn:air:sdxl:checkpoint:civitai:827184@2514310",
        "https://civitai.com/api/v1/model-versions/by-hash/2d711642b7",
        "-abcd",
        "1e+10",
        "ab_cd",
    ],
)
def test_what_is_no_hash_means_nothing(text: str) -> None:
    assert meanings(text) == ()


@pytest.mark.parametrize("spelling", ["{}", "0x{}", "autov3:{}", "AutoV1: {}"])
def test_the_hash_of_nothing_is_no_tensor_hash(spelling: str) -> None:
    named = {length: meanings(spelling.format(NOTHING[:length].upper())) for length in range(4, 65)}
    names = {length: [name for name, _ in found] for length, found in named.items()}
    assert names.pop(8) == ["sha256", "crc32"]
    assert names.pop(10) == ["autov2"]
    assert names.pop(12) == ["sha256_12"]
    assert names.pop(64) == ["sha256", "blake3"]
    assert all(found == ["sha256"] for found in names.values())


def test_what_only_begins_like_the_hash_of_nothing_is_like_any_other() -> None:
    assert ("autov3", "e3b0c44298fd") in meanings("e3b0c44298fd")
    assert ("autov3", NOTHING[:-1] + "0") in meanings(NOTHING[:-1] + "0")
    assert ("autov1", "e3b0c443") in meanings("e3b0c443")


@pytest.mark.parametrize("text", [" " * 10**6 + "x", "sha256" + " " * 10**6, "a" * 10**6, "0x" * 10**6])
def test_a_long_text_takes_no_longer_than_it_is(text: str) -> None:
    started = time.process_time()
    assert meanings(text) == ()
    assert time.process_time() - started < 0.5


def test_every_hash_of_a_file_means_itself(tmp_path: Path) -> None:
    hashes = hashes_of(tmp_path, safetensors("a", size=2 * MIB))
    assert hashes.autov3 is not None
    for name in set(NAMES) - {"xxh3"}:
        value = getattr(hashes, name)
        assert (name, value) in meanings(value)
    assert ("autov3", hashes.autov3[:AUTOV3_DIGITS]) in meanings(hashes.autov3[:AUTOV3_DIGITS])


def test_understanding_a_hash_loads_nothing_that_computes_one() -> None:
    """Start-up time: `show` has to understand a hash and computes none."""
    code = "import sys; from mlib.core.hashes import meanings; meanings('abcd'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {
        "xxhash",
        "blake3",
        "hashlib",
        "mmap",
        "threading",
        "mlib.core.disk.hashing",
        "mlib.core.formats.sniff",
    }
    assert heavy & {*done.stdout.split()} == set()
