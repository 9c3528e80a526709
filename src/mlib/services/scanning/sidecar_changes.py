"""Read new and changed sidecars, and fill empty fields from them."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from mlib.core import times
from mlib.core.records import TAGS, OtherHashes, Problem
from mlib.core.sidecars.companions import SIDECAR_KINDS, by_stem, companions, is_sidecar_name, stem_of
from mlib.core.sidecars.filling import (
    MISMATCH,
    Filling,
    History,
    Named,
    digests,
    filled,
    filled_tags,
    is_about_others,
    mismatch,
    offered,
)
from mlib.core.sidecars.parse import OF_MODELS, read_shared_sidecar
from mlib.core.sidecars.record import SidecarError, packed, unpacked
from mlib.core.text import displayable
from mlib.db import contents, files, models, sidecars, tags
from mlib.db import sidecars as stored_given
from mlib.db.sidecars import ORPHAN, KnownSidecar
from mlib.services.scanning.survey import stamp

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from mlib.core.formats.header import Finding
    from mlib.core.records import KnownFile
    from mlib.core.sidecars.companions import Companion
    from mlib.db.library import Library
    from mlib.services.scanning.ledger import Ledger
    from mlib.services.scanning.request import ScanReport
    from mlib.services.scanning.survey import SidecarChanges, Survey

#: Groups written in one transaction: what they say was read before it began.
BATCH = 128
#: The size noted of a sidecar that could not be opened: it is tried again, for a `chmod` changes no mtime.
_CLOSED = -1


@dataclass(frozen=True, slots=True)
class _Group:
    """The models of one stem in one directory, and all sidecars that are theirs, the most trusted first.

    `read` are those of them that were news. With no models it is sidecars that belong to none.
    """

    directory: str
    models: tuple[str, ...]
    sidecars: tuple[Companion, ...]
    read: tuple[KnownSidecar, ...]


def read_news(seen: Survey, ledger: Ledger, report: ScanReport) -> None:
    """Read what is new, directory by directory; what could not be read, or says nothing, is reported."""
    library = ledger.library
    lain = _Lain(ledger)
    away = {row.path for row in seen.gone}
    stirred = _stirred(seen)
    waiting: list[_Group] = []
    for directory, beside in seen.beside.items():
        for group in _groups(library, directory, beside, stirred.get(directory, ()), report):
            waiting.append(group)
            if len(waiting) >= BATCH:
                _write(ledger, waiting, lain, away)
                waiting.clear()
    if waiting:
        _write(ledger, waiting, lain, away)
    gone = {directory: _gone(beside) for directory, beside in seen.beside.items()}
    if any(gone.values()):
        # After all else: what a sidecar gave to a model that moved is known by its old place.
        with library.transaction():
            for directory, names in gone.items():
                sidecars.remove(library, directory, names)


def _gone(beside: SidecarChanges) -> set[str]:
    return {name for name in beside.gone if is_sidecar_name(name)}


def _stirred(seen: Survey) -> Mapping[str, Collection[str]]:
    """The stems, by directory, of files that came, went or came back to where they were compared before."""
    places = [(row.directory, row.name) for row in (*seen.gone, *(row for row, _ in seen.restored))]
    places += [(found.directory, found.name) for found, _ in seen.fresh]
    stirred: defaultdict[str, set[str]] = defaultdict(set)
    for directory, name in places:
        if directory in seen.beside:
            stirred[directory].add(stem_of(name))
    return stirred


def _groups(
    library: Library, directory: str, beside: SidecarChanges, stirred: Collection[str], report: ScanReport
) -> Iterator[_Group]:
    """The models of a directory that have to be compared with their sidecars, these read where need be.

    What a sidecar is to a model depends on whether the others that share it are there, so all `stirred` stems
    are compared.
    """
    owed = stored_given.owed(library, directory)  # the models that this scan has added among them
    gone = _gone(beside)
    by_name: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for row in files.in_directory(library, directory):
        if row.missing_since is None:
            by_name[stem_of(row.name)][row.name] = row.sha256
    models = [name for names in by_name.values() for name in names]
    of_stem = by_stem([*models, *beside.found, *gone], models=models)
    taken: set[str] = set()
    for stem, names in by_name.items():
        own = [each for each in of_stem.get(stem, ()) if each.kind in SIDECAR_KINDS]
        taken.update(each.name for each in own)
        is_owed = not owed.isdisjoint(names)
        unread = [each for each in own if each.name in beside.found and (is_owed or each.name in beside.news)]
        if unread or is_owed or stem in stirred or any(each.name in gone for each in own):
            read = (_read(library, directory, each, names, beside, report) for each in unread)
            found = tuple(each for each in own if each.name in beside.found)
            yield _Group(directory, tuple(names), found, tuple(filter(None, read)))
    orphans = [name for name in sorted(beside.news & beside.found.keys()) if name not in taken]
    if orphans:
        rows = (KnownSidecar(name, ORPHAN, *stamp(beside.found[name]), None) for name in orphans)
        yield _Group(directory, (), (), tuple(rows))


def _read(
    library: Library,
    directory: str,
    companion: Companion,
    models: Mapping[str, str],
    beside: SidecarChanges,
    report: ScanReport,
) -> KnownSidecar | None:
    """A sidecar of these models (their SHA-256s by name) as it is now.

    None if it went away, or still cannot be opened. One that says nothing is kept as a Sidecar that does.
    """
    name, kind = companion.name, companion.kind
    path = os.path.join(directory, name)
    size, mtime_ns, inode = stamp(beside.found[name])
    said: str | None = None
    try:
        of = {model: sha256 for model, sha256 in models.items() if companion.is_of(model)}
        known = {}
        if kind in OF_MODELS:
            known = {model: digests(sha256, _hashes(library, sha256)) for model, sha256 in of.items()}
        sidecar = read_shared_sidecar(path, kind=kind, model_names=list(of), digests=known)
        said = packed(sidecar)
        if sidecar.is_empty:
            report.silent.append(path)
    except FileNotFoundError:
        return None
    except SidecarError as error:
        if error.code == "unreadable":
            size = _CLOSED
            before = sidecars.get(library, directory, name)
            if before is not None and before.stamp == (size, mtime_ns, inode):
                return None
        if error.code != "wrong_kind" and name in beside.news:
            report.problems.append(
                Problem(path, error.code, f"a sidecar that cannot be read: {error.message}")
            )
    return KnownSidecar(name, kind, size, mtime_ns, inode, said)


class _Lain:
    """Where models lay before this scan, and which sidecars are known beside a place.

    The names of a directory are read once and kept in order: one directory may hold ten thousand.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._library = ledger.library
        self._paths: defaultdict[str, list[str]] = defaultdict(list)
        for path, sha256 in ledger.settled:
            self._paths[sha256].append(path)
        self._names: dict[str, list[tuple[str, str]]] = {}

    def paths(self, sha256: str) -> Sequence[str]:
        """The paths that a model moved away from in this scan."""
        return self._paths.get(sha256, ())

    def beside(self, directory: str, name: str) -> list[str]:
        """The sidecars known of the model file `name`, the most trusted first."""
        if directory not in self._names:
            known = sidecars.in_directory(self._library, directory)
            self._names[directory] = sorted((each.lower(), each) for each in known)
        names, stem = self._names[directory], stem_of(name)
        near: list[str] = []
        for lowered, each in islice(names, bisect_left(names, (stem, "")), None):
            if not lowered.startswith(stem):
                break
            near.append(each)
        return [each.name for each in companions(name, near)]

    def add(self, directory: str, names: Iterable[str]) -> None:
        """Know these sidecars as well."""
        known = self._names.get(directory)
        if known is None:  # it is read when it is asked for
            return
        for entry in ((name.lower(), name) for name in names):
            at = bisect_left(known, entry)
            if known[at : at + 1] != [entry]:
                known.insert(at, entry)


