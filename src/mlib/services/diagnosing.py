"""Check a library and its surroundings, and name the command that fixes each problem: what `doctor` prints.

`examine` goes from the outside in: permissions, disk, SQLite, leftovers of killed processes and backups
first, then the schema and rows of the library, as far as a damaged one can be read.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

from mlib.core.disk.journal import cut_off, foreign_lines, journal_path
from mlib.core.disk.leftovers import discard, leftovers
from mlib.core.disk.storage import NETWORK, root_state
from mlib.core.disk.system import file_system, is_ours
from mlib.core.disk.walk import is_within
from mlib.core.errors import Hint, LibraryBusy, MlibError
from mlib.core.text import library_option, move_away, quoted
from mlib.db import restoring, roots, statistics, tags
from mlib.db.connections import backup_directory, strange_beside
from mlib.db.faults import damage_behind, no_library
from mlib.services.backing_up import hint_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mlib.core.disk.leftovers import Leftover
    from mlib.core.records import Root
    from mlib.db.library import Library


# --- Checks and the commands they suggest

State = Literal["ok", "warning", "error"]
_DAMAGE = frozenset({"library_corrupt", "library_error", "library_io_error"})


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `mend` is what puts it right, `fixed` if that was done now."""

    name: str
    state: State
    message: str
    mend: str | Hint | None = None
    fixed: bool = False


@dataclass(slots=True)
class Diagnosis:
    """Every check, in the order in which they were made."""

    path: str
    checks: list[Check] = field(default_factory=list)

    def count(self, state: State) -> int:
        """How many checks are in this state and were not put right."""
        return sum(check.state == state and not check.fixed for check in self.checks)


def done(check: Check, action: Callable[[], object], fix: bool) -> Check:
    """The check, put right if that is wanted and can be done."""
    if not fix:
        return check
    with suppress(OSError, MlibError):
        action()
        return replace(check, fixed=True)
    return check


def broken(name: str, error: MlibError, path: str) -> Check:
    """An error of the library at `path` as a check: only damage is mended by a backup, which is older.

    Raises it again where another program only uses the library.
    """
    if isinstance(error, LibraryBusy):
        raise error
    return Check(
        name, "error", error.message, restoring_command(path) if error.code in _DAMAGE else hint_of(error)
    )


def restoring_command(path: str) -> Hint:
    """What puts the newest good backup in the place of the library at `path`."""
    return _command("restore", "--latest", *library_option(path))


def _command(*arguments: str) -> Hint:
    return Hint("{}", arguments)


# --- Around the library: permissions, disk, SQLite, leftovers, backups

_DAY_MS = 86_400_000
#: A backup that is older than this is hardly one.
_OLD_BACKUP = 30 * _DAY_MS


def permissions(path: str, fix: bool) -> Iterator[Check]:
    places = [path, *(each.path for each in restoring.all_backups(path))]
    for place in places:
        status = os.stat(place)
        if not stat.S_ISREG(status.st_mode):
            way_out = restoring_command(path) if place == path else move_away(place)
            yield Check("permissions", "error", f"not a file: {place}", way_out)
            continue
        mode = stat.S_IMODE(status.st_mode)
        if not statistics.is_marked(place):
            continue  # of another program, whose concern it is
        if mode & 0o077:
            check = Check(
                "permissions",
                "warning",
                f"other users can read your notes (mode {mode:03o}): {place}",
                f"chmod 600 {quoted(place)}",
            )
            yield done(check, partial(os.chmod, place, 0o600), fix)
        elif not is_ours(status.st_uid):
            yield Check("permissions", "warning", f"the file belongs to another user: {place}")
    directory = os.path.dirname(path)
    mode = stat.S_IMODE(os.stat(directory).st_mode)
    if mode & 0o022 and not mode & stat.S_ISVTX:
        message = f"other users can replace the library (mode {mode:03o} of its directory): {directory}"
        yield Check("permissions", "warning", message, f"chmod go-w {quoted(directory)}")
    elif not os.access(directory, os.W_OK) or not os.access(path, os.W_OK):
        message = f"the library, or its directory, cannot be written: {path}"
        owners = {os.stat(path).st_uid, os.stat(directory).st_uid}
        mend = f"chmod u+rwX {quoted(directory)} {quoted(path)}" if all(map(is_ours, owners)) else None
        yield Check("permissions", "error", message, mend)
    else:
        yield Check("permissions", "ok", "the library is writable")


