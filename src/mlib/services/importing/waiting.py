"""What waits for import, and why."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from mlib.core import jsontext
from mlib.core.models import SCANNED
from mlib.db import models, pending
from mlib.services.importing.importer import incoming, user_data
from mlib.services.importing.report import Failed
from mlib.services.importing.strategies import ConflictStrategy, differences, resolved

if TYPE_CHECKING:
    from mlib.core.models import Pending
    from mlib.db.library import Library


class Reason(StrEnum):
    """Why a pending import waits."""

    CONFLICT = "conflict"
    PATH_NOT_FOUND = "path_not_found"
    UNHASHED = "unhashed"
    BAD_META = "bad_meta"
    READY = "ready"


class Wait(NamedTuple):
    """A pending import, and why it waits.

    In a conflict `model` is what the model it is about is called, and `differs` the fields they disagree on.
    """

    entry: Pending
    reason: Reason
    model: str | None = None
    differs: tuple[str, ...] = ()


def waiting(library: Library) -> list[Wait]:
    """Every pending import with what keeps it, oldest first.

    Looks at the disk for those without a hash, and for what a scan has staged: it may have gone since.
    """
    with library.reading():
        entries = [pending.get(library, pending_id) for pending_id in pending.ids(library)]
        judged = [_judged(library, entry) for entry in filter(None, entries)]
    return [_looked_for(wait) for wait in judged]


def _judged(library: Library, entry: Pending) -> Wait:
    if entry.sha256 is None:
        return Wait(entry, Reason.UNHASHED)
    data = incoming(entry)
    if isinstance(data, Failed):
        return Wait(entry, Reason.BAD_META)
    model = models.get(library, entry.sha256)
    if model is None:
        return Wait(entry, Reason.READY)
    try:
        existing = user_data(library, model)
    except jsontext.NotJson:
        return Wait(entry, Reason.BAD_META, model.name)
    if resolved(existing, data, ConflictStrategy.REPORT) is not None:
        return Wait(entry, Reason.READY, model.name)
    return Wait(entry, Reason.CONFLICT, model.name, differences(existing, data))


def _looked_for(wait: Wait) -> Wait:
    is_staged = wait.reason is Reason.READY and wait.entry.source == SCANNED
    if wait.reason is not Reason.UNHASHED and not is_staged:
        return wait
    found = "\0" not in wait.entry.path and os.path.lexists(wait.entry.path)
    return wait if found else wait._replace(reason=Reason.PATH_NOT_FOUND)
