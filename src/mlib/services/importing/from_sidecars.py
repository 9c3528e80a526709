"""Import what other managers keep beside the models, with the same conflict strategies."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mlib.core import times
from mlib.core.disk.compare import stat_of
from mlib.core.disk.walk import reason
from mlib.core.records import TEXT_FIELDS, OtherHashes
from mlib.core.sidecars.companions import SIDECAR_KINDS, beside, neighbours, stem_of
from mlib.core.sidecars.filling import (
    MISMATCH,
    Filling,
    History,
    Named,
    digests,
    filled,
    is_about_others,
    mismatch,
    offered,
)
from mlib.core.sidecars.parse import read_shared_sidecar, read_sidecar
from mlib.core.sidecars.record import SidecarError, packed, unpacked
from mlib.core.tag_spelling import distinct
from mlib.core.text import displayable
from mlib.db import contents, files, models, sidecars, tags
from mlib.db.sidecars import KnownSidecar
from mlib.services.importing.importer import (
    Conflict,
    ConflictStrategy,
    Failed,
    Imported,
    ImportReport,
    UserData,
    user_data,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mlib.core.formats.header import Finding
    from mlib.core.records import KnownFile, Model
    from mlib.core.sidecars.companions import Companion, Neighbours
    from mlib.core.sidecars.record import Sidecar
    from mlib.db.library import Library
    from mlib.db.sidecars import Stamp

    _Listed = Callable[[str], Neighbours]

#: Models whose sidecars are read before what they say is written.
BATCH = 100
#: Directories whose listings are kept, for the models of one come in any order.
LISTINGS = 64


@dataclass(frozen=True, slots=True)
class _Word:
    """What the sidecars of one model say: those about it, and those about another file.

    `kept` is what was read of those that are this file's alone, and `wrong` what is wrong with any.
    """

    file: KnownFile
    own: tuple[Named, ...]
    foreign: tuple[Named, ...]
    kept: tuple[KnownSidecar, ...]
    wrong: tuple[Finding, ...]


def import_sidecars(
    library: Library,
    shas: Sequence[str] | None,
    *,
    strategy: ConflictStrategy = ConflictStrategy.REPORT,
    keep_backup: bool = True,
) -> ImportReport:
    """Read the sidecars of these models, or of all, and take over what they say.

    With every strategy they fill what is empty. Where a person typed something else, `report` lists it,
    `merge` keeps it and unites the tags, `override` takes the sidecar's word, `ignore` leaves such a model
    alone. A sidecar about another file is a conflict under `report`, and believed only by `override`.
    """
    report = ImportReport()
    listed = lru_cache(maxsize=LISTINGS)(neighbours)
    wanted = models.all_ids(library) if shas is None else list(dict.fromkeys(shas))
    if strategy is ConflictStrategy.OVERRIDE and keep_backup and wanted:
        report.backup = library.backup("before-import")
    for start in range(0, len(wanted), BATCH):
        words = {sha256: _read(library, sha256, listed, report) for sha256 in wanted[start : start + BATCH]}
        with library.transaction():
            for sha256, word in words.items():
                model = models.get(library, sha256)
                if word is not None and model is not None:
                    _import_one(library, model, word, strategy, report)
            tags.forget_unused(library)
    return report


def _read(library: Library, sha256: str, listed: _Listed, report: ImportReport) -> _Word | None:
    """What is said at the first place with a sidecar about the model, else at the first with any."""
    of_others: _Word | None = None
    for file in files.of_model(library, sha256):
        if file.missing_since is None:
            word = _judged(library, file, list(_sidecars(library, file, listed, report)), listed)
            if word.own:
                return word
            of_others = of_others or (word if word.foreign else None)
    return of_others


def _judged(
    library: Library, file: KnownFile, read: Sequence[tuple[Companion, Sidecar, Stamp]], listed: _Listed
) -> _Word:
    known = _hashes(library, file.sha256)
    own, foreign, kept, wrong = [], [], [], []
    alone = len(_of_stem(file, listed)) == 1
    for companion, sidecar, stamp in read:
        named = Named(companion.name, sidecar)
        finding = mismatch(named, file.sha256, known)
        if finding is None:
            own.append(named)
        elif not _is_shared(library, companion, file, listed):
            foreign.append(named)
            wrong.append(finding)
        if alone or companion.of:
            kept.append(KnownSidecar(companion.name, companion.kind, *stamp, packed(sidecar)))
    return _Word(file, tuple(own), tuple(foreign), tuple(kept), tuple(wrong))


def _hashes(library: Library, sha256: str) -> OtherHashes:
    return contents.hashes_of(library, sha256) or OtherHashes()


def _of_stem(file: KnownFile, listed: _Listed) -> tuple[str, ...]:
    """The names of the models that share the sidecars of this file, its own among them."""
    return listed(file.directory).models.get(stem_of(file.name), (file.name,))


def _is_shared(library: Library, companion: Companion, file: KnownFile, listed: _Listed) -> bool:
    """Whether a sidecar that is not about this file is about the others of its stem, and no more."""
    if companion.of:
        return False
    names = _of_stem(file, listed)
    paths = (os.path.join(file.directory, name) for name in names if name != file.name)
    rows = [row for path in paths for row in files.at_path(library, path) if row.missing_since is None]
    others = [(row.sha256, _hashes(library, row.sha256)) for row in rows]
    if not others:
        return False
    path = os.path.join(file.directory, companion.name)
    known = {row.name: digests(row.sha256, _hashes(library, row.sha256)) for row in (file, *rows)}
    try:
        said = read_shared_sidecar(path, kind=companion.kind, model_names=names, digests=known)
    except (FileNotFoundError, SidecarError):  # it changed meanwhile
        return False
    return is_about_others(Named(companion.name, said), others)


def _sidecars(
    library: Library, file: KnownFile, listed: _Listed, report: ImportReport
) -> Iterator[tuple[Companion, Sidecar, Stamp]]:
    """The sidecars of a file that say something, each with its stat from before it was read."""
    known = digests(file.sha256, _hashes(library, file.sha256))
    for companion in beside(file.path, listed=listed):
        if companion.kind not in SIDECAR_KINDS:
            continue
        path = os.path.join(file.directory, companion.name)
        try:
            size, mtime_ns, _, inode = stat_of(os.stat(path))
            sidecar = read_sidecar(path, kind=companion.kind, model_name=file.name, digests=known)
        except FileNotFoundError:
            continue
        except OSError as error:
            report.failed.append(Failed(None, path, "unreadable", f"cannot read it: {reason(error)}"))
            continue
        except SidecarError as error:
            if error.code != "wrong_kind":
                report.failed.append(Failed(None, path, error.code, error.message))
            continue
        if not sidecar.is_empty:
            yield companion, sidecar, (size, mtime_ns, inode)


def _import_one(
    library: Library, model: Model, word: _Word, strategy: ConflictStrategy, report: ImportReport
) -> None:
    existing = user_data(library, model)
    if strategy is ConflictStrategy.IGNORE and existing:
        report.ignored.append(model.sha256)
        return
    believed = word.own + (word.foreign if strategy is ConflictStrategy.OVERRIDE else ())
    filling = offered([named.sidecar for named in believed], file_name=word.file.name)
    changed = _with_text(library, model, filling, word, strategy)
    held = distinct(tags.of_model(library, model.sha256))
    wanted = _tags(held, distinct(filling.tags), strategy)
    retagged = wanted.keys() != held.keys()  # another spelling of a tag is the same tag
    if retagged:
        tags.set_of_model(library, model.sha256, wanted)
    if changed != model or retagged:
        models.put(library, [changed._replace(updated_at=times.now())])
    # Not before: what is filled depends on what the same sidecars said the last time.
    sidecars.put(library, word.file.directory, word.kept)
    contents.put_place_findings(library, word.file, word.wrong, codes={MISMATCH})
    differs = _differs(existing, filling, word) if strategy is ConflictStrategy.REPORT else ()
    if differs:
        incoming = UserData(text=filling.text, tags=distinct(filling.tags))
        report.conflict.append(Conflict(None, model.sha256, word.file.path, incoming, existing, differs))
    else:
        change = "updated" if changed != model or retagged else "unchanged"
        report.success.append(Imported(None, model.sha256, change))


def _with_text(
    library: Library, model: Model, filling: Filling, word: _Word, strategy: ConflictStrategy
) -> Model:
    content = contents.get(library, model.sha256)
    facts = {
        "name": {displayable(each.name) for each in files.of_model(library, model.sha256)},
        "base_model": {content.base_model} if content else (),
    }
    result, _ = filled(model, filling, facts=facts, history=_history(library, word))
    if strategy is ConflictStrategy.OVERRIDE:
        taken: dict[str, Any] = {name: filling.text[name] for name in TEXT_FIELDS if name in filling.text}
        result = result._replace(**taken)
    return result


def _history(library: Library, word: _Word) -> History:
    """What a scan has read of the same sidecars before: what it filled then may be filled anew."""
    known = (sidecars.get(library, word.file.directory, named.name) for named in word.own)
    said = [unpacked(each.sidecar_json) for each in known if each is not None and each.sidecar_json]
    return History((offered(said, file_name=word.file.name),))


def _tags(held: dict[str, str], offered_: dict[str, str], strategy: ConflictStrategy) -> dict[str, str]:
    if strategy is ConflictStrategy.MERGE:
        return {**offered_, **held}
    if strategy is ConflictStrategy.OVERRIDE:
        return offered_ or held
    return held or offered_


def _differs(existing: UserData, filling: Filling, word: _Word) -> tuple[str, ...]:
    """What a person typed and a sidecar says otherwise; tags that somebody chose need no company."""
    differs = [name for name, value in existing.text.items() if filling.text.get(name, value) != value]
    return (*differs, *(["sha256"] if word.foreign else []))
