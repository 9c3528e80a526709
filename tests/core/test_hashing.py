from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tools import safetensors, set_age, write_bytes, write_model
from xxhash import xxh3_128_hexdigest

from mlib.core.disk.compare import stat_of
from mlib.core.disk.hashing import Hashed, Outcome, hash_files, hash_once
from mlib.core.disk.readers import BUFFER_BYTES, Reader
from mlib.core.records import FoundFile, Problem, Root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Root(type="loras", path="/", origin="user")
SHM = Path("/dev/shm")


def file_at(path: Path) -> FoundFile:
    return FoundFile(str(path.parent), path.name, stat_of(os.stat(path)), ROOT)


def hashed(path: Path, advance: Callable[[int], None] = lambda _size: None) -> Hashed | Problem | None:
    return hash_once(str(path), view=memoryview(bytearray(BUFFER_BYTES)), advance=advance)


def outcome_of(path: Path) -> Outcome:
    (outcome,) = hash_files([file_at(path)])
    return outcome


def code_of(outcome: Outcome) -> str:
    assert outcome.problem is not None
    return outcome.problem.code


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if isinstance(thread, Reader)]


@pytest.fixture
def memory_disk() -> Iterator[Path]:
    """A folder on another device than the test's own."""
    folder = SHM / f"mlib-hashing-{os.getpid()}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


# --- the digests --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "size", [1, 2, BUFFER_BYTES - 1, BUFFER_BYTES, BUFFER_BYTES + 1, 3 * BUFFER_BYTES + 7]
)
def test_digests_are_those_of_hashlib_and_xxhash(tmp_path: Path, size: int) -> None:
    content = hashlib.shake_128(b"x").digest(size)
    write_bytes(tmp_path / "a.pt", content)
    result = hashed(tmp_path / "a.pt")
    assert isinstance(result, Hashed)
    assert result.sha256 == hashlib.sha256(content).hexdigest()
    assert result.xxh3 == xxh3_128_hexdigest(content)


