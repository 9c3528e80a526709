"""Laying what a person typed beside the models, for other managers; the one writer into model folders."""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.comfyui import is_model_name
from mlib.core.compare import stat_of
from mlib.core.disk.leftovers import settle, sweep
from mlib.core.disk.writing import looked_at, write_new, write_over
from mlib.core.errors import MlibError
from mlib.core.models import OtherHashes, Problem
from mlib.core.sidecars.companions import stem_of
from mlib.core.sidecars.filling import Named, mismatch
from mlib.core.sidecars.kept import packed
from mlib.core.sidecars.read import parse_sidecar
from mlib.core.sidecars.record import SidecarError
from mlib.core.sidecars.writing import NotOursToChangeError, merged_text, sidecar_name, typed_words
from mlib.db import files, given, hashes, models, sidecars, tags

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlib.core.jsontext import Json
    from mlib.core.models import KnownFile, Model
    from mlib.db.library import Library

_KIND = "metadata_json"
#: Bytes of a sidecar that is read before it is changed.
_LARGEST = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Planned:
    """A sidecar to be written: its whole text, and what it replaces (None: nothing)."""

    path: str
    file: KnownFile
    text: str
    before: bytes | None
    fields: frozenset[str]


@dataclass(slots=True)
class LayReport:
    """The sidecars that were, or are to be, written; what was right already; what was left alone and why.

    `untyped` counts the models that were passed over: nobody typed anything of them that a sidecar tells.
    """

    planned: list[Planned] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    unchanged: int = 0
    untyped: int = 0
    problems: list[Problem] = field(default_factory=list)


class _Folder(NamedTuple):
    """What lies in a directory: the models of each stem, and every name by its lower case."""

    models: defaultdict[str, set[str]]
    names: defaultdict[str, set[str]]


def plan_sidecars(library: Library, shas: Sequence[str] | None) -> LayReport:
    """What is to be written beside the present files of these models, or of all. Changes nothing.

    Only of models of which something was typed. Left alone: a file that is not what it was when it was
    scanned, one that shares its stem with another model, a sidecar that is about another file or is not a
    JSON object.
    """
    report = LayReport()
    folder_of = cache(_folder)  # not listed once for each of its files
    for sha256 in models.all_ids(library) if shas is None else shas:
        with library.reading():
            model = models.get(library, sha256)
            words = typed_words(model, tags.of_model(library, sha256)) if model is not None else {}
            rows = [row for row in files.of_model(library, sha256) if row.missing_since is None]
            known = hashes.get(library, sha256) or OtherHashes()
        if model is None:
            continue
        if not words:
            report.untyped += 1
            continue
        for row in rows:
            try:
                planned = _planned(model, row, folder_of, words, known)
            except MlibError as error:
                report.problems.append(Problem(row.path, error.code, error.message))
            else:
                if planned is None:
                    report.unchanged += 1
                else:
                    report.planned.append(planned)
    return report


def lay_sidecars(library: Library, report: LayReport) -> None:
    """Write what is planned, each whole or not at all, and note that these are our own words.

    So the next scan has nothing to read, and takes nothing back from them that is emptied later. What a run
    that was killed has left in the same folders is removed.
    """
    for directory in sorted({os.path.dirname(planned.path) for planned in report.planned}):
        sweep(directory)
    for planned in report.planned:
        try:
            _write(planned)
        except MlibError as error:
            report.problems.append(Problem(planned.path, error.code, error.message))
            if error.code == "disk_full":
                return
            continue
        report.written.append(planned.path)
        _note(library, planned)


def _folder(directory: str) -> _Folder:
    folder = _Folder(defaultdict(set), defaultdict(set))
    for name in os.listdir(directory):
        folder.names[name.lower()].add(name)
        if is_model_name(name, any_file=False):
            folder.models[stem_of(name)].add(name)
    return folder


def _planned(
    model: Model,
    row: KnownFile,
    folder_of: Callable[[str], _Folder],
    words: Mapping[str, Json],
    known: OtherHashes,
) -> Planned | None:
    try:
        status = os.stat(row.path)
        folder = folder_of(row.directory)
    except OSError as error:
        raise MlibError("unreadable", f"the file cannot be looked at: {error.strerror}") from error
    if row.stat is None or stat_of(status)[:2] != row.stat[:2]:
        raise MlibError("changed_since", "the file is not what it was when it was scanned")
    if folder.models[stem_of(row.name)] - {row.name}:
        raise MlibError("shared_stem", "another model beside it would have the same sidecar")
    path = _beside(row, folder)
    before = _read(path)
    if before is not None:
        _check_is_about(before, path, row, known)
    try:
        text = None if before is None else before.decode("utf-8-sig")
        written = merged_text(text, model, words, path=row.path, mtime=status.st_mtime)
    except (UnicodeDecodeError, NotOursToChangeError) as error:
        message = f"what is there is not a JSON object, and is left alone: {path}"
        raise MlibError("not_json", message) from error
    if written.text == text:
        return None
    return Planned(path, row, written.text, before, written.fields)


def _beside(row: KnownFile, folder: _Folder) -> str:
    """The sidecar's path; one that is there keeps the case of its name."""
    wanted = sidecar_name(row.name)
    there = sorted(folder.names[wanted.lower()])
    return os.path.join(row.directory, wanted if wanted in there or not there else there[0])


def _read(path: str) -> bytes | None:
    try:
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode):
            raise MlibError("not_a_file", f"this is not a file of its own, and is left alone: {path}")
        if status.st_size > _LARGEST:
            raise MlibError("too_large", f"this is too large for a sidecar: {path}")
        with open(path, "rb") as file:
            return file.read(_LARGEST)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise MlibError("unreadable", f"cannot read {path}: {error.strerror}") from error


def _check_is_about(content: bytes, path: str, row: KnownFile, known: OtherHashes) -> None:
    try:
        sidecar = parse_sidecar(content, kind=_KIND, model_name=row.name)
    except SidecarError as error:
        raise MlibError(error.code, f"{error.message}: {path}") from error
    finding = mismatch(Named(os.path.basename(path), sidecar), row.sha256, known)
    if finding is not None:
        raise MlibError("sidecar_mismatch", finding.message)


def _write(planned: Planned) -> None:
    with suppress(OSError):  # a run that was killed may have moved it aside
        settle(planned.path)
    was = looked_at(planned.path)
    if _read(planned.path) != planned.before:
        raise MlibError("changed_since", f"it changed meanwhile, and is left alone: {planned.path}")
    content = [planned.text.encode() + b"\n"]
    if planned.before is None:
        write_new(planned.path, content, mode=0o644)
    elif was is not None:
        mode = stat.S_IMODE(os.stat(planned.path).st_mode)
        write_over(planned.path, content, was=was, content=planned.before, mode=mode)


def _note(library: Library, planned: Planned) -> None:
    directory, name = os.path.split(planned.path)
    row = planned.file
    try:
        status = os.stat(planned.path)
        said = packed(parse_sidecar(planned.text.encode(), kind=_KIND, model_name=row.name))
    except (OSError, SidecarError):
        return  # the next scan reads it
    stamp = (status.st_size, status.st_mtime_ns, status.st_ino)
    with library.transaction():
        fields = given.get(library, row.directory, row.name, row.sha256)
        sidecars.put(library, directory, [sidecars.KnownSidecar(name, _KIND, *stamp, said)])
        given.put(library, row.directory, row.name, row.sha256, fields | planned.fields)
