"""Examining a library and what it stands on: what is wrong, and the command that mends it."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

from mlib.core.errors import MlibError, NotFound
from mlib.core.standing import standing
from mlib.core.storage import NETWORK, file_system
from mlib.core.walk import is_within
from mlib.db import health, restoring, roots, tags
from mlib.db.connections import backup_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mlib.db.library import Library

State = Literal["ok", "warning", "error"]

_DAY_MS = 86_400_000
#: A backup that is older than this is hardly one.
_OLD_BACKUP = 30 * _DAY_MS
#: Free pages beyond this share are worth rewriting the file for.
_MUCH_FREE = 0.2


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `mend` is what puts it right, `fixed` if that was done now."""

    name: str
    state: State
    message: str
    mend: str | None = None
    fixed: bool = False


@dataclass(slots=True)
class Diagnosis:
    """Every check, in the order in which they were made."""

    path: str
    checks: list[Check] = field(default_factory=list)

    def count(self, state: State) -> int:
        """How many checks are in this state and were not put right."""
        return sum(check.state == state and not check.fixed for check in self.checks)


def examine(path: str, *, fix: bool = False) -> Diagnosis:
    """Look at everything; with `fix` put right what costs nothing that anybody typed.

    Works on a damaged library as far as it can be read. Raises NotFound (`no_library`) if there is none.
    """
    path = os.path.abspath(path)
    if not os.path.lexists(path):
        raise NotFound(
            "no_library", f"there is no library yet: {path}", hint="`mlib scan --comfyui DIR` makes one"
        )
    diagnosis = Diagnosis(path)
    add = diagnosis.checks.extend
    add(_permissions(path, fix))
    add(_storage(path))
    add(_sqlite())
    add(_unfinished(path, fix))
    try:
        with health.opened(path) as library:
            add(_inside(library, path, fix))
    except MlibError as error:
        add([Check("integrity", "error", error.message, _restore(path))])
    add(_backups(path))
    return diagnosis


def _inside(library: Library, path: str, fix: bool) -> Iterator[Check]:
    identity = health.identity(library)
    if not identity.is_ours:
        yield Check(
            "identity", "error", "this SQLite file belongs to another program", "mlib --library FILE …"
        )
        return
    if identity.unknown:
        yield Check("identity", "error", f"made by a newer mlib ({identity.unknown[-1]})", "upgrade mlib")
        return
    if identity.lacking:
        mend = f"mlib list --limit 1 {_library(path)}"
        yield Check("identity", "warning", f"made by an older mlib: lacks {identity.lacking[0]}", mend)
    else:
        yield Check("identity", "ok", "a library of this mlib")
    damage = health.damage(library)
    if damage:
        yield Check("integrity", "error", f"damaged: {damage[0]}", _restore(path))
    else:
        yield Check("integrity", "ok", "every page and index is sound")
    if identity.lacking:
        return
    checks: tuple[tuple[str, Callable[[], Iterable[Check]]], ...] = (
        ("foreign_keys", lambda: _links(library, path)),
        ("roots", lambda: _roots(library)),
        ("racy", lambda: _racy(library)),
        ("files", lambda: _fileless(library)),
        ("facts", lambda: _facts(library, path, fix and not damage)),
        ("sidecars", lambda: _sidecars(library)),
        ("findings", lambda: _findings(library)),
        ("free_pages", lambda: _free_pages(library, path, fix and not damage)),
    )
    for name, check in checks:
        try:
            yield from check()
        except MlibError as error:
            yield Check(name, "error", error.message, _restore(path))


