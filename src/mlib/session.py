"""One door below every face: a library, and the verbs that read and change it.

The command line, a page and a Python script all work through a `Session`. Each of its verbs opens the
library in the mode it needs, records what it changes (so that `log` shows it and `undo` reverts it), makes
the backup that is promised, and returns the report of the service that does the work. A dry run changes rows
and rolls them back; for files it makes the plan and stops there. A face adds parsing, questions and layout,
and nothing else.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal, Self

from mlib.core.errors import MlibError, NotFound, WrongUsage
from mlib.core.events import Emit, silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from types import TracebackType

    from mlib.core.query import Query
    from mlib.core.records import Stat
    from mlib.db.library import Library, Mode
    from mlib.db.list_rows import Listed, Part
    from mlib.db.restoring import Backup
    from mlib.db.search import Order
    from mlib.db.tags import TagCount
    from mlib.services.backing_up import RestoreReport
    from mlib.services.cleaning import CleanReport
    from mlib.services.counting import Counted
    from mlib.services.describing import Detail
    from mlib.services.diagnosing import Diagnosis
    from mlib.services.exporting import ExportCount, SidecarExport
    from mlib.services.files.duplicating import Action, CopyGroup, DuplicatesReport, Plan
    from mlib.services.files.extra_hashes import DigestReport
    from mlib.services.files.moving import MoveReport, Way
    from mlib.services.files.selection import Selection
    from mlib.services.files.trashing import TrashedBefore, TrashPlan, TrashReport
    from mlib.services.files.verifying import VerifyReport
    from mlib.services.forgetting import ForgetReport, Missing
    from mlib.services.history.log_entries import DescribedEntry
    from mlib.services.history.undo import UndoReport
    from mlib.services.importing.importer import ConflictStrategy, ImportReport, WaitReason
    from mlib.services.importing.staging import UnusableRow
    from mlib.services.resolving import Target
    from mlib.services.root_registry import AddReport, RemoveReport, RootReport
    from mlib.services.scanning.request import ScanReport
    from mlib.services.tagging import TagReport
    from mlib.services.updating import UpdateReport
    from mlib.services.workflows.checking import CheckReport
    from mlib.services.workflows.unused import UnusedReport

Completes = Literal["types", "tag_names", "refs"]


class Session:
    """A library and what is done with it; for one thread, and closed at the end of a `with`.

    The file is opened by the first verb that needs it; only `scan`, `add_roots` and `import_from` make one.
    Every verb raises MlibError, whose `code` is stable. A REF is what the command line takes: a SHA-256 or
    its first four or more digits, another hash, a file's path, a name, or `pending:ID`. Where a verb can be
    about everything, REFs that are None stand for that, and an empty list for nothing.
    """

    def __init__(self, path: str, *, command: str | None = None, emit: Emit = silent) -> None:
        """`command` is what the history calls everything done here (by default each verb's name)."""
        self.path = path
        self._command = command
        self._emit = emit
        self._library: Library | None = None
        self._mode: Mode = "read"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the library. An error that damage to the file is behind becomes MlibError."""
        opened, self._library = self._library, None
        if opened is not None:
            opened.__exit__(kind, error, trace)

    def close(self) -> None:
        """Close the library; the next verb would open it again."""
        self.__exit__(None, None, None)

    @property
    def exists(self) -> bool:
        """Whether there is a file in the library's place."""
        return os.path.lexists(self.path)

    def expect(self) -> None:
        """Open the library now. Raises NotFound (`no_library`) and whatever else is wrong with it."""
        self._reading()

    # --- what a person means

    def choose(self, refs: Sequence[str], query: str | None = None) -> list[Target]:
        """What the REFs lead to, and all that `query` finds; each once. Raises NotFound, WrongUsage."""
        from mlib.services.resolving import resolve_all

        targets = resolve_all(self._reading(), refs)
        if query is not None:
            from mlib.services.listing import find

            targets = list(dict.fromkeys([*targets, *find(self._reading(), query)]))
        return targets

    def choose_models(self, refs: Sequence[str] | None, query: str | None = None) -> list[str] | None:
        """The SHA-256 of the models among what `choose` finds; None, for all, without REFs and query."""
        if refs is None and query is None:
            return None
        return [target.sha256 for target in self.choose(refs or (), query) if target.sha256 is not None]

    def choose_files(
        self,
        refs: Sequence[str],
        query: str | None = None,
        *,
        is_done: Callable[[Target], bool] = lambda _target: False,
    ) -> list[Selection]:
        """The present files of each REF's model, or the one at a REF that is a path; then what `query` finds.

        A model without files is an error if it was named, unless `is_done` says that nothing is left to do to
        it, and is skipped if a query found it. Raises NotFound, WrongUsage, Refused.
        """
        from mlib.services.files.selection import select_files
        from mlib.services.resolving import resolve_all

        library = self._reading()
        found = []
        for ref in refs:
            (target,) = resolve_all(library, [ref])
            if not is_done(target):
                found.append(select_files(library, target, ref=ref))
        for target in self.choose((), query) if query is not None else ():
            with suppress(NotFound, WrongUsage):
                found.append(select_files(library, target))
        return found

    # --- reads

    def find(self, query: str = "", *, sort: Sequence[str] = (), limit: int | None = None) -> list[Listed]:
        """The models that a query finds, or all; by name unless `sort` says otherwise (`size:desc`)."""
        from mlib.core.query import parse
        from mlib.services.listing import parse_order

        every: frozenset[Part] = frozenset(("texts", "tags", "files", "content", "findings"))
        _, rows = self.rows(parse(query), order=parse_order(sort), limit=limit, parts=every)
        return list(rows)

    def rows(
        self, query: Query, *, order: Sequence[Order], limit: int | None, parts: AbstractSet[Part]
    ) -> tuple[int, Iterator[Listed]]:
        """How many models and pending imports a query finds, and what is known of each, in batches."""
        from mlib.services.listing import select_rows

        return select_rows(self._reading(), query, order=order, limit=limit, parts=parts)

    def rows_of(self, targets: Sequence[Target], *, parts: AbstractSet[Part] = frozenset()) -> list[Listed]:
        """What is known of each of these, in their order."""
        from mlib.services.listing import rows

        return list(rows(self._reading(), targets, parts=parts))

    def select(self, query: Query, *, order: Sequence[Order], limit: int | None) -> list[Target]:
        """What a query finds, all of it where it is empty."""
        from mlib.services.listing import select

        return select(self._reading(), query, order=order, limit=limit)

    def root_paths(self) -> dict[int | None, str]:
        """Where each remembered root is, by its id."""
        from mlib.services.listing import root_paths

        return root_paths(self._reading())

    def show(self, ref: str) -> Detail:
        """All that is known of one model or pending import."""
        (detail,) = self.details([ref])
        return detail

    def details(self, refs: Sequence[str], query: str | None = None) -> list[Detail]:
        """All that is known of each."""
        from mlib.services.describing import detail

        return [detail(self._reading(), target) for target in self.choose(refs, query)]

    def stats(self, *, tags_in_full: bool = False, roots_in_full: bool = False) -> Counted:
        """Models, files and bytes by type, base model, tag, root and finding."""
        from mlib.services.counting import count

        return count(self._reading(), tags_in_full=tags_in_full, roots_in_full=roots_in_full)

    def missing(self) -> list[Missing]:
        """Models that have no file any more, the latest gone first."""
        from mlib.services.forgetting import missing

        return missing(self._reading())

    def pending(self) -> list[WaitReason]:
        """What waits for import, and why."""
        from mlib.services.importing.importer import list_waiting

        return list_waiting(self._reading())

    def tags(self) -> list[TagCount]:
        """Every tag, and how many models and pending imports bear it."""
        from mlib.services.tagging import counts

        return counts(self._reading())

    def roots(self) -> list[RootReport]:
        """The folders that are scanned, how each stands now, and what is known in it."""
        from mlib.services.root_registry import list_roots

        return list_roots(self._reading())

    def log(
        self, refs: Sequence[str] | None = None, query: str | None = None, *, limit: int | None = None
    ) -> list[DescribedEntry]:
        """What was done to the library, newest first; with REFs or a query, field by field to those."""
        from mlib.services.history.log_entries import log

        targets = None if refs is None and query is None else self._choose_logged(refs or (), query)
        return log(self._reading(), targets, limit=limit)

    def duplicates(
        self, refs: Sequence[str] | None = None, query: str | None = None, *, same_weights: bool = False
    ) -> list[CopyGroup]:
        """Models stored more than once, or with `same_weights` under several headers; most to free first."""
        from mlib.services.files.duplicating import find_duplicates, find_same_weights

        find = find_same_weights if same_weights else find_duplicates
        return find(self._reading(), self.choose_models(refs, query))

    def unused(
        self, workflows: Sequence[str], refs: Sequence[str] | None = None, query: str | None = None
    ) -> UnusedReport:
        """Models that no workflow in these folders names."""
        from mlib.services.workflows.unused import unused

        shas = self.choose_models(refs, query)
        among = None if shas is None else frozenset(shas)
        return unused(self._reading(), workflows, among=among, emit=self._emit)

    def check_workflows(self, files: Sequence[str], *, with_bypassed: bool = False) -> CheckReport:
        """What these workflows need, and whether it is there; without a library only what they need."""
        from mlib.services.workflows.checking import check

        return check(self._reading() if self.exists else None, files, with_bypassed=with_bypassed)

    def export(
        self, targets: Sequence[Target] | None, *, as_table: bool, count: ExportCount
    ) -> Iterator[str]:
        """The lines of an export of these, or of everything, as JSON Lines or CSV; `count` adds them up."""
        from mlib.services import exporting

        lines = exporting.as_table if as_table else exporting.as_lines
        return lines(self._reading(), targets, count=count)

    # --- user data

    def update(
        self,
        refs: Sequence[str],
        query: str | None = None,
        *,
        text: Mapping[str, str] | None = None,
        tag: Sequence[str] = (),
        untag: Sequence[str] = (),
        set: Sequence[str] = (),  # noqa: A002 - as the option is called
        unset: Sequence[str] = (),
        dry_run: bool = False,
        with_details: bool = False,
    ) -> UpdateReport:
        """Change what is said of models: `text` by field ('' clears), tags, metadata (`KEY=VALUE`).

        With `with_details` the report holds all that is known of each afterwards, in a dry run too.
        """
        from mlib.services.describing import detail
        from mlib.services.updating import parse_edit, update

        edit = parse_edit(text=text or {}, tag=tag, untag=untag, put=set, drop=unset)
        self._open("write")
        targets = self.choose(refs, query)
        with self._changing("update", dry_run=dry_run) as library, library.transaction():
            report = update(library, targets, edit)
            if with_details:
                report.details = {target: detail(library, target) for target in targets}
        return report

    def rename_tag(self, tag: str, new: str, *, dry_run: bool = False) -> TagReport:
        """Call a tag otherwise everywhere; it joins the tag that is called so already."""
        from mlib.services.tagging import rename

        with self._changing("tags rename", dry_run=dry_run) as library:
            return rename(library, tag, new)

    def delete_tag(self, tag: str, *, dry_run: bool = False) -> TagReport:
        """Take a tag from all that bear it, after a backup."""
        from mlib.services.tagging import delete

        with self._changing("tags delete", dry_run=dry_run) as library:
            return delete(library, tag)

    def clean_meta(
        self, refs: Sequence[str] | None = None, query: str | None = None, *, dry_run: bool = False
    ) -> CleanReport:
        """Strip image data from the metadata of these, or of everything, after a backup."""
        from mlib.services.cleaning import clean_meta

        self._open("write")
        targets = None if refs is None and query is None else self.choose(refs or (), query)
        with self._changing(None, dry_run=dry_run) as library:
            return clean_meta(library, targets)

    def forget(self, targets: Sequence[Target], *, dry_run: bool = False) -> ForgetReport:
        """Forget models and pending imports and all that was said of them, after a backup."""
        from mlib.services.forgetting import forget

        with self._changing("forget", dry_run=dry_run) as library:
            return forget(library, targets)

    def prune(self, missing_for: int, *, force: bool = False, dry_run: bool = False) -> ForgetReport:
        """Forget models that have had no file for so many milliseconds, after a backup.

        Raises Refused (`too_many`) where that is more than a tenth of the library, unless `force` is given.
        """
        from mlib.services.forgetting import prune

        with self._changing("prune", dry_run=dry_run) as library:
            return prune(library, missing_for, force=force)

    def undo(self, entry_id: int | None = None, *, dry_run: bool = False) -> UndoReport:
        """Take back what a command did, by default the last one that is not undone."""
        from mlib.services.history.undo import undo

        with self._changing(None, dry_run=dry_run) as library:
            return undo(library, entry_id)

    # --- scans, folders to scan, imports

    def add_roots(self, folders: Sequence[str], *, dry_run: bool = False) -> AddReport:
        """Remember folders (`TYPE=DIR`, or a whole ComfyUI) for the next scan."""
        from mlib.services.root_registry import add_roots, wanted_roots

        self._open_or_create(dry_run=dry_run, check=lambda _: wanted_roots(folders))
        with self._changing("roots add", dry_run=dry_run) as library:
            return add_roots(library, folders)

    def remove_root(self, root: str, *, dry_run: bool = False) -> RemoveReport:
        """Forget a root, by its path or id; models keep all that was said of them."""
        from mlib.services.root_registry import remove_root

        with self._changing("roots remove", dry_run=dry_run) as library:
            return remove_root(library, root)

    def scan(
        self,
        paths: Sequence[str] = (),
        *,
        comfyui: Sequence[str] = (),
        extra_paths: Sequence[str] = (),
        roots: Sequence[str] = (),
        stage: bool = False,
        rehash: bool = False,
        reinspect: bool = False,
        jobs: int | None = None,
        accept_missing: bool = False,
        dry_run: bool = False,
    ) -> ScanReport:
        """Bring the library up to date with the disks, and make one if there is none.

        `comfyui` folders, `extra_paths` files and `roots` (`TYPE=DIR`) are remembered for the next scan;
        `paths` limits this one. The other options are those of the command: see `ScanRequest`.
        """
        from mlib.core.comfyui.root_sources import find_comfyui
        from mlib.services.scanning.request import ScanRequest, check_request
        from mlib.services.scanning.run import scan

        request = ScanRequest(
            comfyui=comfyui,
            extra_paths=extra_paths,
            roots=roots,
            paths=paths,
            stage=stage,
            rehash=rehash,
            reinspect=reinspect,
            jobs=jobs,
            accept_missing=accept_missing,
            dry_run=dry_run,
            find_comfyui=lambda: find_comfyui(start=os.getcwd(), environ=os.environ),
        )
        library = self._open_or_create(dry_run=dry_run, check=lambda empty: check_request(empty, request))
        return scan(library, request, emit=self._emit)

    def import_pending(
        self,
        ids: Sequence[int] | None = None,
        *,
        on_conflict: str = "report",
        moves: Sequence[str] = (),
        dry_run: bool = False,
    ) -> ImportReport:
        """Make models of all pending imports, or of these. `moves` (`OLD=NEW`) changes their paths first."""
        from mlib.services.importing.from_legacy import map_waiting
        from mlib.services.importing.importer import Failed, import_pending
        from mlib.services.importing.staging import parse_path_map

        parsed = [parse_path_map(text) for text in moves]
        strategy = _parse_strategy(on_conflict)
        with self._changing("import", dry_run=dry_run) as library:
            bad: list[UnusableRow] = []
            if parsed:
                with library.transaction():
                    ids, bad = map_waiting(library, parsed, ids)
            report = import_pending(library, ids, strategy=strategy)
            report.failed += [Failed(None, each.path, each.code, each.message) for each in bad]
            report.backup = _needed(library, report.backup)
        return report

    def import_from(
        self,
        file: str,
        *,
        ids: Sequence[int] | None = None,
        on_conflict: str = "report",
        moves: Sequence[str] = (),
        dry_run: bool = False,
    ) -> ImportReport:
        """Take over an export of mlib, another library, or an older manager's database.

        `moves` (`OLD=NEW`) changes the beginnings of its paths. Raises WrongUsage (`bad_options`) for `ids`
        with an export, which is imported whole.
        """
        from mlib.db.exports import is_export
        from mlib.services.importing.staging import parse_path_map

        parsed = [parse_path_map(text) for text in moves]
        if is_export(file):
            if ids:
                raise WrongUsage("bad_options", "an export is imported whole: IDs are not allowed")
            return self._import_export(file, parsed, on_conflict, dry_run=dry_run)
        return self._import_legacy(file, ids, parsed, on_conflict, dry_run=dry_run)

    def import_sidecars(
        self,
        refs: Sequence[str] | None = None,
        query: str | None = None,
        *,
        on_conflict: str = "report",
        dry_run: bool = False,
    ) -> ImportReport:
        """Take over what other managers keep beside these models, or all."""
        from mlib.services.importing.from_sidecars import import_sidecars

        strategy = _parse_strategy(on_conflict)
        self._open("write")
        shas = self.choose_models(refs, query)
        with self._changing("import --sidecars", dry_run=dry_run) as library:
            report = import_sidecars(library, shas, strategy=strategy)
            report.backup = _needed(library, report.backup)
        return report

    # --- model files

    def move(
        self,
        refs: Sequence[str],
        dest: str,
        query: str | None = None,
        *,
        way: Way = "exclusive",
        dry_run: bool = False,
    ) -> MoveReport:
        """Move files of models to another folder or path, with their companions; overwrite nothing."""
        from mlib.services.files.moving import move

        library = self._open("write")
        meant = self.choose_files(refs, query)
        return move(library, meant, dest, way=way, dry_run=dry_run, emit=self._emit)

    def rename(self, ref: str, name: str, *, way: Way = "exclusive", dry_run: bool = False) -> MoveReport:
        """Give a model's file another name, and what lies beside it too."""
        from mlib.services.files.moving import rename

        library = self._open("write")
        (meant,) = self.choose_files([ref])
        return rename(library, meant, name, way=way, dry_run=dry_run)

    def plan_trash(
        self, refs: Sequence[str], query: str | None = None
    ) -> tuple[TrashPlan, list[TrashedBefore]]:
        """What would go to the trash, and which of the models are there already."""
        from mlib.services.files.trashing import plan_trash, trashed_before

        library = self._open("write")
        before: list[TrashedBefore] = []

        def is_done(target: Target) -> bool:
            found = trashed_before(library, target)
            before.extend(found)
            return bool(found)

        return plan_trash(library, self.choose_files(refs, query, is_done=is_done)), before

    def trash(self, plan: TrashPlan, *, dry_run: bool = False) -> TrashReport:
        """Move what is planned to the system's trash; what is known of the models stays."""
        from mlib.services.files.trashing import simulate_trash, trash

        carry_out = simulate_trash if dry_run else trash
        return carry_out(self._open("write"), plan, environ=os.environ)

    def plan_one_copy(self, groups: Sequence[CopyGroup], keep: str, action: Action) -> Plan:
        """Which copy of each group would stay (`keep` as the option is given), and which would go."""
        from mlib.services.files.duplicating import plan

        return plan(self._open("write"), groups, keep, action)

    def keep_one_copy(self, plan: Plan, action: Action, *, dry_run: bool = False) -> DuplicatesReport:
        """Make hard links of the copies that go, or move them to the trash; each is read whole before."""
        from mlib.services.files.duplicating import carry_out, simulate

        library = self._open("write")
        if dry_run:
            report = simulate(library, plan.choices, action, environ=os.environ)
        else:
            report = carry_out(library, plan.choices, action, environ=os.environ, emit=self._emit)
        report.left_alone, report.needed = plan.left_alone, plan.needed
        return report

    def verify(
        self,
        refs: Sequence[str] | None = None,
        query: str | None = None,
        *,
        deep: bool = False,
        max_rate: int | None = None,
        unread_for: int | None = None,
        dry_run: bool = False,
    ) -> VerifyReport:
        """Check that files are what the library knows: by size, date and header, or `deep` by every byte.

        `max_rate` is in bytes a second; `unread_for`, in ms, leaves out what was read whole since.
        """
        from mlib.services.files.verifying import VerifyRequest, verify

        library = self._open("write" if deep and not dry_run else "read")
        meant = None if refs is None and query is None else self.choose_files(refs or (), query)
        request = VerifyRequest(
            meant=meant, deep=deep, max_rate=max_rate, unread_for=unread_for, dry_run=dry_run
        )
        return verify(library, request, emit=self._emit)

    def hash_models(self, shas: Sequence[str] | None = None, *, dry_run: bool = False) -> DigestReport:
        """Compute and keep the other hashes of these models, or of all that lack some."""
        from mlib.services.files.extra_hashes import digest_models

        return digest_models(self._open("write"), shas, dry_run=dry_run, emit=self._emit)

    def plan_sidecars(self, refs: Sequence[str] | None = None, query: str | None = None) -> SidecarExport:
        """Which sidecars would be written beside these models, or all, to hold what was typed of them."""
        from mlib.services.exporting import plan_sidecars

        return plan_sidecars(self._reading(), self.choose_models(refs, query))

    def write_sidecars(self, planned: SidecarExport) -> SidecarExport:
        """Write what is planned, each file whole or not at all."""
        from mlib.services.exporting import write_sidecars

        write_sidecars(self._open("write"), planned)
        return planned

    # --- care of the library itself

    def complete(self, kind: Completes, begun: str) -> list[str]:
        """Types, tag names or REFs that begin so, for a shell's completion."""
        from mlib.services import listing

        find = {"types": listing.types, "tag_names": listing.tag_names, "refs": listing.refs}[kind]
        return find(self._reading(), begun)

    def back_up(self, to: str | None = None, *, replaces: Stat | None = None) -> str:
        """Make a whole, checked copy beside the library, or at `to`; its path."""
        from mlib.services.backing_up import back_up

        return back_up(self._reading(), to, replaces=replaces)

    def backed_up(self) -> Iterator[bytes]:
        """The bytes of a whole, checked copy, part by part."""
        from mlib.services.backing_up import backup_bytes

        return backup_bytes(self._reading())

    def backups(self) -> list[Backup]:
        """The backups there are, newest first; the library itself need not be."""
        from mlib.services.backing_up import list_backups

        return list_backups(self.path)

    def plan_restore(self, backup: str | None) -> RestoreReport:
        """What `restore` of this backup, or of the newest good one, would do; the backup is checked."""
        from mlib.services.backing_up import plan_restore

        return plan_restore(self.path, backup)

    def restore(self, backup: str) -> RestoreReport:
        """Put a backup in the library's place. What was there is kept."""
        from mlib.services.backing_up import restore

        self.close()
        return restore(self.path, backup)

    def doctor(self, *, fix: bool = False) -> Diagnosis:
        """Examine the library and what it stands on; works on a damaged one too."""
        from mlib.services.diagnosing import examine

        return examine(self.path, fix=fix)

    # --- opening and recording

    def _open(self, mode: Mode) -> Library:
        """The library, opened so that it can be read or written."""
        if self._library is not None and (mode == self._mode or self._mode in ("write", "create")):
            return self._library
        from mlib.db.library import open_library

        self.close()
        self._library, self._mode = open_library(self.path, mode=mode), mode
        return self._library

    def _reading(self) -> Library:
        return self._open("read")

    def _open_or_create(self, *, dry_run: bool, check: Callable[[Library], object]) -> Library:
        """The library, made if there is none; for a dry run an empty one in memory stands for it.

        Before one is made `check` must pass on an empty one, so that wrong arguments leave nothing behind.
        """
        from mlib.db.library import open_library

        if dry_run:
            return self._open("dry_run")
        if not self.exists:
            with open_library(self.path, mode="dry_run") as empty:
                check(empty)
        return self._open("create")

    @contextmanager
    def _changing(self, verb: str | None, *, dry_run: bool) -> Iterator[Library]:
        """The library, open for one recorded change (`verb` None: it records itself), or a dry run."""
        library = self._open("dry_run" if dry_run and self._mode == "dry_run" else "write")
        if dry_run:
            with library.rehearsal():
                yield library
        elif verb is None:
            yield library
        else:
            from mlib.db.history import recording

            with recording(library, self._command or verb):
                yield library

    def _import_export(
        self, file: str, moves: Sequence[Any], on_conflict: str, *, dry_run: bool
    ) -> ImportReport:
        from mlib.services.importing.from_exports import check_export, import_export
        from mlib.services.importing.importer import Failed, StillWaiting

        strategy = _parse_strategy(on_conflict)
        self._open_or_create(dry_run=dry_run, check=lambda _: check_export(file))
        with self._changing("import", dry_run=dry_run) as library:
            taken = import_export(library, file, strategy=strategy, moves=moves)
            report = taken.imported
            report.backup = _needed(library, taken.backup)
        report.failed += [Failed(None, bad.path, bad.code, bad.message) for bad in taken.bad]
        report.waiting += [StillWaiting(pending_id, where) for pending_id, where in taken.waiting]
        report.roots = len(taken.roots)
        return report

    def _import_legacy(
        self, file: str, ids: Sequence[int] | None, moves: Sequence[Any], on_conflict: str, *, dry_run: bool
    ) -> ImportReport:
        from mlib.services.importing.from_legacy import stage_legacy
        from mlib.services.importing.importer import Failed, import_pending

        strategy = _parse_strategy(on_conflict)
        self._open_or_create(
            dry_run=dry_run, check=lambda empty: stage_legacy(empty, file, keep_backup=False)
        )
        with self._changing("import", dry_run=dry_run) as library:
            staged = stage_legacy(library, file, moves=moves)
            report = import_pending(library, ids, strategy=strategy, keep_backup=staged.backup is None)
            report.failed += [Failed(None, each.path, each.code, each.message) for each in staged.bad]
            report.backup = _needed(library, staged.backup or report.backup)
        return report

    def _choose_logged(self, refs: Sequence[str], query: str | None) -> list[Target]:
        """As `choose`, and what the history alone knows any more."""
        from mlib.services.history.log_entries import find_forgotten

        targets: list[Target] = []
        for ref in refs:
            try:
                targets += self.choose([ref])
            except NotFound as error:
                if error.code not in ("model_not_found", "pending_not_found"):
                    raise
                found = find_forgotten(self._reading(), ref)
                if found is None:
                    raise
                targets.append(found)
        return list(dict.fromkeys([*targets, *self.choose((), query)]))


def default_path(environ: Mapping[str, str]) -> str:
    """Where the library is when nobody says: MLIB_LIBRARY, or the platform's data directory.

    Raises MlibError (`no_home`) where there is none.
    """
    named = environ.get("MLIB_LIBRARY")
    if named:
        return named
    from platformdirs import user_data_dir

    try:
        directory = user_data_dir("mlib", appauthor=False)
    except RuntimeError:  # newer versions raise where older ones leave a `~` in the path
        directory = ""
    if not os.path.isabs(directory):
        # A relative XDG_DATA_HOME is to be ignored (XDG base directory specification).
        directory = os.path.expanduser("~/.local/share/mlib")
    if not os.path.isabs(directory):
        raise MlibError(
            "no_home",
            "no home directory for the library",
            hint="set --library FILE or MLIB_LIBRARY",
        )
    return os.path.join(directory, "library.db")


def _needed(library: Library, backup: str | None) -> str | None:
    from mlib.services.backing_up import keep_if_needed

    return keep_if_needed(library, backup)


def _parse_strategy(text: str) -> ConflictStrategy:
    """The strategy of that name. Raises WrongUsage (`bad_options`)."""
    from mlib.services.importing.importer import ConflictStrategy

    try:
        return ConflictStrategy(text)
    except ValueError:
        known = ", ".join(ConflictStrategy)
        raise WrongUsage("bad_options", f"no such conflict strategy: {text} (there are {known})") from None
