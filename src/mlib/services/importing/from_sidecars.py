"""Taking over what other managers laid beside the models: the same strategies, for another source."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlib.core import times
from mlib.core.models import TEXT_FIELDS, OtherHashes
from mlib.core.sidecars.beside import beside
from mlib.core.sidecars.companions import SIDECAR_KINDS, stem_of
from mlib.core.sidecars.filling import Filling, History, Named, filled, is_about_others, mismatch, offered
from mlib.core.sidecars.kept import unpacked
from mlib.core.sidecars.read import read_shared_sidecar, read_sidecar
from mlib.core.sidecars.record import SidecarError
from mlib.core.tags import distinct
from mlib.core.text import displayable
from mlib.db import contents, files, hashes, models, sidecars, tags
from mlib.services.importing.importer import user_data
from mlib.services.importing.report import Conflict, Failed, Imported, ImportReport
from mlib.services.importing.strategies import ConflictStrategy, UserData

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlib.core.models import KnownFile, Model
    from mlib.db.library import Library

#: Models whose sidecars are read before what they say is written.
BATCH = 100


@dataclass(frozen=True, slots=True)
class _Word:
    """What the sidecars of one model say: those about it, and the names of those about another file."""

    file: KnownFile
    own: tuple[Named, ...]
    foreign: tuple[Named, ...]


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
    wanted = models.all_ids(library) if shas is None else list(dict.fromkeys(shas))
    if strategy is ConflictStrategy.OVERRIDE and keep_backup and wanted:
        report.backup = library.backup("before-import")
    for start in range(0, len(wanted), BATCH):
        words = {sha256: _read(library, sha256, report) for sha256 in wanted[start : start + BATCH]}
        with library.transaction():
            for sha256, word in words.items():
                model = models.get(library, sha256)
                if word is not None and model is not None:
                    _import_one(library, model, word, strategy, report)
            tags.forget_unused(library)
    return report


def _read(library: Library, sha256: str, report: ImportReport) -> _Word | None:
    """What is said at the first place with a sidecar about the model, else at the first with any."""
    of_others: _Word | None = None
    for file in files.of_model(library, sha256):
        if file.missing_since is None and (read := list(_sidecars(file, report))):
            known = _hashes(library, sha256)
            own = tuple(named for named in read if mismatch(named, sha256, known) is None)
            others = (named for named in read if named not in own)
            word = _Word(file, own, tuple(named for named in others if not _is_shared(library, named, file)))
            if own:
                return word
            of_others = of_others or (word if word.foreign else None)
    return of_others


def _hashes(library: Library, sha256: str) -> OtherHashes:
    return hashes.get(library, sha256) or OtherHashes()


def _is_shared(library: Library, named: Named, file: KnownFile) -> bool:
    """Whether a sidecar that is not about this file is about the others of its stem, and no more."""
    others = [
        each
        for each in files.in_directory(library, file.directory)
        if each.missing_since is None and each.name != file.name and stem_of(each.name) == stem_of(file.name)
    ]
    if not others:
        return False
    path, names = os.path.join(file.directory, named.name), [file.name, *(each.name for each in others)]
    try:
        said = read_shared_sidecar(path, kind=named.sidecar.kind, model_names=names)
    except (FileNotFoundError, SidecarError):  # it changed meanwhile
        return False
    return is_about_others(
        Named(named.name, said), [(each.sha256, _hashes(library, each.sha256)) for each in others]
    )


def _sidecars(file: KnownFile, report: ImportReport) -> Iterator[Named]:
    for companion in beside(file.path):
        if companion.kind not in SIDECAR_KINDS:
            continue
        path = os.path.join(file.directory, companion.name)
        try:
            sidecar = read_sidecar(path, kind=companion.kind, model_name=file.name)
        except FileNotFoundError:
            continue
        except SidecarError as error:
            if error.code != "wrong_kind":
                report.failed.append(Failed(None, path, error.code, error.message))
            continue
        if not sidecar.is_empty:
            yield Named(companion.name, sidecar)


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