def _write(
    ledger: Ledger,
    groups: Sequence[_Group],
    lain: _Lain,
    away: Collection[str],
) -> None:
    """Keep what was read and fill what is empty, in one transaction; only then tell what is wrong.

    The models at the paths that are `away` are not marked missing yet, and may turn out not to be.
    """
    library = ledger.library
    wrong: list[tuple[str, Finding]] = []
    with library.transaction():
        for group in groups:
            names = [each.name for each in group.sidecars]
            before = _known(library, group.directory, names)
            sidecars.put(library, group.directory, group.read)
            lain.add(group.directory, (each.name for each in group.read))
            now = _known(library, group.directory, names)
            rows = _present(library, group)
            there = [row for row in rows if row.path not in away]
            for row in rows:
                own = [each for each in group.sidecars if each.is_of(row.name)]
                said = _Said(
                    [now[each.name] for each in own if each.name in now],
                    [before[each.name] for each in own if each.name in before],
                    {each.name for each in own if not each.of},
                )
                others = [(each.sha256, _hashes(library, each.sha256)) for each in there if each is not row]
                is_new = row.sha256 in ledger.new
                found_wrong = _compare(library, row, said, lain, others, is_new=is_new)
                wrong += [(row.path, finding) for finding in found_wrong]
                if len(there) < len(rows):
                    stored_given.owe(library, row.directory, row.name)
        tags.forget_unused(library)
    ledger.findings += wrong