def storage(path: str) -> Iterator[Check]:
    kind = file_system(os.stat(path).st_dev)
    if kind in NETWORK:
        message = f"the library is on a network file system ({kind}), where locks are unreliable"
        mend = Hint("move it to a local disk, and name it with {}", ("--library", "FILE"))
        yield Check("storage", "warning", message, mend)
    else:
        yield Check("storage", "ok", f"on a local file system ({kind or 'unknown'})")
    free, size = shutil.disk_usage(os.path.dirname(path)).free, os.path.getsize(path)
    if free < 2 * size + 16 * 2**20:
        message = f"{free:,} bytes free: not enough for a backup and a rewrite of {size:,} bytes"
        yield Check("space", "warning", message, "free some space on that disk")
    else:
        yield Check("space", "ok", f"{free:,} bytes free")


def sqlite() -> Iterator[Check]:
    version = ".".join(map(str, statistics.sqlite_version()))
    if statistics.sqlite_version() < statistics.OLDEST_SQLITE:
        yield Check(
            "sqlite", "error", f"SQLite {version} is too old", "upgrade Python or SQLite to 3.37 or newer"
        )
    else:
        yield Check("sqlite", "ok", f"SQLite {version}")


def unfinished(path: str, fix: bool) -> Iterator[Check]:
    """What a process that was killed has left; to open the library, as is done next, ends the first."""
    strange = strange_beside(os.path.realpath(path))
    for beside, why in strange.items():
        message = f"this, which {why}, keeps the library from being opened: {beside}"
        yield Check("journal", "error", message, move_away(beside))
    found = bool(strange)
    for suffix in ("-journal", "-wal"):
        if os.path.realpath(path) + suffix in strange:
            continue
        if os.path.exists(path + suffix) and os.path.getsize(path + suffix):
            found = True
            message = f"an unfinished change, rolled back when the library is opened: {path}{suffix}"
            yield Check(
                "journal", "warning", message, _command("list", "--limit", "1", *library_option(path))
            )
    for left in _left_behind(path):
        found = True
        message = f"left by a process that was killed: {left.path}"
        if left.is_last:
            yield Check("journal", "warning", f"{message}; no other name has these bytes")
            continue
        check = Check("journal", "warning", message, f"rm {quoted(left.path)}")
        yield done(check, partial(discard, left), fix and left.is_half)
    if not found:
        yield Check("journal", "ok", "nothing is unfinished")


def _left_behind(path: str) -> Iterator[Leftover]:
    """Files that were to become a backup or a library, so old that nobody is at them any more."""
    for directory in (os.path.dirname(path), backup_directory(path)):
        with suppress(OSError):
            yield from leftovers(directory, library=os.path.basename(path))


def journal_of_files(path: str) -> Iterator[Check]:
    """Lines in the journal of what was done to files that no mlib of this age wrote: they are passed over."""
    place = journal_path(path)
    numbers = foreign_lines(path)
    if os.path.lexists(place) and not os.path.isfile(place):
        yield Check("files_journal", "error", f"not a file: {place}", move_away(place))
    elif numbers:
        more = f" and {len(numbers) - 1} more" if len(numbers) > 1 else ""
        message = f"not written by this mlib, skipped: {place}, line {numbers[0]}{more}"
        yield Check("files_journal", "warning", message, f"sed -n {numbers[0]}p {quoted(place)}")
    else:
        yield Check("files_journal", "ok", "every line of the file journal is readable")


def kept_backups(path: str) -> Iterator[Check]:
    kept = restoring.all_backups(path)
    mend = _command("backup", *library_option(path))
    if not kept:
        yield Check("backups", "warning", "there is none", mend)
        return
    newest = kept[0]
    age_ms = time.time_ns() // 1_000_000 - newest.made_at
    age = f"{max(age_ms, 0) // _DAY_MS} days old"
    try:
        restoring.check(newest.path)
    except MlibError as error:
        yield Check("backups", "warning", error.message, mend)
    else:
        state: State = "warning" if age_ms > _OLD_BACKUP else "ok"
        message = f"{len(kept)}, the newest is good and {age}"
        yield Check("backups", state, message, mend if state == "warning" else None)


def replaced(path: str) -> Iterator[Check]:
    """Libraries that a restore has set aside: only a person knows whether one is still of use."""
    kept = restoring.set_aside(path)
    for paths in kept:
        size = sum(os.path.getsize(each) for each in paths if not os.path.isdir(each))
        message = f"set aside by a restore, {size:,} bytes: {paths[0]}"
        remove = "rm -r" if any(map(os.path.isdir, paths)) else "rm"
        yield Check("replaced", "warning", message, f"{remove} {' '.join(map(quoted, paths))}")
    if not kept:
        yield Check("replaced", "ok", "no library set aside by a restore")


# --- Inside the library: integrity, and whether it still matches the disks

