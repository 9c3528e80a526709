"""Turn the rows of an older manager's database into pending imports."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlib.core import jsontext, meta, tag_spelling, times
from mlib.core.comfyui.folders import canonical_type
from mlib.core.errors import MlibError, WrongUsage
from mlib.core.payloads import strip_images
from mlib.core.records import Pending
from mlib.core.text import displayable
from mlib.db import files, models, pending
from mlib.db.legacy import LegacyRow, read_legacy
from mlib.services.importing.staging import PathMap, UnusableRow, map_path, merge_pending
from mlib.services.resolving import check_waiting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlib.db.library import Library

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_SHORT_HASH = re.compile(r"[0-9a-f]{8,64}")


@dataclass(slots=True)
class StageReport:
    """The pending imports a database gave, and what it could not give."""

    kind: str
    ids: list[int] = field(default_factory=list)
    bad: list[UnusableRow] = field(default_factory=list)
    backup: str | None = None


def stage_legacy(
    library: Library, path: str, *, moves: Sequence[PathMap] = (), keep_backup: bool = True
) -> StageReport:
    """Stage every row of an older manager's database, in one transaction; twice is the same as once.

    The beginnings of its paths are changed as `moves` says.

    Raises MlibError for a file that is none (`empty_file`, ...), before the library is touched.
    """
    if os.path.isfile(path) and not os.path.getsize(path):  # to SQLite it is a database without tables
        raise MlibError("empty_file", f"empty file, nothing to import: {path}")
    database = read_legacy(path)
    report = StageReport(kind=database.kind)
    report.bad += [UnusableRow(row.path, row.code, f"{row.row}: {row.message}") for row in database.bad]
    if keep_backup and not models.is_empty(library):
        report.backup = library.backup("before-import")
    with library.transaction():
        for row in database.rows:
            entry = pending_from(row, source=path)
            if isinstance(entry, UnusableRow):
                report.bad.append(entry)
                continue
            entry = entry._replace(path=map_path(entry.path, moves))
            entry, differs = merge_pending(library, _completed(library, entry))
            report.ids.append(pending.put(library, entry))
            if differs:
                message = f"{row.row}: conflicts with the pending import at this path: {', '.join(differs)}"
                report.bad.append(UnusableRow(row.path, "differs", message))
    return report


def map_waiting(
    library: Library, moves: Sequence[PathMap], ids: Sequence[int] | None = None
) -> tuple[list[int], list[UnusableRow]]:
    """Look elsewhere for what waits, or for these, from now on: those that are left, and what could not be
    moved there.

    Two that come to one path are one from then on. What a scan of this machine has read stays where it was
    read. Part of a transaction. Raises NotFound (`pending_not_found`) before anything is done.
    """
    wanted = pending.ids(library) if ids is None else list(dict.fromkeys(ids))
    check_waiting(library, wanted)
    bad: list[UnusableRow] = []
    for pending_id in wanted:
        entry = pending.get(library, pending_id)
        if entry is None or entry.observed is not None or map_path(entry.path, moves) == entry.path:
            continue
        here = entry._replace(id=None, path=map_path(entry.path, moves))
        whole, differs = merge_pending(library, here)
        if differs:
            message = (
                f"pending:{pending_id}: conflicts with what is pending at {here.path}: {', '.join(differs)}"
            )
            bad.append(UnusableRow(entry.path, "differs", message))
            continue
        if whole.id is not None:  # two rows about one file
            pending.remove(library, whole.id)
        whole = whole._replace(id=pending_id)
        pending.put(library, whole)
        complete, differs = merge_pending(library, _completed(library, whole))
        if differs:
            continue
        pending.put(library, complete)
        if complete.id != pending_id:  # the file there is known by now, and an earlier one is about it too
            pending.remove(library, pending_id)
    return [pending_id for pending_id in wanted if pending.exists(library, pending_id)], bad


def pending_from(row: LegacyRow, *, source: str) -> Pending | UnusableRow:
    """What one old row says, in this library's words; image payloads are left behind."""
    sha256 = row.sha.lower() if _SHA256.fullmatch(row.sha) else None
    claim = row.sha.strip().lower()
    if not row.path and sha256 is None:
        return UnusableRow(row.path, "no_path", f"{row.row}: has neither a path nor a hash")
    free = _meta_of(row)
    description = _take_text(free, "description")
    kept_tags = _tags_of(row, free)
    file_name = displayable(row.path.replace("\\", "/").rpartition("/")[2])
    name = displayable(row.name).strip()
    edited = {"name"} if name and name != file_name else set()
    if description:
        edited.add("description")
    return Pending(
        path=row.path,
        source=displayable(source),
        sha256=sha256,
        claimed_hash=claim if sha256 is None and _SHORT_HASH.fullmatch(claim) else None,
        name=name or file_name,
        type=canonical_type(displayable(row.type)) or "other",
        description=description,
        size_bytes=row.size_bytes or None,
        created_at=row.created_at or times.now(),
        edited=frozenset(edited),
        meta_json=None if _says_nothing(free) else jsontext.dump(free),
        tags=kept_tags,
    )


def _completed(library: Library, entry: Pending) -> Pending:
    """A row without a hash whose path the library knows holds what the library read there.

    One that is waiting already, from an earlier import of the same database, keeps its place. One that
    contradicts what is said of that content there goes on waiting.
    """
    if entry.sha256 is not None or not entry.path:
        return entry
    known = next((row for row in files.at_path(library, entry.path) if row.missing_since is None), None)
    if known is None or known.stat is None:
        return entry
    complete = entry._replace(sha256=known.sha256, size_bytes=known.stat.size_bytes, observed=known)
    here = {old.sha256: old.id for old in pending.at_path(library, entry.path)}
    if known.sha256 in here:
        _, differs = merge_pending(library, complete)
        return entry if differs else complete
    return complete._replace(id=here.get(None))


def _meta_of(row: LegacyRow) -> dict[str, jsontext.Json]:
    """All JSON of a row as one object: later texts win, and what is no object is kept under a name."""
    whole: dict[str, jsontext.Json] = {}
    for text in row.meta_texts:
        stripped = strip_images(text).text
        try:
            value = jsontext.parse(stripped)
        except jsontext.NotJson:
            value = {"unparsed": stripped.encode("utf-8", "replace").decode()}
        if value is None:
            continue
        whole = meta.override(whole, value if isinstance(value, dict) else {"value": value})
    return whole


def _take_text(free: dict[str, jsontext.Json], key: str) -> str:
    value = free.get(key)
    if value is None or (isinstance(value, str) and not isinstance(value, jsontext.Number)):
        free.pop(key, None)
        return (value or "").replace("\0", "").strip()
    return ""


def _tags_of(row: LegacyRow, free: dict[str, jsontext.Json]) -> tuple[str, ...]:
    kept: list[str] = []
    unfit: list[jsontext.Json] = []
    for tag in row.tags:
        try:
            kept.append(tag_spelling.checked_tag(displayable(tag)))
        except WrongUsage:
            if tag.strip():
                unfit.append(displayable(tag))
    if unfit:
        free["unfit_tags"] = unfit
    return tuple(kept)


def _says_nothing(free: dict[str, jsontext.Json]) -> bool:
    nothing = jsontext.Number("0")
    return meta.is_empty(
        {key: value for key, value in free.items() if (key, value) != ("images_count", nothing)}
    )