def _present(library: Library, group: _Group) -> list[KnownFile]:
    """Not as it was when the disk was read: another mlib may have been here since."""
    here = (files.at_path(library, os.path.join(group.directory, name)) for name in group.models)
    return [row for rows in here for row in rows if row.missing_since is None]


def _hashes(library: Library, sha256: str) -> OtherHashes:
    return contents.hashes_of(library, sha256) or OtherHashes()


def _known(library: Library, directory: str, names: Iterable[str]) -> dict[str, Named]:
    """What the sidecars of these names said when they were read last, if they could be."""
    known = (sidecars.get(library, directory, name) for name in names)
    return {
        each.name: Named(each.name, unpacked(each.sidecar_json))
        for each in known
        if each is not None and each.sidecar_json is not None
    }


class _Said(NamedTuple):
    """What the sidecars of one file say now and said before, the most trusted first.

    `shared` are the names of those that other models of the stem may share.
    """

    now: Sequence[Named]
    before: Sequence[Named]
    shared: Collection[str]


def _compare(
    library: Library,
    row: KnownFile,
    said: _Said,
    lain: _Lain,
    others: Sequence[tuple[str, OtherHashes]],
    *,
    is_new: bool,
) -> list[Finding]:
    """Fill what is empty in the model of one file; the sidecars that are about another file.

    One that is about the `others`, which share it, is not wrong, but gives this model nothing.
    """
    model = models.get(library, row.sha256)
    if model is None:
        return []
    known_hashes = _hashes(library, row.sha256)
    own: list[Named] = []
    wrong: list[Finding] = []
    for named in said.now:
        finding = mismatch(named, row.sha256, known_hashes)
        if finding is None:
            own.append(named)
        elif named.name not in said.shared or not is_about_others(named, others):
            wrong.append(finding)
    contents.put_place_findings(library, row, wrong, codes=frozenset({MISMATCH}))
    places = files.of_model(library, row.sha256)
    paths = [*(each.path for each in places), *lain.paths(row.sha256)]
    history = _history(library, row, said.before, paths, lain)
    given: frozenset[str] = frozenset()
    filling = _offered(own, row.name)
    if filling.text or filling.tags:
        content = contents.get(library, row.sha256)
        facts = {
            "name": {displayable(each.name) for each in places},
            "base_model": {content.base_model} if content else (),
        }
        changed, given = filled(model, filling, facts=facts, history=history)
        wanted = filled_tags(model, tags.of_model(library, row.sha256), filling, history=history)
        if wanted is not None:
            tags.set_of_model(library, row.sha256, wanted)
            given |= {TAGS}
        if given:
            # What is new is not updated by what lay beside it from the start.
            models.put(library, [changed._replace(updated_at=model.updated_at if is_new else times.now())])
    stored_given.put_filled(library, row.directory, row.name, row.sha256, history.given | given)
    return wrong


def _history(
    library: Library, row: KnownFile, before: Sequence[Named], places: Iterable[str], lain: _Lain
) -> History:
    """What sidecars offered and gave to a model at these places, of which it has left some in this scan."""
    fillings = [_offered(before, row.name)]
    given: set[str] = set()
    for path in dict.fromkeys((row.path, *places)):
        directory, name = os.path.split(path)
        at_place = stored_given.filled_at(library, directory, name, row.sha256)
        given |= at_place
        if at_place and path != row.path:
            known = _known(library, directory, lain.beside(directory, name))
            fillings.append(_offered([*known.values()], name))
    return History(tuple(fillings), frozenset(given))


def _offered(said: Sequence[Named], file_name: str) -> Filling:
    return offered([each.sidecar for each in said], file_name=file_name)
