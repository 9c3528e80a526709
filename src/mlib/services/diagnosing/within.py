"""What is in a library: whether it is sound, and whether what it says of the disks still holds."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from mlib.core.disk.leftovers import discard, leftovers
from mlib.core.errors import MlibError
from mlib.core.placing.journal import cut_off
from mlib.core.shell import library_option, quoted
from mlib.core.standing import standing
from mlib.core.walk import is_within
from mlib.db import health, roots, tags
from mlib.db.faults import damage_behind
from mlib.services.diagnosing.checks import Check, broken, done, restoring_command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mlib.core.disk.leftovers import Leftover
    from mlib.core.models import Root
    from mlib.db.library import Library
    from mlib.services.diagnosing.checks import State

#: Free pages beyond this share are worth rewriting the file for.
_MUCH_FREE = 0.2
#: The origin of a root that a person named, and that no ComfyUI brings back.
_TYPED = "user"


def inside(library: Library, path: str, fix: bool) -> Iterator[Check]:
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
        mend = f"mlib list --limit 1 {library_option(path)}"
        yield Check("identity", "warning", f"made by an older mlib: lacks {identity.lacking[0]}", mend)
    else:
        yield Check("identity", "ok", "a library of this mlib")
    yield from _schema(library, path, fix)
    damage = health.damage(path)
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
    wrong = health.altered(path)
    for each in wrong:
        if not each.is_extra or each.type == "table":
            yield Check("schema", "error", str(each), restoring_command(path))
            continue
        check = Check("schema", "error", str(each), f"mlib doctor --fix {library_option(path)}")
        yield done(check, partial(health.remove, library, [each]), fix)
    if not wrong:
        yield Check("schema", "ok", "all tables, indexes and triggers are those that mlib makes")


def _links(library: Library, path: str) -> Iterator[Check]:
    broken = health.broken_links(library)
    if broken:
        told = ", ".join(f"{count} in {table}" for table, count in sorted(broken.items()))
        yield Check("foreign_keys", "error", f"rows lead nowhere: {told}", restoring_command(path))
    else:
        yield Check("foreign_keys", "ok", "every row leads somewhere")


def _roots(library: Library, path: str) -> Iterator[Check]:
    known = roots.all_roots(library)
    wrong = False
    for root in known:
        state = standing(root.path)
        if state in ("absent", "unreadable"):
            wrong = True
            message = f"{state}: {root.path} ({root.type}); if its disk is only off, leave it"
            yield Check("roots", "warning", message, _forgetting(root, path))
    real = {root.path: os.path.realpath(root.path) for root in known}
    for at, root in enumerate(known):
        for other in known[:at]:
            if real[root.path] == real[other.path]:
                wrong = True
                message = f"one folder, known twice: {root.path} and {other.path}"
                yield Check("roots", "warning", message, _forgetting(_less_needed(root, other), path))
            elif root.type != other.type and (
                is_within(real[root.path], real[other.path]) or is_within(real[other.path], real[root.path])
            ):
                wrong = True
                inner = max(root, other, key=lambda each: len(real[each.path]))
                outer = other if inner is root else root
                message = f"{inner.path} ({inner.type}) lies within {outer.path} ({outer.type})"
                mend = _forgetting(inner, path) if inner.origin == _TYPED else None
                yield Check("roots", "warning", message, mend)
    if not known:
        yield Check(
            "roots",
            "warning",
            "no folder to scan is known",
            f"mlib scan --comfyui DIR {library_option(path)}",
        )
    elif not wrong:
        yield Check("roots", "ok", f"{len(known)} known, all there")


def _forgetting(root: Root, path: str) -> str:
    return f"mlib roots remove {quoted(root.path)} {library_option(path)}"


def _less_needed(root: Root, other: Root) -> Root:
    """Of two the one to forget: one that nobody typed would be back with the next scan."""
    return other if other.origin == _TYPED and root.origin != _TYPED else root


def _racy(library: Library, path: str) -> Iterator[Check]:
    count = health.racy_files(library)
    if count:
        message = f"{count:,} files were read right after they had changed, and are to be read again"
        yield Check("racy", "warning", message, f"mlib scan {library_option(path)}")
    else:
        yield Check("racy", "ok", "every file's stamp can be relied on")


def _fileless(library: Library, path: str) -> Iterator[Check]:
    count = health.models_without_files(library)
    if count:
        message = f"{count:,} models are known at no path, not even a former one"
        yield Check("files", "warning", message, f"mlib missing {library_option(path)}")
    else:
        yield Check("files", "ok", "every model has a path, or had one")


def _facts(library: Library, path: str, fix: bool) -> Iterator[Check]:
    count = health.orphaned_facts(library)
    if not count:
        yield Check("facts", "ok", "every fact is about something known")
        return
    message = f"facts about what nothing else knows: {count:,}"
    check = Check("facts", "warning", message, f"mlib doctor --fix {library_option(path)}")

    def mend() -> None:
        with library.transaction():
            health.remove_orphaned_facts(library)
            tags.forget_unused(library)

    yield done(check, mend, fix)


def _sidecars(library: Library) -> Iterator[Check]:
    count = health.orphaned_sidecars(library)
    if count:
        yield Check(
            "sidecars", "ok", f"{count:,} files beside the models look like sidecars and belong to none"
        )
    else:
        yield Check("sidecars", "ok", "every sidecar belongs to a model")


def _leftovers(library: Library, fix: bool) -> Iterator[Check]:
    """Only halves of texts are removed: a copy that is whole may be worth more than its room."""
    places = {root.path for root in roots.all_roots(library)} | set(health.directories(library))
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
        yield Check("leftovers", "ok", "no command has left anything half done in a model folder")


def _findings(library: Library, path: str) -> Iterator[Check]:
    found = health.findings(library)
    for code, count, serious in found:
        message = f"{code}: {count:,}"
        state: State = "warning" if serious else "ok"
        yield Check("findings", state, message, f"mlib list finding:{code} {library_option(path)}")
    if not found:
        yield Check("findings", "ok", "nothing is wrong with any model")


def _free_pages(library: Library, path: str, fix: bool) -> Iterator[Check]:
    share = health.free_share(library)
    if share > _MUCH_FREE:
        message = f"{share:.0%} of the file is free and could be given back"
        check = Check("free_pages", "warning", message, f"mlib doctor --fix {library_option(path)}")
        yield done(check, lambda: health.compact(library), fix)
    else:
        yield Check("free_pages", "ok", f"{share:.0%} of the file is free")
