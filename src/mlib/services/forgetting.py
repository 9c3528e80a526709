"""List models whose files are missing, and delete models on request."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mlib.core import times
from mlib.core.disk.walk import is_within
from mlib.core.errors import Hint, Refused
from mlib.db import files, models, pending, tags
from mlib.services.files.selection import offline_roots

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlib.core.records import Root
    from mlib.db.library import Library
    from mlib.db.models import MissingModel
    from mlib.services.resolving import Target

#: A greater part of the library than this is not pruned without a word.
PRUNE_GUARD = 0.1


class Missing(NamedTuple):
    """A model without a file; `offline` where one may lie in a root that is not there now."""

    model: MissingModel
    offline: bool


class ForgottenModel(NamedTuple):
    """A model, or a pending import (`sha256` is None), that was forgotten; `paths` are of present files."""

    sha256: str | None
    pending_id: int | None
    name: str
    missing_since: int | None
    paths: tuple[str, ...] = ()


class ForgetReport(NamedTuple):
    """What was forgotten; `kept_offline` counts models that were old enough but may only be switched off.

    `too_many` says that without `force` a prune would refuse.
    """

    forgotten: tuple[ForgottenModel, ...]
    kept_offline: int = 0
    backup: str | None = None
    too_many: bool = False


class _Old(NamedTuple):
    """The models that were gone for long enough, and how many more there are in roots that are offline.

    A model that no scan ever saw is not gone.
    """

    models: tuple[MissingModel, ...]
    kept_offline: int
    too_many: bool


def missing(library: Library) -> list[Missing]:
    """Every model without a file, the latest gone first; those that no scan ever saw come last."""
    away = offline_roots(library)
    found = [Missing(model, _is_offline(model, away)) for model in models.missing(library)]
    return sorted(found, key=lambda each: (-(each.model.since or 0), each.model.name, each.model.sha256))


def prune(library: Library, missing_for: int, *, force: bool = False) -> ForgetReport:
    """Forget models without a file for so many milliseconds; in one transaction, after a backup.

    Raises Refused (`too_many`) where that is more than a tenth of the library, unless `force` is given.
    """
    before = times.now() - missing_for
    away = offline_roots(library)
    found = _old(library, before, away)
    _guard(library, found, force=force)
    backup = library.backup("before-prune") if found.models else None
    with library.transaction():
        found = _old(library, before, away)  # a scan may have found some meanwhile
        _guard(library, found, force=force)
        models.delete(library, [model.sha256 for model in found.models])
        tags.forget_unused(library)
    forgotten = tuple(ForgottenModel(each.sha256, None, each.name, each.since) for each in found.models)
    return ForgetReport(forgotten, found.kept_offline, backup, found.too_many)


def forget(library: Library, targets: Sequence[Target]) -> ForgetReport:
    """Forget these models and pending imports with all that was said of them; after a backup."""
    backup = library.backup("before-forget") if targets else None
    with library.transaction():
        found = [each for each in (_forgotten(library, target) for target in dict.fromkeys(targets)) if each]
        models.delete(library, [each.sha256 for each in found if each.sha256 is not None])
        tags.forget_unused(library)
    return ForgetReport(tuple(found), 0, backup)


def _forgotten(library: Library, target: Target) -> ForgottenModel | None:
    """What is known of one that is to be forgotten, None if somebody else did."""
    if target.pending_id is not None:
        entry = pending.get(library, target.pending_id)
        if entry is None:
            return None
        pending.remove(library, target.pending_id)
        if entry.sha256 is not None:
            models.delete_facts(library, entry.sha256)
        return ForgottenModel(None, target.pending_id, entry.name, None)
    assert target.sha256 is not None
    model = models.get(library, target.sha256)
    if model is None:
        return None
    rows = files.of_model(library, target.sha256)
    paths = tuple(row.path for row in rows if row.missing_since is None)
    since = None if paths or not rows else rows[0].missing_since
    return ForgottenModel(target.sha256, None, model.name, since, paths)


def _old(library: Library, before: int, away: Sequence[Root]) -> _Old:
    long_gone = [each for each in models.missing(library) if each.since is not None and each.since <= before]
    judged = [model for model in long_gone if not _is_offline(model, away)]
    total = models.count(library)
    return _Old(tuple(judged), len(long_gone) - len(judged), len(judged) > PRUNE_GUARD * total)


def _guard(library: Library, found: _Old, *, force: bool) -> None:
    if found.too_many and not force:
        total = models.count(library)
        raise Refused(
            "too_many",
            f"this would forget {len(found.models)} of {total} models, more than a tenth of the library",
            hint=Hint("look at {}, then add {}", ("missing",), ("--yes", "--force")),
        )


def _is_offline(model: MissingModel, away: Sequence[Root]) -> bool:
    return any(
        place.root_id == root.id or is_within(place.path, root.path)
        for place in model.places
        for root in away
    )
