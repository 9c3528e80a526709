"""Hashing files: stat, read, stat again, and believe the digest only if nothing moved in between."""

from __future__ import annotations

import hashlib
import mmap
import os
import queue
import stat
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xxhash import xxh3_128

from mlib.core.compare import stat_of
from mlib.core.inspection import inspect
from mlib.core.models import FoundFile, Hashed, Problem, Stat
from mlib.core.opening import open_for_reading
from mlib.core.storage import storage_of
from mlib.core.unfinished import unfinished_content
from mlib.core.walk import reason

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterator, Sequence

    from mlib.core.inspection import Inspection

#: 1 MiB: smaller reads lose to the GIL with two threads, larger ones to the cache.
BUFFER_BYTES = 1 << 20
#: How often a file that changes while it is read is tried again.
RETRIES = 2
#: A reader that has given nothing for this long is named to the user.
SLOW_SECONDS = 10.0


class _Stopped(Exception):
    """The caller does not want the rest."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of reading one file: exactly one of the two is set.

    A Problem with the code `unfinished` or `vanished` is no fault of anybody's.
    """

    file: FoundFile
    hashed: Hashed | None = None
    problem: Problem | None = None


class _Reader(threading.Thread):
    """One thread with one buffer. A daemon: a read that hangs must not keep the command from ending."""

    def __init__(
        self, waiting: deque[FoundFile], done: queue.SimpleQueue[Outcome], stop: threading.Event
    ) -> None:
        super().__init__(daemon=True)
        self.waiting = waiting
        self.done = done
        self.stop = stop
        self.bytes_read = 0
        self.reading: str | None = None
        self.moved_at = time.monotonic()

    def run(self) -> None:
        # Whole pages: copying from the page cache to 16 bytes past a page boundary, where malloc puts a large
        # bytearray, takes so much longer that hashing is a third slower.
        view = memoryview(mmap.mmap(-1, BUFFER_BYTES))
        while not self.stop.is_set():
            try:
                file = self.waiting.popleft()
            except IndexError:
                return
            self.reading = file.path
            self.moved_at = time.monotonic()
            try:
                outcome = self._identify(file, view)
            except _Stopped:
                return
            finally:
                self.reading = None
            self.done.put(outcome)

    def _identify(self, file: FoundFile, view: memoryview) -> Outcome:
        try:
            for _ in range(1 + RETRIES):
                result = hash_once(file.path, view=view, advance=self._advance)
                if result is not None:
                    return (
                        Outcome(file, hashed=result)
                        if isinstance(result, Hashed)
                        else Outcome(file, problem=result)
                    )
        except FileNotFoundError:
            return Outcome(file, problem=Problem(file.path, "vanished", "gone before it could be read"))
        except OSError as error:
            return Outcome(file, problem=Problem(file.path, "unreadable", f"cannot read it: {reason(error)}"))
        return Outcome(file, problem=Problem(file.path, "changing", "kept changing while it was read"))

    def _advance(self, size: int) -> None:
        self.bytes_read += size
        self.moved_at = time.monotonic()
        if self.stop.is_set():
            raise _Stopped


def hash_once(path: str, *, view: memoryview, advance: Callable[[int], None]) -> Hashed | Problem | None:
    """SHA-256, xxh3-128 and meaning of a whole regular file in one pass; None if it changed meanwhile.

    A Problem says why it is not to be hashed (no regular file, an unfinished download). Raises OSError.
    """
    started_at = time.time_ns() // 1_000_000
    with open_for_reading(path) as file:
        before = os.fstat(file.fileno())
        if why_not := _unready(file, path, before):
            return why_not
        inspection = _inspected(file, path, before.st_size)
        file.seek(0)
        sha256, xxh3, size = hashlib.sha256(), xxh3_128(), 0
        while count := file.readinto(view):
            chunk = view[:count]
            sha256.update(chunk)
            xxh3.update(chunk)
            size += count
            advance(count)
        after = os.fstat(file.fileno())
    if (
        size != before.st_size
        or _moments(before) != _moments(after)
        or stat_of(os.stat(path)) != stat_of(after)
    ):
        return None
    return Hashed(sha256.hexdigest(), xxh3.hexdigest(), stat_of(after), started_at, inspection)


def _inspected(file: io.FileIO, path: str, size: int) -> Inspection | None:
    """What the header means; None where reading it fails in a way that nobody foresaw.

    The caller asks again, and tells of it then.
    """
    try:
        return inspect(file, size, name=os.path.basename(path))
    except OSError:
        raise
    except Exception:  # noqa: BLE001 - a fault in a header's reader must not end a scan of all other files
        return None


def unready(path: str) -> Problem | None:
    """Why a file is not to be hashed (no regular file, an unfinished download), from its header alone.

    Raises OSError.
    """
    with open_for_reading(path) as file:
        return _unready(file, path, os.fstat(file.fileno()))


def _unready(file: io.FileIO, path: str, status: os.stat_result) -> Problem | None:
    if not stat.S_ISREG(status.st_mode):
        return Problem(path, "not_a_file", "neither a file nor a directory")
    if why := unfinished_content(file, status.st_size):
        return Problem(path, "unfinished", why)
    return None


def _moments(status: os.stat_result) -> tuple[Stat, int]:
    return stat_of(status), status.st_ctime_ns


def hash_files(
    files: Sequence[FoundFile],
    *,
    jobs: int | None = None,
    advanced: Callable[[int, str | None], None] = lambda _size, _slow: None,
) -> Iterator[Outcome]:
    """Hash `files` with a queue for each device, largest first, and yield each as it is done.

    `jobs` is the number of readers a device gets instead of what its kind suggests. `advanced` is called on
    the caller's thread a few times a second with the bytes read so far and the path of a file that hangs.
    Closing the iterator stops the readers after the chunk they are at; one that hangs is left behind.
    """
    stop = threading.Event()
    done: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
    readers = _readers(files, done, stop, jobs)
    for reader in readers:
        reader.start()
    try:
        for _ in range(len(files)):
            while True:
                try:
                    outcome = done.get(timeout=0.1)
                    break
                except queue.Empty:
                    if done.empty() and not any(reader.is_alive() for reader in readers):
                        raise RuntimeError("the readers ended before the files did") from None
                    advanced(_bytes_read(readers), _slowest(readers))
            advanced(_bytes_read(readers), None)
            yield outcome
    finally:
        stop.set()
        for reader in readers:
            reader.join(timeout=0.5)


def _readers(
    files: Sequence[FoundFile], done: queue.SimpleQueue[Outcome], stop: threading.Event, jobs: int | None
) -> list[_Reader]:
    queues: dict[int, list[FoundFile]] = {}
    for file in files:
        queues.setdefault(file.stat.device, []).append(file)
    readers = []
    for device, waiting in queues.items():
        ordered = deque(sorted(waiting, key=lambda file: file.stat.size_bytes, reverse=True))
        count = min(jobs or storage_of(device).readers, len(ordered))
        readers += [_Reader(ordered, done, stop) for _ in range(count)]
    return readers


def _bytes_read(readers: Sequence[_Reader]) -> int:
    return sum(reader.bytes_read for reader in readers)


def _slowest(readers: Sequence[_Reader]) -> str | None:
    long_ago = time.monotonic() - SLOW_SECONDS
    return next((r.reading for r in readers if r.reading is not None and r.moved_at < long_ago), None)
