"""Verify that files are what the library says. Changes no model and no row but the time of the last check."""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from mlib.core import times
from mlib.core.disk.readers import Pace, read_files
from mlib.core.disk.uncached import RereadVerdict, glance, read_whole
from mlib.core.errors import Terminated
from mlib.core.events import Emit, FileStored, HashingAdvanced, HashingStarted, silent
from mlib.db import files
from mlib.services.files.bundles import KnownSets, incomplete
from mlib.services.files.selection import offline_roots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mlib.core.disk.uncached import State
    from mlib.core.records import KnownFile
    from mlib.db.library import Library
    from mlib.services.files.selection import Selection

#: What was found sound is noted at least this often: seconds, files.
FLUSH_SECONDS = 1.0
FLUSH_FILES = 256
#: In what states a file may be found that is not as it was, the worst first.
BAD_STATES: tuple[State, ...] = ("rotten", "damaged", "unreadable", "changed", "gone", "incomplete")


@dataclass(frozen=True, slots=True)
class VerifyRequest:
    """What to verify and how: `deep` reads all bytes, at most `max_rate` a second.

    With `unread_for` (ms) only files that nothing has read whole for so long. In a `dry_run` it is not noted
    what was read.
    """

    meant: Sequence[Selection] | None = None
    deep: bool = False
    max_rate: int | None = None
    unread_for: int | None = None
    dry_run: bool = False


class Bad(NamedTuple):
    """A file that is not what it was, or of whose model another file is missing."""

    state: State
    sha256: str
    path: str
    message: str


@dataclass(slots=True)
class VerifyReport:
    """How many files were checked and sound, and all that are not.

    `skipped` were read whole not long ago. `offline` counts the files that could not be asked for, by their
    root, which is not there now. `interrupted` is what ended it early.
    """

    checked: int = 0
    ok: int = 0
    bad: list[Bad] = field(default_factory=list)
    skipped: int = 0
    offline: Counter[str] = field(default_factory=Counter)
    bytes_read: int = 0
    seconds: float = 0.0
    interrupted: BaseException | None = None

    @property
    def by_state(self) -> dict[State, list[Bad]]:
        """All that are not sound, by every state in the order of BAD_STATES."""
        return {state: [bad for bad in self.bad if bad.state == state] for state in BAD_STATES}


class _Group(NamedTuple):
    """The names of one file: hard links, which are read once."""

    rows: tuple[KnownFile, ...]

    @property
    def path(self) -> str:
        return self.rows[0].path


def verify(library: Library, request: VerifyRequest, *, emit: Emit = silent) -> VerifyReport:
    """Check files, those that were not read for the longest time first.

    With `deep` each that is sound is noted as read, at least once a second, so that what was done is not
    lost by an interruption, which ends it early with the report's `interrupted` set.
    """
    started = time.monotonic()
    report = VerifyReport()
    groups = _chosen(library, request, report)
    try:
        _check(library, groups, request, report, emit)
        _check_sets(library, groups, report)
    except (KeyboardInterrupt, Terminated) as interruption:
        report.interrupted = interruption
    report.bad.sort(key=lambda bad: (bad.path, bad.state))
    report.seconds = time.monotonic() - started
    return report


def _chosen(library: Library, request: VerifyRequest, report: VerifyReport) -> list[_Group]:
    since = times.now() - request.unread_for if request.unread_for is not None else None
    groups: dict[object, list[KnownFile]] = {}
    for row, read_at in _rows(library, request):
        if since is not None and read_at > since:
            report.skipped += 1
            continue
        same = (row.stat.device, row.stat.inode, row.sha256) if row.stat is not None else row.path
        groups.setdefault(same, []).append(row)
    return [_Group(tuple(rows)) for rows in groups.values()]


def _rows(library: Library, request: VerifyRequest) -> Iterator[files.LastRead]:
    if request.meant is None:
        yield from files.last_read(library)
        return
    wanted = {(row.path, row.sha256) for each in request.meant for row in each.files}
    for sha256 in dict.fromkeys(each.sha256 for each in request.meant):
        found = files.last_read(library, sha256)
        yield from (each for each in found if (each.file.path, sha256) in wanted)


def _check(
    library: Library, groups: Sequence[_Group], request: VerifyRequest, report: VerifyReport, emit: Emit
) -> None:
    sound: list[KnownFile] = []
    away = {root.id: root.path for root in offline_roots(library)}
    flushed_at = time.monotonic()

    def flush(*, at_last: bool = False) -> None:
        nonlocal flushed_at
        due = len(sound) >= FLUSH_FILES or time.monotonic() - flushed_at >= FLUSH_SECONDS
        if sound and request.deep and not request.dry_run and (due or at_last):
            with library.transaction():
                files.put_verified(library, sound, times.now())
            for row in sound:
                emit(FileStored(row.path, row.sha256, "verified"))
            sound.clear()
            flushed_at = time.monotonic()

    def advanced(size: int, slow: str | None) -> None:
        report.bytes_read = size
        flush()
        emit(HashingAdvanced(size, slow))

    emit(HashingStarted(len(groups), sum(_size(group) for group in groups) if request.deep else 0))
    pace = Pace(request.max_rate) if request.max_rate else None
    read = _read_deep if request.deep else _glance
    try:
        for group, verdicts in read_files(_by_device(groups), read, pace=pace, advanced=advanced):
            for row, verdict in zip(group.rows, verdicts, strict=True):
                if verdict.state == "gone" and row.root_id in away:
                    report.offline[away[row.root_id]] += 1
                    continue
                report.checked += 1
                if verdict.state == "ok":
                    report.ok += 1
                    sound.append(row)
                else:
                    report.bad.append(Bad(verdict.state, row.sha256, row.path, verdict.message))
    finally:
        flush(at_last=True)


def _check_sets(library: Library, groups: Sequence[_Group], report: VerifyReport) -> None:
    """Tell once of every model in several files, of which one was checked and one is not there."""
    checked = {row.path: row for group in groups for row in group.rows}
    known = KnownSets(library)
    for directory in sorted({row.directory for row in checked.values()}):
        for whole, finding in incomplete(known, directory):
            row = next((checked[part] for part in whole.parts if part in checked), None)
            if row is not None:
                report.bad.append(Bad("incomplete", row.sha256, row.path, finding.message))


def _by_device(groups: Sequence[_Group]) -> dict[int, list[_Group]]:
    """The files of each disk as it is called today, in the order given."""
    devices: dict[str, int] = {}
    queues: defaultdict[int, list[_Group]] = defaultdict(list)
    for group in groups:
        directory = group.rows[0].directory
        if directory not in devices:
            try:
                devices[directory] = os.stat(directory).st_dev
            except OSError:
                devices[directory] = 0
        queues[devices[directory]].append(group)
    return queues


def _glance(
    group: _Group, _view: memoryview, _advance: Callable[[int], None]
) -> tuple[_Group, list[RereadVerdict]]:
    return group, [glance(row) for row in group.rows]


def _read_deep(
    group: _Group, view: memoryview, advance: Callable[[int], None]
) -> tuple[_Group, list[RereadVerdict]]:
    """Every name of a file; one that leads to the same inode still is not read again."""
    verdicts: list[RereadVerdict] = []
    for row in group.rows:
        known = glance(row) if verdicts else None
        first = verdicts[0] if verdicts else None
        if known is not None and first is not None and known.stat is not None and known.stat == first.stat:
            verdicts.append(first)
        else:
            verdicts.append(read_whole(row, view, advance))
    return group, verdicts


def _size(group: _Group) -> int:
    stat = group.rows[0].stat
    return stat.size_bytes if stat is not None else 0
