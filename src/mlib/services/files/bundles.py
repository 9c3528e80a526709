"""Models in several files: which files go together, and which parts are missing."""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, NamedTuple

from mlib.core.disk.walk import is_within
from mlib.core.errors import Hint, Refused
from mlib.core.formats.header import Finding, unpack
from mlib.core.sets import FileSet, Sets, Split
from mlib.core.text import quoted, visible
from mlib.db import contents, files, roots
from mlib.services.files.aliases import real_location, real_path

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from mlib.core.records import KnownFile, Root
    from mlib.db.library import Library

Action = Literal["move", "rename", "trash"]
#: The finding about a model of which a part is not there.
INCOMPLETE = "incomplete_set"
#: The command that tells the library what has become of files.
_SCAN = ("scan",)
#: Paths that an error names; a model may have hundreds of parts.
_NAMED = 5


class Bundle(NamedTuple):
    """Files that go together; `whole` is the set that they are, None for a model in one file."""

    rows: tuple[KnownFile, ...]
    whole: FileSet | None = None


class KnownSets:
    """The sets among a library's files, as the disks were when one was first asked about."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._roots = roots.all_roots(library)
        self._by_id = {root.id: root for root in self._roots}
        self._innermost: dict[str, Root | None] = {}
        self._sets = Sets(self._split_of)

    def of(self, row: KnownFile) -> FileSet | None:
        """The set that the file of a row belongs to."""
        return self._sets.of(row.path, self._by_id.get(row.root_id))

    def at(self, directory: str, name: str) -> FileSet | None:
        """The same for a path of which no row is at hand: in the innermost root that holds it."""
        if directory not in self._innermost:
            holders = [root for root in self._roots if is_within(directory, root.path)]
            self._innermost[directory] = max(holders, key=lambda root: len(root.path), default=None)
        return self._sets.of(os.path.join(directory, name), self._innermost[directory])

    def gaps(self, directory: str) -> list[FileSet]:
        """The sets of parts in a directory of which one is missing."""
        return [each for each in self._sets.parted(directory) if each.missing]

    def _split_of(self, path: str) -> Split | None:
        """What the header of a GGUF file said when it was scanned."""
        for row in files.at_path(self._library, path):
            packed = contents.header(self._library, row.sha256) if row.missing_since is None else None
            # What is kept may be damaged, and then tells nothing.
            with suppress(ValueError, LookupError, TypeError):
                split = unpack(packed).details["split"] if packed is not None else None
                if isinstance(split, dict):
                    return Split(int(split["number"]), int(split["of"]))
        return None


def bundled(library: Library, rows: Sequence[KnownFile], action: Action) -> list[Bundle]:
    """The files that are to go, those of one set together, in the order in which they were given.

    Raises Refused (`part_of_set`) where a part would stay behind, or what is done to it would leave the
    others without it: the name of a part is never changed, and a folder moves as a folder.
    """
    known = KnownSets(library)
    going = {real_location(row) for row in rows}
    found: dict[str, tuple[FileSet | None, list[KnownFile]]] = {}
    for row in rows:
        whole = known.of(row)
        if whole is not None:
            _expect_whole(library, row, whole, going, action)
        key = row.path if whole is None else os.path.realpath(whole.name)
        found.setdefault(key, (whole, []))[1].append(row)
    return [Bundle(tuple(each), whole) for whole, each in found.values()]


def _expect_whole(
    library: Library, row: KnownFile, whole: FileSet, going: Collection[str], action: Action
) -> None:
    if action == "rename":
        raise _never_renamed(row, whole)
    if action == "move" and (
        whole.kind == "folder" or len({os.path.dirname(part) for part in whole.parts}) > 1
    ):
        folder = whole.name if whole.kind == "folder" else os.path.dirname(whole.name)
        raise Refused(
            "part_of_set",
            f"it is part of the model in the folder {folder}: {row.path}",
            hint=Hint("move that folder itself, then run {}, which recognizes the files in it", _SCAN),
        )
    left = [part for part in whole.parts if real_path(part) not in going]
    if not left:
        return
    unknown = [part for part in left if not _is_known(library, part)]
    if unknown:
        hint = Hint(
            "the library does not know {}: run {}, or remove that file if it is a download that was given up",
            quoted(unknown[0]),
            _SCAN,
        )
    elif len(left) > _NAMED:
        hint = Hint("name all {} files, as {} lists them", str(len(whole.parts)), ("show",))
    else:
        hint = Hint("name the others too: {}", " ".join(map(quoted, left)))
    raise Refused(
        "part_of_set",
        f"one of {len(whole.parts)} files of one model, which must go together: {row.path}",
        hint=hint,
    )


def _never_renamed(row: KnownFile, whole: FileSet) -> Refused:
    if whole.kind == "folder":
        message = f"it is part of the model in the folder {whole.name}, where loaders look for this name"
        hint = Hint("rename that folder itself, then run {}, which recognizes the files in it", _SCAN)
    else:
        message = "it is a part of a model in several files, which are found by their numbers"
        hint = Hint("rename all parts yourself and keep the numbers, then run {}", _SCAN)
    return Refused("part_of_set", f"{message}: {row.path}", hint=hint)


def _is_known(library: Library, path: str) -> bool:
    return any(row.missing_since is None for row in files.at_path(library, path))


class InSet(NamedTuple):
    """Models whose files belong together: those of a set, and of all sets that share a model with it.

    `name` is that of one of the sets. Where not `is_known`, the library does not know all files of them.
    """

    name: str
    shas: frozenset[str]
    is_known: bool


def models_in_sets(library: Library) -> dict[str, InSet]:
    """By SHA-256, every model with a present file that is a part of a set."""
    known = KnownSets(library)
    sets: dict[str, FileSet] = {}
    members: dict[str, set[str]] = defaultdict(set)
    holding: dict[str, list[str]] = defaultdict(list)
    for file in files.present_files(library):
        whole = known.at(file.directory, file.name)
        if whole is not None:
            sets[whole.name] = whole
            members[whole.name].add(file.sha256)
            holding[file.sha256].append(whole.name)
    found: dict[str, InSet] = {}
    for first, own in members.items():
        if not own.isdisjoint(found):
            continue
        names, waiting = set[str](), [first]
        while waiting:
            name = waiting.pop()
            if name not in names:
                names.add(name)
                waiting += [other for sha256 in members[name] for other in holding[sha256]]
        parts = [part for name in names for part in sets[name].parts]
        shas = frozenset[str]().union(*(members[name] for name in names))
        is_known = all(_is_known(library, part) for part in parts)
        found.update(dict.fromkeys(shas, InSet(first, shas, is_known)))
    return found


def incomplete(known: KnownSets, directory: str) -> Iterator[tuple[FileSet, Finding]]:
    """The sets in a directory of which a part is missing, and what is said of each."""
    for whole in known.gaps(directory):
        names = [os.path.basename(name) for name in whole.missing]
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        of = len(whole.parts) + len(whole.missing)
        count = f"{len(names)} of {of} parts of this model {'is' if len(names) == 1 else 'are'} missing"
        yield whole, Finding(INCOMPLETE, f"{count}: {names[0]}{more}", serious=True)


def judge_sets(library: Library, directories: Iterable[str]) -> list[tuple[str, Finding]]:
    """Keep which present files in these directories are parts of a set with a part missing.

    Gives what was not known before, each set once, by the path of its first part.
    """
    known = KnownSets(library)
    seen: list[tuple[str, dict[str, tuple[FileSet, Finding]]]] = []
    for directory in sorted(set(directories)):
        if os.path.isdir(directory):
            found = list(incomplete(known, directory))
            wrong = {path: (whole, finding) for whole, finding in found for path in whole.parts}
            if wrong or contents.places_found(library, directory, INCOMPLETE):
                seen.append((directory, wrong))
    if not seen:
        return []
    with library.transaction():
        return [each for directory, wrong in seen for each in _keep_incomplete(library, directory, wrong)]


def _keep_incomplete(
    library: Library, directory: str, wrong: Mapping[str, tuple[FileSet, Finding]]
) -> Iterator[tuple[str, Finding]]:
    before = contents.places_found(library, directory, INCOMPLETE)
    told: set[FileSet] = set()
    for row in sorted(files.in_directory(library, directory), key=lambda row: row.path):
        said = before.get((row.name, row.sha256), set())
        if row.missing_since is not None or not (row.path in wrong or said):
            continue
        whole, finding = wrong.get(row.path, (None, None))
        contents.put_place_findings(library, row, [finding] if finding else [], codes=[INCOMPLETE])
        if whole and finding and visible(finding.message) not in said and whole not in told:
            told.add(whole)
            yield row.path, finding


def is_incomplete(library: Library, row: KnownFile) -> bool:
    """Whether the last that looked found another part of this file's model missing."""
    found = contents.findings(library, row.sha256)
    return any(path == row.path and each.code == INCOMPLETE for path, each in found)