#: Free pages beyond this share are worth rewriting the file for.
_MUCH_FREE = 0.2
#: The origin of a root that a person named, and that no ComfyUI brings back.
_TYPED = "user"


def inside(library: Library, path: str, fix: bool) -> Iterator[Check]:
    identity = statistics.identity(library)
    if not identity.is_ours:
        yield Check(
            "identity",
            "error",
            "this SQLite file belongs to another program",
            _command("mlib", "--library", "FILE", "…"),
        )
        return
    if identity.unknown:
        yield Check("identity", "error", f"made by a newer mlib ({identity.unknown[-1]})", "upgrade mlib")
        return
    if identity.lacking:
        mend = _command("list", "--limit", "1", *library_option(path))
        yield Check("identity", "warning", f"made by an older mlib: lacks {identity.lacking[0]}", mend)
    else:
        yield Check("identity", "ok", "a library of this mlib")
    yield from _schema(library, path, fix)
    damage = statistics.damage(path)
    if damage:
        yield Check("integrity", "error", f"damaged: {damage[0]}", restoring_command(path))
    else:
        yield Check("integrity", "ok", "every page and index is sound")
    if identity.lacking:
        return
    checks: tuple[tuple[str, Callable[[], Iterable[Check]]], ...] = (
        ("foreign_keys", lambda: _links(library, path)),
        ("roots", lambda: _roots(library, path)),
        ("racy", lambda: _racy(library, path)),
        ("files", lambda: _fileless(library, path)),
        ("facts", lambda: _facts(library, path, fix and not damage)),
        ("sidecars", lambda: _sidecars(library)),
        ("leftovers", lambda: _leftovers(library, fix)),
        ("findings", lambda: _findings(library, path)),
        ("free_pages", lambda: _free_pages(library, path, fix and not damage)),
    )
    for name, check in checks:
        try:
            yield from check()
        except MlibError as error:
            yield broken(name, error, path)
        except Exception as error:
            why = damage_behind(error, path)
            if why is None:
                raise
            yield broken(name, why, path)


def _schema(library: Library, path: str, fix: bool) -> Iterator[Check]:
    """What is not as mlib makes it: a stranger's trigger changes what nobody asked to change."""
    wrong = statistics.altered(path)
    for each in wrong:
        if not each.is_extra or each.type == "table":
            yield Check("schema", "error", str(each), restoring_command(path))
            continue
        check = Check("schema", "error", str(each), _command("doctor", "--fix", *library_option(path)))
        yield done(check, partial(statistics.remove, library, [each]), fix)
    if not wrong:
        yield Check("schema", "ok", "all tables, indexes and triggers are those that mlib makes")


def _links(library: Library, path: str) -> Iterator[Check]:
    broken = statistics.broken_links(library)
    if broken:
        told = ", ".join(f"{count} in {table}" for table, count in sorted(broken.items()))
        yield Check("foreign_keys", "error", f"dangling references: {told}", restoring_command(path))
    else:
        yield Check("foreign_keys", "ok", "no dangling references")


def _roots(library: Library, path: str) -> Iterator[Check]:
    known = roots.all_roots(library)
    wrong = False
    for root in known:
        state = root_state(root.path)
        if state in ("absent", "unreadable"):
            wrong = True
            message = f"{state}: {root.path} ({root.type}); if its disk is only off, leave it"
            yield Check("roots", "warning", message, _forgetting(root, path))
    real = {root.path: os.path.realpath(root.path) for root in known}
    for at, root in enumerate(known):
        for other in known[:at]:
            if real[root.path] == real[other.path]:
                wrong = True
                message = f"the same folder under two roots: {root.path} and {other.path}"
                yield Check("roots", "warning", message, _forgetting(_less_needed(root, other), path))
            elif root.type != other.type and (
                is_within(real[root.path], real[other.path]) or is_within(real[other.path], real[root.path])
            ):
                wrong = True
                inner = max(root, other, key=lambda each: len(real[each.path]))
                outer = other if inner is root else root
                message = f"{inner.path} ({inner.type}) is inside {outer.path} ({outer.type})"
                mend = _forgetting(inner, path) if inner.origin == _TYPED else None
                yield Check("roots", "warning", message, mend)
    if not known:
        yield Check(
            "roots",
            "warning",
            "no roots are known",
            _command("scan", "--comfyui", "DIR", *library_option(path)),
        )
    elif not wrong:
        yield Check("roots", "ok", f"{len(known)} known, all there")


def _forgetting(root: Root, path: str) -> Hint:
    return _command("roots", "remove", root.path, *library_option(path))


