"""Hashing files: stat, read, stat again, and believe the digest only if nothing moved in between."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from typing import TYPE_CHECKING, NamedTuple, cast

from xxhash import xxh3_128

from mlib.core.disk.compare import stat_of
from mlib.core.disk.readers import read_files
from mlib.core.disk.storage import open_for_reading, read_unchanged, until_it_stands_still
from mlib.core.disk.unfinished import unfinished_content, unwritten
from mlib.core.disk.walk import reason
from mlib.core.inspection import inspect
from mlib.core.records import FoundFile, Problem, Stat

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterator, Sequence

    from mlib.core.inspection import Inspection


class Hashed(NamedTuple):
    """The digests of one file in lower-case hex, of all its bytes as they were from `started_at` on.

    `inspection` is what its header meant then; None if nobody looked.
    """

    sha256: str
    xxh3: str
    stat: Stat
    started_at: int
    inspection: Inspection | None = None


class Outcome(NamedTuple):
    """What became of reading one file: exactly one of the two is set.

    A Problem with the code `unfinished` or `vanished` is no fault of anybody's.
    """

    file: FoundFile
    hashed: Hashed | None = None
    problem: Problem | None = None


def _identify(file: FoundFile, view: memoryview, advance: Callable[[int], None]) -> Outcome:
    try:
        read = until_it_stands_still(lambda: hash_once(file.path, view=view, advance=advance))
    except FileNotFoundError:
        return Outcome(file, problem=Problem(file.path, "vanished", "gone before it could be read"))
    except OSError as error:
        return Outcome(file, problem=Problem(file.path, "unreadable", f"cannot read it: {reason(error)}"))
    if read is None:
        return Outcome(file, problem=Problem(file.path, "changing", "kept changing while it was read"))
    result = cast("Hashed | Problem", read)  # mypy joins the two to a tuple
    return Outcome(file, hashed=result) if isinstance(result, Hashed) else Outcome(file, problem=result)


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
        sha256, xxh3 = hashlib.sha256(), xxh3_128()

        def take(_start: int, chunk: memoryview) -> None:
            sha256.update(chunk)
            xxh3.update(chunk)
            advance(len(chunk))

        after = read_unchanged(file, path, before, view=view, take=take)
    if after is None:
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
    why = unfinished_content(file, status.st_size) or unwritten(file, status)
    return Problem(path, "unfinished", why) if why else None


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
    queues: dict[int, list[FoundFile]] = {}
    for file in sorted(files, key=lambda file: file.stat.size_bytes, reverse=True):
        queues.setdefault(file.stat.device, []).append(file)
    return read_files(queues, _identify, jobs=jobs, advanced=advanced)