@settings(max_examples=30)
@given(content=st.binary(min_size=1, max_size=300))
def test_digests_of_any_bytes(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.pt"
    path.write_bytes(content)
    result = hashed(path)
    if isinstance(result, Hashed):
        assert result.sha256 == hashlib.sha256(content).hexdigest()
    else:
        assert isinstance(result, Problem)
        assert result.code == "unfinished"


def test_a_hash_comes_with_the_stat_it_belongs_to_and_when_it_was_begun(tmp_path: Path) -> None:
    write_model(tmp_path / "a.safetensors")
    before = time.time() * 1000
    result = hashed(tmp_path / "a.safetensors")
    assert isinstance(result, Hashed)
    assert result.stat == stat_of(os.stat(tmp_path / "a.safetensors"))
    assert before - 1 <= result.started_at <= time.time() * 1000


def test_a_link_is_hashed_as_what_it_leads_to(tmp_path: Path) -> None:
    sha256 = write_model(tmp_path / "a.safetensors")
    (tmp_path / "link.safetensors").symlink_to(tmp_path / "a.safetensors")
    result = hashed(tmp_path / "link.safetensors")
    assert isinstance(result, Hashed)
    assert result.sha256 == sha256
    assert result.stat == stat_of(os.stat(tmp_path / "a.safetensors"))


# --- a file that changes meanwhile (promise 2) --------------------------------------------------------------


def during_the_read(action: Callable[[], object]) -> Callable[[int], None]:
    """An `advance` that acts once, after the first chunk was read."""
    actions = [action]

    def advance(_size: int) -> None:
        if actions:
            actions.pop()()

    return advance


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
    os.truncate(path, BUFFER_BYTES + 1)


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
def test_a_file_that_changes_while_it_is_read_has_no_hash(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """Promise 2: hashing is stat-hash-stat."""
    path = tmp_path / "a.pt"
    write_bytes(path, b"x" * (3 * BUFFER_BYTES))
    assert hashed(path, during_the_read(lambda: change(path))) is None


@contextmanager
def written_to(path: Path) -> Iterator[None]:
    """A program that changes the file all the time, and never has it open for writing for long."""
    begun, stop = threading.Event(), threading.Event()

    def write() -> None:
        moment = path.stat().st_mtime_ns
        while not stop.is_set():
            moment += 1_000_000
            os.utime(path, ns=(moment, moment))
            begun.set()

    writer = threading.Thread(target=write)
    writer.start()
    begun.wait()
    try:
        yield
    finally:
        stop.set()
        writer.join()


def test_a_file_that_keeps_changing_is_a_problem_and_no_hash(tmp_path: Path) -> None:
    """Promise 2: it is retried, then reported, never stored."""
    path = tmp_path / "a.pt"
    path.touch()
    os.truncate(path, 128 * BUFFER_BYTES)  # long enough for the writer to get its turn
    with written_to(path):
        outcome = outcome_of(path)
    assert outcome.hashed is None
    assert code_of(outcome) == "changing"


def test_a_file_that_comes_to_rest_is_read_again_and_hashed_as_it_is_then(tmp_path: Path) -> None:
    """Promise 2: the retry. The file is changed once, when the first reading is well under way."""
    path, size = tmp_path / "a.pt", 400 * BUFFER_BYTES
    path.touch()
    os.truncate(path, size)
    told: list[int] = []

    def advanced(read: int, _slow: str | None) -> None:
        if not told:
            rewritten(path)
        told.append(read)

    (outcome,) = hash_files([file_at(path)], advanced=advanced)
    assert 0 < told[0] < size < told[-1], "it must have been changed in the middle, and read again"
    assert outcome.hashed is not None
    with path.open("rb") as file:
        assert outcome.hashed.sha256 == hashlib.file_digest(file, "sha256").hexdigest()


# --- what is not hashed -------------------------------------------------------------------------------------


def test_a_file_that_vanished_before_its_turn_is_told_apart(tmp_path: Path) -> None:
    write_model(tmp_path / "a.pt")
    file = file_at(tmp_path / "a.pt")
    (tmp_path / "a.pt").unlink()
    (outcome,) = hash_files([file])
    assert code_of(outcome) == "vanished"


@pytest.mark.parametrize("content", [b"", safetensors("a", size=500)[:-1]], ids=["empty", "cut short"])
def test_an_unfinished_download_is_not_hashed(tmp_path: Path, content: bytes) -> None:
    """Promise 6."""
    write_bytes(tmp_path / "a.safetensors", content)
    assert code_of(outcome_of(tmp_path / "a.safetensors")) == "unfinished"


def test_a_fifo_that_took_a_files_place_does_not_hang(tmp_path: Path) -> None:
    """Promise 7."""
    write_model(tmp_path / "a.pt")
    file = file_at(tmp_path / "a.pt")
    (tmp_path / "a.pt").unlink()
    os.mkfifo(tmp_path / "a.pt")
    (outcome,) = hash_files([file])
    assert code_of(outcome) == "not_a_file"


def test_a_device_that_took_a_files_place_is_not_read(tmp_path: Path) -> None:
    """Promise 7: /dev/zero has no end."""
    write_model(tmp_path / "a.pt")
    file = file_at(tmp_path / "a.pt")
    (tmp_path / "a.pt").unlink()
    (tmp_path / "a.pt").symlink_to("/dev/zero")
    (outcome,) = hash_files([file])
    assert code_of(outcome) == "not_a_file"


def test_what_cannot_be_opened_is_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise 9: neither a folder nor a socket in a file's place stops the others."""
    monkeypatch.chdir(tmp_path)
    names = ["folder.pt", "socket.pt", "fine.pt"]
    for name in names:
        write_model(tmp_path / name)
    found = [file_at(tmp_path / name) for name in names]
    Path("folder.pt").unlink()
    Path("folder.pt").mkdir()
    Path("socket.pt").unlink()
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind("socket.pt")
        outcomes = {outcome.file.name: outcome for outcome in hash_files(found)}
    assert code_of(outcomes["folder.pt"]) == "unreadable"
    assert code_of(outcomes["socket.pt"]) == "unreadable"
    assert outcomes["fine.pt"].hashed is not None


# --- many files ---------------------------------------------------------------------------------------------


def test_every_file_has_one_outcome(tmp_path: Path) -> None:
    expected = {str(tmp_path / f"{n}.pt"): write_model(tmp_path / f"{n}.pt", size=n * 50) for n in range(40)}
    outcomes = list(hash_files([file_at(Path(path)) for path in expected], jobs=3))
    assert {outcome.file.path: outcome.hashed and outcome.hashed.sha256 for outcome in outcomes} == expected
    assert len(outcomes) == len(expected)


def test_no_files_are_no_outcomes() -> None:
    assert list(hash_files([])) == []


def test_files_of_several_devices_are_all_hashed(tmp_path: Path, memory_disk: Path) -> None:
    paths = [tmp_path / "a.pt", memory_disk / "b.pt", tmp_path / "c.pt", memory_disk / "d.pt"]
    expected = {write_model(path) for path in paths}
    assert len({path.stat().st_dev for path in paths}) == 2, "the two folders must be on two devices"
    outcomes = list(hash_files([file_at(path) for path in paths], jobs=1))
    assert {outcome.hashed.sha256 for outcome in outcomes if outcome.hashed} == expected


def test_one_reader_takes_the_largest_first(tmp_path: Path) -> None:
    for n in (3, 1, 4, 2):
        write_bytes(tmp_path / f"{n}.pt", b"x" * n * 1000)
    outcomes = hash_files([file_at(path) for path in sorted(tmp_path.glob("*.pt"))], jobs=1)
    assert [outcome.file.name for outcome in outcomes] == ["4.pt", "3.pt", "2.pt", "1.pt"]


def test_progress_ends_at_the_bytes_read_and_is_told_on_the_callers_thread(tmp_path: Path) -> None:
    total = 0
    for n in range(5):
        write_bytes(tmp_path / f"{n}.pt", b"x" * 2 * BUFFER_BYTES)
        total += 2 * BUFFER_BYTES
    told: list[tuple[int, str | None, threading.Thread]] = []
    files = [file_at(path) for path in sorted(tmp_path.glob("*.pt"))]
    list(hash_files(files, advanced=lambda size, slow: told.append((size, slow, threading.current_thread()))))
    sizes = [size for size, _, _ in told]
    assert sizes == sorted(sizes)
    assert sizes[-1] == total
    assert {(slow, thread) for _, slow, thread in told} == {(None, threading.current_thread())}


def test_closing_the_iterator_stops_the_readers(tmp_path: Path) -> None:
    """What Ctrl-C does: nobody reads on behind the user's back."""
    for n in range(8):
        with (tmp_path / f"{n}.pt").open("wb") as file:
            file.truncate(2**33 + n)  # sparse: minutes of zeros
    write_model(tmp_path / "small.safetensors")
    small = file_at(tmp_path / "small.safetensors")
    big = [file_at(path) for path in sorted(tmp_path.glob("*.pt"))]
    outcomes = hash_files([small, *(file for file in big)], jobs=9)
    assert next(outcomes).file == small
    assert readers()
    outcomes.close()  # type: ignore[attr-defined]
    assert not readers()


# --- a read that hangs --------------------------------------------------------------------------------------

READ_BOTH = """
import os, sys
from mlib.core.disk import hashing, readers
from mlib.core.disk.compare import stat_of
from mlib.core.records import FoundFile, Root

readers.SLOW_SECONDS = 0.3
root = Root(type="loras", path="/", origin="user")
files = [FoundFile(os.path.dirname(p), os.path.basename(p), stat_of(os.stat(p)), root) for p in sys.argv[1:]]
named = []
for outcome in hashing.hash_files(files, jobs=2, advanced=lambda _size, slow: named.append(slow)):
    print(outcome.file.name, sorted({os.path.basename(slow) for slow in named if slow}))
"""


@pytest.mark.faults
def test_a_read_that_hangs_is_named_and_keeps_no_other_waiting(tmp_path: Path) -> None:
    """A server that takes its time: strace delays the first read of one file."""
    hangs, fine = tmp_path / "hangs.safetensors", tmp_path / "fine.safetensors"
    write_model(hangs)
    write_model(fine)
    strace = ["strace", "-f", "-qq", "-o", str(tmp_path / "log"), "-P", str(hangs), "-e", "trace=read"]
    inject = ["-e", "inject=read:delay_enter=2s:when=1", sys.executable, "-c", READ_BOTH]
    done = subprocess.run([*strace, *inject, hangs, fine], capture_output=True, text=True, check=False)
    assert "DELAYED" in (tmp_path / "log").read_text(), done.stderr
    assert done.stdout.splitlines() == ["fine.safetensors []", "hangs.safetensors ['hangs.safetensors']"]


def test_a_file_of_an_age_is_not_touched_by_being_hashed(tmp_path: Path) -> None:
    """Promise 8: no model file is written to; its dates say so."""
    write_model(tmp_path / "a.safetensors")
    set_age(tmp_path / "a.safetensors", 5000)
    before = os.stat(tmp_path / "a.safetensors")
    outcome_of(tmp_path / "a.safetensors")
    after = os.stat(tmp_path / "a.safetensors")
    assert (before.st_mtime_ns, before.st_ctime_ns, before.st_size) == (
        after.st_mtime_ns,
        after.st_ctime_ns,
        after.st_size,
    )
