"""Reading the sidecars that are new or changed, and filling with them what nobody typed."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from mlib.core import times
from mlib.core.models import OtherHashes, Problem
from mlib.core.sidecars.companions import SIDECAR_KINDS, by_stem, stem_of
from mlib.core.sidecars.filling import MISMATCH, Named, filled, mismatch, offered
from mlib.core.sidecars.kept import packed, unpacked
from mlib.core.sidecars.read import read_sidecar
from mlib.core.sidecars.record import SidecarError
from mlib.core.tags import distinct
from mlib.core.text import displayable
from mlib.db import contents, files, hashes, models, sidecars, tags
from mlib.db.sidecars import KnownSidecar
from mlib.services.scanning.beside import stamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mlib.core.formats.header import Finding
    from mlib.core.models import KnownFile
    from mlib.db.library import Library
    from mlib.services.scanning.beside import Beside
    from mlib.services.scanning.ledger import Ledger
    from mlib.services.scanning.survey import Survey


def read_news(seen: Survey, ledger: Ledger) -> list[Problem]:
    """Read what is new, directory by directory; the sidecars that could not be read are problems."""
    problems: list[Problem] = []
    fresh: dict[str, set[str]] = {}
    for found, _ in seen.fresh:
        fresh.setdefault(found.directory, set()).add(found.name)
    for directory, beside in seen.beside.items():
        names = fresh.get(directory, set())
        if beside.news or beside.gone or names:
            problems += _one_directory(ledger, directory, beside, names)
    return problems


def _one_directory(ledger: Ledger, directory: str, beside: Beside, fresh: set[str]) -> list[Problem]:
    library = ledger.library
    rows = [row for row in files.in_directory(library, directory) if row.missing_since is None]
    companions = by_stem([*(row.name for row in rows), *beside.found])
    known = sidecars.in_directory(library, directory)
    problems: list[Problem] = []
    read: list[KnownSidecar] = []
    wanted: set[str] = {stem_of(name) for name in fresh}
    for stem, found in companions.items():
        for companion in found:
            if companion.kind in SIDECAR_KINDS and companion.name in beside.news:
                wanted.add(stem)
                read.append(_read(directory, companion.name, companion.kind, beside, problems))
    now = {**known, **{each.name: each for each in read}}
    wanted |= {stem_of(row.name) for row in rows if any(_is_of(name, row.name) for name in beside.gone)}
    with library.transaction():
        sidecars.put(library, directory, read)
        sidecars.remove(library, directory, beside.gone)
        for row in rows:
            stem = stem_of(row.name)
            if stem in wanted:
                names = [each.name for each in companions.get(stem, ()) if each.kind in SIDECAR_KINDS]
                found_wrong = _fill(
                    library, row, names, now=now, before=known, is_new=row.sha256 in ledger.new
                )
                ledger.findings += [(row.path, finding) for finding in found_wrong]
    return problems


def _is_of(sidecar: str, model: str) -> bool:
    return sidecar.lower().startswith(stem_of(model))


def _read(directory: str, name: str, kind: str, beside: Beside, problems: list[Problem]) -> KnownSidecar:
    path = os.path.join(directory, name)
    said: str | None = None
    try:
        sidecar = read_sidecar(path, kind=kind)
        said = None if sidecar.is_empty else packed(sidecar)
    except FileNotFoundError:
        pass
    except SidecarError as error:
        if error.code != "wrong_kind":
            problems.append(Problem(path, error.code, f"a sidecar that cannot be read: {error.message}"))
    return KnownSidecar(name, kind, *stamp(beside.found[name]), said)


def _fill(
    library: Library,
    row: KnownFile,
    names: Sequence[str],
    *,
    now: Mapping[str, KnownSidecar],
    before: Mapping[str, KnownSidecar],
    is_new: bool,
) -> list[Finding]:
    """Fill what is empty in the model of one file; the sidecars that are about another file."""
    model = models.get(library, row.sha256)
    if model is None:
        return []
    known_hashes = hashes.get(library, row.sha256) or OtherHashes()
    own: list[Named] = []
    wrong: list[Finding] = []
    for named in _said(names, now):
        finding = mismatch(named, row.sha256, known_hashes)
        if finding is None:
            own.append(named)
        else:
            wrong.append(finding)
    contents.put_place_findings(library, row, wrong, codes=frozenset({MISMATCH}))
    filling = offered([each.sidecar for each in own], file_name=row.name)
    earlier = offered([each.sidecar for each in _said(names, before)], file_name=row.name)
    content = contents.get(library, row.sha256)
    facts = {"name": displayable(row.name), "base_model": content.base_model if content else ""}
    changed_model, changed = filled(model, filling, before=earlier, facts=facts)
    held = set(distinct(tags.of_model(library, row.sha256)))
    fill_tags = bool(filling.tags) and (not held or held == set(distinct(earlier.tags)))
    if fill_tags and held != set(distinct(filling.tags)):
        tags.set_of_model(library, row.sha256, distinct(filling.tags))
        changed = {**changed, "tags": ""}
    if changed:
        # What is new is not updated by what lay beside it from the start.
        moment = model.updated_at if is_new else times.now()
        models.put(library, [replace(changed_model, updated_at=moment)])
    return wrong


def _said(names: Iterable[str], known: Mapping[str, KnownSidecar]) -> list[Named]:
    return [
        Named(name, unpacked(said))
        for name in names
        if name in known and (said := known[name].sidecar_json) is not None
    ]
