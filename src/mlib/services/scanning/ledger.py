"""Write what a scan identified: which model each file is, and what moved, was copied or replaced.

Also finds successors (files whose header was edited in place: new SHA-256, same weights) and pending files
that moved before their import.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from mlib.core import times
from mlib.core.disk.walk import is_within
from mlib.core.events import Emit, FileStored
from mlib.core.records import SCANNED, FoundFile, KnownFile, Model, OtherHashes, Pending, Root
from mlib.core.text import displayable
from mlib.db import contents, files, models, pending
from mlib.services.deriving import carry_over, follow_file

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping, Sequence

    from mlib.core.formats.header import Finding
    from mlib.core.hashes import Hashes
    from mlib.core.records import Stat
    from mlib.db.library import Library
    from mlib.services.scanning.headers import InspectedContent
    from mlib.services.scanning.survey import Survey


# --- Successors: same weights, new header


@dataclass(frozen=True, slots=True)
class Successor:
    """The model that lay at a path before, and the hashes of the one that lies there now."""

    before: str
    hashes: Hashes


def find_successors(library: Library, rows: Iterable[KnownFile]) -> list[Successor]:
    """Those of these files, not yet written, that took the place of the same weights. Writes nothing.

    AutoV3 tells, so only what `mlib hash --all` has looked at before can have an heir; such a file is read
    once more for it.
    """
    found: list[Successor] = []
    for row in rows:
        before = _before(library, row)
        known = None if before is None else contents.hashes_of(library, before)
        if before is None or known is None or known.autov3 is None:
            continue
        from mlib.core.hashes import compute

        with suppress(OSError):
            now = compute(row.path, advance=lambda _: None)
            if now is not None and now.sha256 == row.sha256 and now.autov3 == known.autov3:
                found.append(Successor(before, now))
    return found


def keep_successors(library: Library, heirs: Iterable[Successor]) -> None:
    """Keep the hashes of heirs, and let those that are models inherit; part of a transaction.

    One that is staged inherits when it is imported: by these hashes it is known then.
    """
    for heir in heirs:
        now = heir.hashes
        contents.put_hashes(library, now.sha256, OtherHashes(now.autov1, now.autov3, now.crc32, now.blake3))
        carry_over(library, now.sha256, heir.before)


def _before(library: Library, row: KnownFile) -> str | None:
    """The model whose place this content takes now; also where what took it first is still staged."""
    here = files.at_path(library, row.path)
    present = next((each for each in here if each.missing_since is None), None)
    if present is not None:
        return None if present.sha256 == row.sha256 else present.sha256
    staged = {entry.sha256 for entry in pending.at_path(library, row.path) if entry.observed is not None}
    if not staged or row.sha256 in staged:
        return None
    left = [each for each in here if each.sha256 != row.sha256]
    return max(left, key=lambda each: each.missing_since or 0).sha256 if left else None


# --- Pending files that moved


@dataclass(slots=True)
class MovedPending:
    """Such files by content, each with the id of its pending import, and by the stat they were read with."""

    by_content: defaultdict[str, list[tuple[int, KnownFile]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    by_stat: dict[Stat, KnownFile] = field(default_factory=dict)


def find_moved_pending(
    library: Library, seen: Survey, *, walked: Callable[[str], bool], is_free: Callable[[KnownFile], bool]
) -> MovedPending:
    """Those that are gone from where a scan came by, and of which `is_free` believes that they are."""
    left = MovedPending()
    for pending_id, row in pending.all_observed(library):
        hidden = any(is_within(row.path, tree) for tree in seen.unknown)
        if not walked(row.path) or hidden or not is_free(row):
            continue
        if seen.is_passed_over(row.path) or not os.path.lexists(row.path):
            left.by_content[row.sha256].append((pending_id, row))
            if row.stat is not None and not row.racy:
                left.by_stat[row.stat] = row
    return left


def follow_moved(library: Library, left: MovedPending, row: KnownFile, root: Root) -> list[int]:
    """The id of the pending import whose file lies at `row` now, if one has left; part of a transaction.

    What a scan staged is staged here from now on. The word of an older manager keeps its path, under which
    it is known there.
    """
    others = left.by_content.get(row.sha256, [])
    others.sort(key=lambda each: each[1].name == row.name)
    while others:
        pending_id, old = others.pop()
        entry = pending.get(library, pending_id)
        if entry is not None and entry.observed == old:  # else another program was faster
            contents.forget_place(library, old)
            moved = _moved(entry, row, root) if entry.source == SCANNED else entry._replace(observed=None)
            return [pending.put(library, moved)]
    return []


def _moved(entry: Pending, row: KnownFile, root: Root) -> Pending:
    named_by_file = "name" not in entry.edited and entry.name == displayable(os.path.basename(entry.path))
    return entry._replace(
        path=row.path,
        name=displayable(row.name) if named_by_file else entry.name,
        type=entry.type if "type" in entry.edited else displayable(root.type),
        observed=row,
    )


def forget_moved(library: Library, left: MovedPending, judged: Container[int | None]) -> None:
    """Let those wait without a file that are gone for good from these roots; part of a transaction."""
    for pending_id, row in chain.from_iterable(left.by_content.values()):
        if row.root_id in judged:
            pending.forget_file(library, pending_id)
            contents.forget_place(library, row)


@dataclass(slots=True)
class Ledger:
    """The books of one scan. `leaving` are rows whose file is not at its path any more, by content.

    A row that leaves and a path that arrives with the same content are one file that moved, in whatever
    order the two become known; what arrived without a row leaving is a copy. `displaced` are the rows whose
    path other content took, by path, with what that content counts as.
    """

    library: Library
    stage: bool
    emit: Emit
    roots: Sequence[Root]
    walked: Callable[[str], bool]
    left: MovedPending
    counts: Counter[str] = field(default_factory=Counter)
    added: list[str] = field(default_factory=list)
    new: set[str] = field(default_factory=set)
    pending_ids: list[int] = field(default_factory=list)
    conflicts: int = 0
    findings: list[tuple[str, Finding]] = field(default_factory=list)
    settled: set[tuple[str, str]] = field(default_factory=set)
    displaced: dict[str, tuple[KnownFile, str]] = field(default_factory=dict)
    leaving: defaultdict[str, list[KnownFile]] = field(default_factory=lambda: defaultdict(list))
    arrived: defaultdict[str, list[tuple[KnownFile, str]]] = field(default_factory=lambda: defaultdict(list))

    def record(
        self,
        identified: Sequence[tuple[FoundFile, KnownFile]],
        looked: Mapping[str, InspectedContent],
        heirs: Sequence[Successor],
    ) -> None:
        """Write a batch, with what was seen in the files, in one transaction; only then tell of it."""
        # An unchanged library needs none of these.
        from mlib.services.scanning.headers import keep

        for _, row in identified:
            self._find_gone_elsewhere(row)
        with self.library.transaction():
            stored = [(row, self._record_one(found, row)) for found, row in identified]
            keep_successors(self.library, heirs)
            found_wrong = keep(self.library, [row for row, _ in stored], looked, self.roots)
            found_wrong += self._known_to_be_bad(stored, found_wrong)
        self.findings += found_wrong
        for row, outcome in stored:
            self.counts[outcome] += 1
            self.emit(FileStored(row.path, row.sha256, outcome))

    def _known_to_be_bad(
        self, stored: Sequence[tuple[KnownFile, str]], told: Sequence[tuple[str, Finding]]
    ) -> list[tuple[str, Finding]]:
        """What is serious with content that is known, and that one more path holds now."""
        said = {(path, finding.code) for path, finding in told}
        return [
            (row.path, finding)
            for row, outcome in stored
            if outcome in ("copied", "replaced")
            for place, finding in contents.findings(self.library, row.sha256)
            if place is None and finding.serious and (row.path, finding.code) not in said
        ]

    def settle(self, row: KnownFile) -> None:
        """This row needs no more judging: what became of its file is known."""
        self.settled.add((row.path, row.sha256))

    def import_claims(self, claims: Sequence[int]) -> None:
        """Import pending imports whose content is known now; what a conflict keeps back is told."""
        # An unchanged library needs none of it.
        from mlib.services.importing.importer import import_pending

        self.conflicts += len(import_pending(self.library, claims).conflict)
        self.pending_ids += [claim for claim in claims if pending.exists(self.library, claim)]

    def overlaid(self) -> int:
        """How many models lost their path to content that does not count as replacing them."""
        return sum(
            outcome != "replaced" and (row.path, row.sha256) not in self.settled
            for row, outcome in self.displaced.values()
        )

    def _record_one(self, found: FoundFile, row: KnownFile) -> str:
        here = files.at_path(self.library, row.path)
        before = next((other for other in here if other.missing_since is None), None)
        if before is not None and before.sha256 == row.sha256:
            files.put(self.library, [row])
            return "unchanged"
        if before is not None:
            files.mark_missing(self.library, [before], times.now())
        known_here = any(other.sha256 == row.sha256 for other in here)
        model = models.get(self.library, row.sha256)
        outcome = self._take_in(found, row, model, known_here=known_here, replaced=before is not None)
        if before is not None:
            self.displaced[row.path] = (before, outcome)
            self._leave(before)
        return outcome

    def _take_in(
        self, found: FoundFile, row: KnownFile, model: Model | None, *, known_here: bool, replaced: bool
    ) -> str:
        claims = self._claims(row, found.root)
        if model is None and not claims:
            claims = follow_moved(self.library, self.left, row, found.root)
        if model is None and (not claims or (self.stage and not self._waits_here(row))):
            claims.append(self._staged(found, row))
        if model is None and self.stage:
            self.pending_ids += claims
            return "pending"
        if claims:
            self.import_claims(claims)
        if model is None and models.get(self.library, row.sha256) is None:
            return "pending"
        files.put(self.library, [row])
        if model is None:
            self.added.append(row.sha256)
            self.new.add(row.sha256)
            return "replaced" if replaced else "added"
        self._complete(model, row)
        if known_here:
            return "restored"
        return self._arrive(model, row, found.root, replaced=replaced)

    def _staged(self, found: FoundFile, row: KnownFile) -> int:
        entry = Pending(
            path=row.path,
            source=SCANNED,
            sha256=row.sha256,
            name=displayable(row.name),
            type=displayable(found.root.type),
            size_bytes=found.stat.size_bytes,
            created_at=times.now(),
            observed=row,
        )
        return pending.put(self.library, entry)

    def _waits_here(self, row: KnownFile) -> bool:
        return any(entry.sha256 == row.sha256 for entry in pending.at_path(self.library, row.path))

    def _claims(self, row: KnownFile, root: Root) -> list[int]:
        """The pending imports this content completes: staged before, or waiting for its path or hash."""
        assert row.stat is not None
        found: list[int] = []
        here = pending.at_path(self.library, row.path)
        said = any(entry.sha256 == row.sha256 for entry in here)  # then one without a hash goes on waiting
        for entry in here:
            if entry.sha256 == row.sha256 or (entry.sha256 is None and not said):
                kind = entry.type if "type" in entry.edited else displayable(root.type)
                complete = entry._replace(
                    sha256=row.sha256, size_bytes=row.stat.size_bytes, type=kind, observed=row
                )
                found.append(pending.put(self.library, complete))
        for pending_id in pending.claiming(self.library, row.sha256):
            claimed = pending.get(self.library, pending_id)
            if claimed is None or pending_id in found or claimed.sha256 is not None:
                continue
            others = pending.at_path(self.library, claimed.path)
            said = any(other.sha256 == row.sha256 for other in others)
            if not said and claimed.size_bytes in (None, row.stat.size_bytes):
                found.append(pending.put(self.library, claimed._replace(sha256=row.sha256)))
        return found

    def _complete(self, model: Model, row: KnownFile) -> None:
        """A model that only an older manager's word vouched for gets its size from the file."""
        assert row.stat is not None
        if model.size_bytes != row.stat.size_bytes:
            current = models.get(self.library, model.sha256) or model
            models.put(self.library, [current._replace(size_bytes=row.stat.size_bytes)])

    def _arrive(self, model: Model, row: KnownFile, root: Root, *, replaced: bool) -> str:
        left = self._departed(row)
        if left is not None:
            files.remove(self.library, left)
            self.settle(left)
            follow_file(self.library, left, row, root)
            return "moved"
        if row.sha256 in self.new:
            self._name_simply(model, row)
        outcome = "replaced" if replaced else "copied"
        self.arrived[row.sha256].append((row, outcome))
        return outcome

    def _departed(self, row: KnownFile) -> KnownFile | None:
        """The row that this path takes the place of, the same name first."""
        left = self.leaving[row.sha256]
        if left:
            left.sort(key=lambda other: other.name != row.name)
            return left.pop(0)
        others = [other for other in files.of_model(self.library, row.sha256) if other.path != row.path]
        if any(other.missing_since is None for other in others):
            return None
        return next(iter(sorted(others, key=lambda other: other.name != row.name)), None)

    def _find_gone_elsewhere(self, row: KnownFile) -> None:
        """Where only a part of the roots is scanned, a file may have come from outside of it."""
        if all(self.walked(root.path) for root in self.roots):
            return
        for other in files.of_model(self.library, row.sha256):
            if other.missing_since is None and other.path != row.path and not self.walked(other.path):
                key = (other.path, other.sha256)
                if (
                    key not in self.settled
                    and other not in self.leaving[row.sha256]
                    and self._has_gone(other)
                ):
                    self.leaving[row.sha256].append(other)

    def _has_gone(self, other: KnownFile) -> bool:
        """Whether a file is gone although its root is there."""
        if os.path.lexists(other.path):
            return False
        root = next((root for root in self.roots if is_within(other.path, root.path)), None)
        try:
            return root is not None and bool(os.listdir(root.path))
        except OSError:
            return False

    def _leave(self, row: KnownFile) -> None:
        """A row was just marked missing because other content took its path."""
        arrived = self.arrived.get(row.sha256)
        if not arrived:
            self.leaving[row.sha256].append(row._replace(missing_since=times.now()))
            return
        newer, outcome = arrived.pop(0)
        files.remove(self.library, row)
        self.settle(row)
        self.counts[outcome] -= 1
        self.counts["moved"] += 1
        if newer.path in self.displaced:
            self.displaced[newer.path] = (self.displaced[newer.path][0], "moved")
        root = next((root for root in self.roots if root.id == newer.root_id), None)
        if root is not None:
            follow_file(self.library, row, newer, root)

    def _name_simply(self, model: Model, row: KnownFile) -> None:
        """Of several copies found at once the simplest name is the model's, whichever was read first."""
        current = models.get(self.library, model.sha256) or model
        name = displayable(row.name)
        if "name" not in current.edited and (len(name), name) < (len(current.name), current.name):
            models.put(self.library, [current._replace(name=name)])