def _less_needed(root: Root, other: Root) -> Root:
    """Of two the one to forget: one that nobody typed would be back with the next scan."""
    return other if other.origin == _TYPED and root.origin != _TYPED else root


def _racy(library: Library, path: str) -> Iterator[Check]:
    count = statistics.racy_files(library)
    if count:
        message = f"{count:,} files were read just after they changed; the next scan reads them again"
        yield Check("racy", "warning", message, _command("scan", *library_option(path)))
    else:
        yield Check("racy", "ok", "all timestamps are trustworthy")


def _fileless(library: Library, path: str) -> Iterator[Check]:
    count = statistics.models_without_files(library)
    if count:
        message = f"{count:,} models have no path, present or missing"
        yield Check("files", "warning", message, _command("missing", *library_option(path)))
    else:
        yield Check("files", "ok", "every model has a path")


def _facts(library: Library, path: str, fix: bool) -> Iterator[Check]:
    count = statistics.orphaned_facts(library)
    if not count:
        yield Check("facts", "ok", "no orphaned records")
        return
    message = f"orphaned records: {count:,}"
    check = Check("facts", "warning", message, _command("doctor", "--fix", *library_option(path)))

    def mend() -> None:
        with library.transaction():
            statistics.remove_orphaned_facts(library)
            tags.forget_unused(library)

    yield done(check, mend, fix)


def _sidecars(library: Library) -> Iterator[Check]:
    count = statistics.orphaned_sidecars(library)
    if count:
        yield Check("sidecars", "ok", f"{count:,} files look like sidecars but belong to no model")
    else:
        yield Check("sidecars", "ok", "every sidecar belongs to a model")


def _leftovers(library: Library, fix: bool) -> Iterator[Check]:
    """Only halves of texts are removed: a copy that is whole may be worth more than its room."""
    places = {root.path for root in roots.all_roots(library)} | set(statistics.directories(library))
    places |= {os.path.dirname(target) for _, target in cut_off(library.path) if os.path.isabs(target)}
    found: dict[str, Leftover] = {}
    for place in sorted(places):
        with suppress(OSError):  # a folder that is not there, or is not to be listed now
            found |= {os.path.realpath(left.path): left for left in leftovers(place)}
    for left in found.values():
        message = f"left by a command that was killed, {left.size_bytes:,} bytes: {left.path}"
        if left.is_last:
            yield Check("leftovers", "warning", f"{message}; no other name has these bytes")
            continue
        check = Check("leftovers", "warning", message, f"rm {quoted(left.path)}")
        yield done(check, partial(discard, left), fix and left.is_half)
    if not found:
        yield Check("leftovers", "ok", "no leftovers in model folders")


def _findings(library: Library, path: str) -> Iterator[Check]:
    found = statistics.by_finding_of_present(library)
    for code, count, serious in found:
        message = f"{code}: {count:,}"
        state: State = "warning" if serious else "ok"
        yield Check("findings", state, message, _command("list", f"finding:{code}", *library_option(path)))
    if not found:
        yield Check("findings", "ok", "no model has findings")


def _free_pages(library: Library, path: str, fix: bool) -> Iterator[Check]:
    share = statistics.free_share(library)
    if share > _MUCH_FREE:
        message = f"{share:.0%} of the file is free and can be reclaimed"
        check = Check("free_pages", "warning", message, _command("doctor", "--fix", *library_option(path)))
        yield done(check, lambda: statistics.compact(library), fix)
    else:
        yield Check("free_pages", "ok", f"{share:.0%} of the file is free")


# --- Running all checks


def examine(path: str, *, fix: bool = False) -> Diagnosis:
    """Look at everything; with `fix` put right what costs nothing that anybody typed.

    Works on a damaged library as far as it can be read. Raises NotFound (`no_library`) if there is none,
    LibraryBusy while another program keeps it from being read.
    """
    path = os.path.abspath(path)
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise no_library(path) from None
    except OSError as error:  # a link that leads round in a circle
        message = f"the library cannot be opened: {error.strerror}: {path}"
        raise MlibError("library_unreadable", message, hint=restoring_command(path)) from error
    if stat.S_ISREG(status.st_mode) and not status.st_size:
        raise no_library(path)  # an empty file is what a library begins as
    diagnosis = Diagnosis(path)
    add = diagnosis.checks.extend
    add(permissions(path, fix))
    add(storage(path))
    add(sqlite())
    add(unfinished(path, fix))
    add(journal_of_files(path))
    try:
        with statistics.opened(path) as library:
            add(inside(library, path, fix))
    except MlibError as error:
        add([broken("integrity", error, path)])
    add(kept_backups(path))
    add(replaced(path))
    return diagnosis