def _permissions(path: str, fix: bool) -> Iterator[Check]:
    places = [path, *(each.path for each in restoring.all_backups(path))]
    for place in places:
        status = os.stat(place)
        if not stat.S_ISREG(status.st_mode):
            yield Check("permissions", "error", f"this is not a file: {place}")
            return
        mode = stat.S_IMODE(status.st_mode)
        if mode & 0o077:
            check = Check(
                "permissions",
                "warning",
                f"others on this machine may read your notes (mode {mode:03o}): {place}",
                f"chmod 600 {shlex.quote(place)}",
            )
            yield _done(check, partial(os.chmod, place, 0o600), fix)
        elif status.st_uid != os.geteuid():
            yield Check("permissions", "warning", f"the file belongs to another user: {place}")
    directory = os.path.dirname(path)
    mode = stat.S_IMODE(os.stat(directory).st_mode)
    if mode & 0o022 and not mode & stat.S_ISVTX:
        message = f"others may replace the library (mode {mode:03o} of its directory): {directory}"
        yield Check("permissions", "warning", message, f"chmod go-w {shlex.quote(directory)}")
    elif not os.access(directory, os.W_OK) or not os.access(path, os.W_OK):
        yield Check("permissions", "error", f"the library, or its directory, cannot be written: {path}")
    else:
        yield Check("permissions", "ok", "the library can be written by you")


def _done(check: Check, deed: Callable[[], object], fix: bool) -> Check:
    """The check, put right if that is wanted and can be done."""
    if not fix:
        return check
    with suppress(OSError, MlibError):
        deed()
        return replace(check, fixed=True)
    return check


def _storage(path: str) -> Iterator[Check]:
    kind = file_system(os.stat(path).st_dev)
    if kind in NETWORK:
        message = f"the library lies on a network file system ({kind}), whose locks cannot be relied on"
        yield Check("storage", "warning", message, "move it to a local disk, and name it with --library FILE")
    else:
        yield Check("storage", "ok", f"on a local file system ({kind or 'unknown'})")
    free, size = shutil.disk_usage(os.path.dirname(path)).free, os.path.getsize(path)
    if free < 2 * size + 16 * 2**20:
        message = f"{free:,} bytes are free: too few for a backup and a rewrite of {size:,} bytes"
        yield Check("space", "warning", message, "free some space on that disk")
    else:
        yield Check("space", "ok", f"{free:,} bytes are free")


def _sqlite() -> Iterator[Check]:
    version = ".".join(map(str, health.sqlite_version()))
    if health.sqlite_version() < health.OLDEST_SQLITE:
        yield Check(
            "sqlite", "error", f"SQLite {version} is too old", "upgrade Python or SQLite to 3.37 or newer"
        )
    else:
        yield Check("sqlite", "ok", f"SQLite {version}")


def _unfinished(path: str, fix: bool) -> Iterator[Check]:
    """What a process that was killed has left; to open the library, as is done next, ends the first."""
    found = False
    for suffix in ("-journal", "-wal"):
        if os.path.exists(path + suffix) and os.path.getsize(path + suffix):
            found = True
            message = f"an unfinished change, which is taken back on opening the library: {path}{suffix}"
            yield Check("journal", "warning", message, f"mlib list --limit 1 {_library(path)}")
    for left in _left_behind(path):
        found = True
        check = Check(
            "journal", "warning", f"left by a process that was killed: {left}", f"rm {shlex.quote(left)}"
        )
        yield _done(check, partial(os.unlink, left), fix)
    if not found:
        yield Check("journal", "ok", "nothing is unfinished")


def _left_behind(path: str) -> Iterator[str]:
    """Files that were to become a backup or a library, so old that nobody is at them any more."""
    long_ago = time.time() - 86_400
    for directory in (os.path.dirname(path), backup_directory(path)):
        with suppress(OSError):
            for entry in sorted(os.scandir(directory), key=lambda each: each.name):
                is_ours = entry.name == f"{os.path.basename(path)}.restoring" or (
                    entry.name.startswith((os.path.basename(path) + ".", ".mlib-"))
                    and entry.name.endswith(".partial")
                )
                if is_ours and entry.stat().st_mtime < long_ago:
                    yield entry.path


def _links(library: Library, path: str) -> Iterator[Check]:
    broken = health.broken_links(library)
    if broken:
        told = ", ".join(f"{count} in {table}" for table, count in sorted(broken.items()))
        yield Check("foreign_keys", "error", f"rows lead nowhere: {told}", _restore(path))
    else:
        yield Check("foreign_keys", "ok", "every row leads somewhere")


