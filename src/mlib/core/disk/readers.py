"""Reading many files at once: threads for each device, stopped after a chunk, never waited for."""

from __future__ import annotations

import mmap
import queue
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Generic, Protocol, TypeAlias, TypeVar

from mlib.core.disk.storage import storage_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

#: 1 MiB: smaller reads lose to the GIL with two threads, larger ones to the cache.
BUFFER_BYTES = 1 << 20
#: A reader that has given nothing for this long is named to the user.
SLOW_SECONDS = 10.0


class _Named(Protocol):
    @property
    def path(self) -> str: ...


_File = TypeVar("_File", bound=_Named)
_Found = TypeVar("_Found")
#: What is done to each file, on a reader's thread; it tells the last argument of every chunk that it reads.
Read: TypeAlias = "Callable[[_File, memoryview, Callable[[int], None]], _Found]"


class _Stopped(Exception):
    """The caller does not want the rest."""


class Pace:
    """A limit on the bytes that all readers together read in a second."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._lock = threading.Lock()
        self._free_at = time.monotonic()

    def wait_after(self, size: int) -> float:
        """Seconds to wait after reading so many bytes."""
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + size / self._rate
            return self._free_at - now


class Reader(threading.Thread, Generic[_File, _Found]):
    """One thread with one buffer. A daemon: a read that hangs must not keep the command from ending."""

    def __init__(
        self,
        waiting: deque[_File],
        read: Read[_File, _Found],
        done: queue.SimpleQueue[_Found],
        stop: threading.Event,
        pace: Pace | None,
    ) -> None:
        super().__init__(daemon=True)
        self.waiting = waiting
        self.read = read
        self.done = done
        self.stop = stop
        self.pace = pace
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
                found = self.read(file, view, self._advance)
            except _Stopped:
                return
            finally:
                self.reading = None
            self.done.put(found)

    def _advance(self, size: int) -> None:
        self.bytes_read += size
        if self.pace is not None:
            self.stop.wait(self.pace.wait_after(size))
        self.moved_at = time.monotonic()
        if self.stop.is_set():
            raise _Stopped


def read_files(
    queues: Mapping[int, Sequence[_File]],
    read: Read[_File, _Found],
    *,
    jobs: int | None = None,
    pace: Pace | None = None,
    advanced: Callable[[int, str | None], None] = lambda _size, _slow: None,
) -> Iterator[_Found]:
    """Do `read` to the files of each device, in the order given, and yield what it gives as it is done.

    `jobs` is the number of readers a device gets instead of what its kind suggests. `advanced` is called on
    the caller's thread a few times a second with the bytes read so far and the path of a file that hangs.
    Closing the iterator stops the readers after the chunk they are at; one that hangs is left behind.
    """
    stop = threading.Event()
    done: queue.SimpleQueue[_Found] = queue.SimpleQueue()
    readers: list[Reader[_File, _Found]] = []
    for device, files in queues.items():
        waiting = deque(files)
        count = min(jobs or storage_of(device).readers, len(waiting))
        readers += [Reader(waiting, read, done, stop, pace) for _ in range(count)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(sum(map(len, queues.values()))):
            while True:
                try:
                    found = done.get(timeout=0.1)
                    break
                except queue.Empty:
                    if done.empty() and not any(reader.is_alive() for reader in readers):
                        raise RuntimeError("the readers ended before the files did") from None
                    advanced(_bytes_read(readers), _slowest(readers))
            advanced(_bytes_read(readers), None)
            yield found
    finally:
        stop.set()
        for reader in readers:
            reader.join(timeout=0.5)


def _bytes_read(readers: Sequence[Reader[_File, _Found]]) -> int:
    return sum(reader.bytes_read for reader in readers)


def _slowest(readers: Sequence[Reader[_File, _Found]]) -> str | None:
    long_ago = time.monotonic() - SLOW_SECONDS
    return next((r.reading for r in readers if r.reading is not None and r.moved_at < long_ago), None)