def _roots(library: Library) -> Iterator[Check]:
    known = roots.all_roots(library)
    wrong = False
    for root in known:
        state = standing(root.path)
        if state in ("absent", "unreadable"):
            wrong = True
            mend = f"mlib roots remove {shlex.quote(root.path)}"
            yield Check("roots", "warning", f"{state}: {root.path} ({root.type})", mend)
    real = {root.path: os.path.realpath(root.path) for root in known}
    for at, root in enumerate(known):
        for other in known[:at]:
            if real[root.path] == real[other.path]:
                wrong = True
                message = f"one folder, known twice: {root.path} and {other.path}"
                yield Check("roots", "warning", message, f"mlib roots remove {shlex.quote(root.path)}")
            elif root.type != other.type and (
                is_within(real[root.path], real[other.path]) or is_within(real[other.path], real[root.path])
            ):
                wrong = True
                inner = max(root, other, key=lambda each: len(real[each.path]))
                outer = other if inner is root else root
                message = f"{inner.path} ({inner.type}) lies within {outer.path} ({outer.type})"
                yield Check("roots", "warning", message, f"mlib roots remove {shlex.quote(inner.path)}")
    if not known:
        yield Check("roots", "warning", "no folder to scan is known", "mlib scan --comfyui DIR")
    elif not wrong:
        yield Check("roots", "ok", f"{len(known)} known, all there")


def _racy(library: Library) -> Iterator[Check]:
    count = health.racy_files(library)
    if count:
        message = f"{count:,} files were read right after they had changed, and are to be read again"
        yield Check("racy", "warning", message, "mlib scan")
    else:
        yield Check("racy", "ok", "every file's stamp can be relied on")


def _fileless(library: Library) -> Iterator[Check]:
    count = health.models_without_files(library)
    if count:
        message = f"{count:,} models are known at no path, not even a former one"
        yield Check("files", "warning", message, "mlib missing")
    else:
        yield Check("files", "ok", "every model has a path, or had one")


def _facts(library: Library, path: str, fix: bool) -> Iterator[Check]:
    count = health.orphaned_facts(library)
    if not count:
        yield Check("facts", "ok", "every fact is about something known")
        return
    message = f"facts about what nothing else knows: {count:,}"
    check = Check("facts", "warning", message, f"mlib doctor --fix {_library(path)}")

    def mend() -> None:
        with library.transaction():
            health.remove_orphaned_facts(library)
            tags.forget_unused(library)

    yield _done(check, mend, fix)


def _sidecars(library: Library) -> Iterator[Check]:
    count = health.orphaned_sidecars(library)
    if count:
        yield Check(
            "sidecars", "ok", f"{count:,} files beside the models look like sidecars and belong to none"
        )
    else:
        yield Check("sidecars", "ok", "every sidecar belongs to a model")


def _findings(library: Library) -> Iterator[Check]:
    found = health.findings(library)
    for code, count, serious in found:
        message = f"{code}: {count:,}"
        state: State = "warning" if serious else "ok"
        yield Check("findings", state, message, f"mlib list finding:{code}")
    if not found:
        yield Check("findings", "ok", "nothing is wrong with any model")


def _free_pages(library: Library, path: str, fix: bool) -> Iterator[Check]:
    share = health.free_share(library)
    if share > _MUCH_FREE:
        message = f"{share:.0%} of the file is free and could be given back"
        check = Check("free_pages", "warning", message, f"mlib doctor --fix {_library(path)}")
        yield _done(check, lambda: health.compact(library), fix)
    else:
        yield Check("free_pages", "ok", f"{share:.0%} of the file is free")


def _backups(path: str) -> Iterator[Check]:
    kept = restoring.all_backups(path)
    mend = f"mlib backup {_library(path)}"
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


def _restore(path: str) -> str:
    return f"mlib restore --latest {_library(path)}"


def _library(path: str) -> str:
    return f"--library {shlex.quote(path)}"
