"""The request and report of a scan, and the choice of roots and scopes."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.comfyui.extra_paths import UNSEEN
from mlib.core.comfyui.root_sources import (
    EXTRA_PATHS,
    RootsFound,
    comfyui_roots,
    distinct,
    extra_paths_roots,
    root_option,
)
from mlib.core.disk.walk import Scope, is_passed_over, is_within
from mlib.core.errors import Hint, MlibError, NotFound, Terminated, WrongUsage
from mlib.core.records import Problem, Root
from mlib.db import files, roots
from mlib.services.deriving import remember_roots

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from types import FrameType

    from mlib.core.formats.header import Finding
    from mlib.db.library import Library


# --- Deferring signals


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM take effect only at the end of the block."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[tuple[int, FrameType | None]] = []
    handlers = {
        number: signal.signal(number, lambda number, frame: waiting.append((number, frame)))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if waiting:
        first, frame = waiting[0]
        handler = handlers[signal.Signals(first)]
        if callable(handler):
            handler(first, frame)


@contextmanager
def noted(report: ScanReport) -> Iterator[None]:
    """Let an interruption end what is done here, and note it in the report."""
    try:
        yield
    except (KeyboardInterrupt, Terminated) as interruption:
        report.interrupted = interruption


# --- Choosing roots and scopes


#: Options of a scan by which a person names what to look into.
_COMFYUI, _ROOT = ("--comfyui", "DIR"), ("--root", "TYPE=DIR")


class Places(NamedTuple):
    """`wanted`: the roots to walk. `known`: these and all others that are remembered.

    `awaited` are the paths of wanted roots that are not there, and for which a drive may be off.
    """

    wanted: tuple[Root, ...]
    known: tuple[Root, ...]
    problems: tuple[Problem, ...]
    awaited: frozenset[str] = frozenset()


def check_request(library: Library, request: ScanRequest) -> Places:
    """The places of this scan. Raises MlibError where the user named what is none; writes nothing."""
    places = choose_roots(library, request)
    choose_scopes(library, places, request.paths)
    return places


def choose_roots(library: Library, request: ScanRequest) -> Places:
    """The roots of this scan; nothing is written. Raises MlibError where the user named what is no root.

    Without any given, the remembered ones, with what their ComfyUI folders and YAML files hold today.
    """
    remembered = roots.all_roots(library)
    found = RootsFound(())
    if request.comfyui or request.extra_paths or request.roots:
        found = RootsFound(tuple(root_option(text) for text in request.roots))
        found = _discovered(found, request.comfyui, request.extra_paths)
    elif remembered:
        found = _rediscovered(remembered)
    else:
        found = _first_time(request)
    wanted = distinct(found.roots)
    by_path = {root.path: root for root in remembered}
    wanted = tuple(
        root._replace(id=by_path[root.path].id) if root.path in by_path else root for root in wanted
    )
    wanted_paths = {root.path for root in wanted}
    others = [root for root in remembered if root.path not in wanted_paths]
    # That no loader looks into a folder is told when the folder is new.
    problems = tuple(each for each in found.problems if each.code != UNSEEN or each.path not in by_path)
    return Places(wanted, distinct([*wanted, *others]), problems, found.awaited)


def _discovered(found: RootsFound, comfyui: Iterable[str], extra_paths: Iterable[str]) -> RootsFound:
    """What was `found`, and what these ComfyUI folders and YAML files list."""
    for directory in comfyui:
        more = comfyui_roots(directory)
        found = RootsFound(
            found.roots + more.roots, found.problems + more.problems, found.awaited | more.awaited
        )
    for path in extra_paths:
        more = extra_paths_roots(path, after=found.roots)
        found = RootsFound(more.roots, found.problems + more.problems, found.awaited | more.awaited)
    return found


def _rediscovered(remembered: Sequence[Root]) -> RootsFound:
    """The remembered roots, led by what their origins list now. An origin that is gone takes nothing away."""
    current = RootsFound(())
    read: set[str] = set()
    problems: list[Problem] = []
    origins = [root.origin.partition(":") for root in remembered]
    checkouts = dict.fromkeys(place for kind, _, place in origins if kind == "comfyui")
    read_with_them = {os.path.join(place, EXTRA_PATHS) for place in checkouts}
    yamls = dict.fromkeys(place for kind, _, place in origins if kind == "extra")
    # As they were found at first: a YAML puts its folders before or behind those of a ComfyUI.
    for place in (*checkouts, *(yaml for yaml in yamls if yaml not in read_with_them)):
        try:
            if place in checkouts:
                current = _discovered(current, [place], [])
                read.add(os.path.join(place, EXTRA_PATHS))
            else:
                current = _discovered(current, [], [place])
                read.add(place)
        except MlibError as error:
            if os.path.lexists(place):
                problems.append(Problem(place, error.code, error.message))
    gone = [yaml for yaml in yamls if not os.path.lexists(yaml) and os.path.isdir(os.path.dirname(yaml))]
    problems += _without_their_file(remembered, gone)
    broken = {problem.path for problem in (*current.problems, *problems) if problem.code == "bad_yaml"}
    problems += _unlisted(remembered, current.roots, read - broken)
    return RootsFound((*current.roots, *remembered), (*current.problems, *problems), current.awaited)


def _without_their_file(remembered: Sequence[Root], gone: Sequence[str]) -> Iterator[Problem]:
    """What is said of YAML files that are gone: what they listed is scanned as before, and cannot change."""
    for yaml in gone:
        ids = [str(root.id) for root in remembered if root.origin == f"extra:{yaml}"]
        message = (
            f"this file is missing, but the folders it listed (roots {', '.join(ids)}) are still scanned;"
            " name the file that lists them now, or remove the roots"
        )
        yield Problem(yaml, "no_such_file", message)


def _unlisted(
    remembered: Sequence[Root], current: Sequence[Root], read: Collection[str]
) -> Iterator[Problem]:
    """The remembered roots that a YAML file listed once, and that it, still there, lists no more."""
    listed = {root.path for root in current}
    for root in remembered:
        kind, _, place = root.origin.partition(":")
        if kind == "extra" and place in read and root.path not in listed and os.path.isfile(place):
            message = f"{place} no longer lists this folder; remove root {root.id} to forget it"
            yield Problem(root.path, "unlisted_root", message)


def _first_time(request: ScanRequest) -> RootsFound:
    directory = request.find_comfyui()
    if directory is None:
        raise MlibError(
            "no_roots",
            "no roots are known yet",
            hint=Hint("name your ComfyUI once with {}, or a folder with {}", _COMFYUI, _ROOT),
        )
    return comfyui_roots(directory)


def choose_scopes(library: Library, places: Places, paths: Sequence[str]) -> list[Scope]:
    """What to walk: every wanted root, or only those and the parts of them that `paths` name."""
    if not paths:
        return [Scope(root, root.path) for root in places.wanted]
    scopes: list[Scope] = []
    names: dict[tuple[Root, str], set[str]] = {}
    for given in paths:
        path = os.path.abspath(given)
        if os.path.isdir(path) and not _holders(path, places.wanted):
            below = _roots_below(path, places.wanted)
            if below:  # a whole ComfyUI, or the disk it lies on
                scopes += below
                continue
        root, path = _placed(path, places.wanted)
        if is_passed_over(path if os.path.isdir(path) else os.path.dirname(path), root.path):
            raise WrongUsage(
                "passed_over",
                f"scans skip this folder (deleted or replaced files): {given}",
                hint=Hint("to scan it anyway, add it as a root: {}", _ROOT),
            )
        if os.path.isdir(path):
            scopes.append(Scope(root, path))
            scopes += [scope for scope in _roots_below(path, places.wanted) if scope.root != root]
        elif os.path.lexists(path) or files.at_path(library, path):
            directory, name = os.path.split(path)
            names.setdefault((root, directory), set()).add(name)
        else:
            raise NotFound("no_such_path", f"no such file or directory: {given}")
    trees = [scope.directory for scope in scopes]
    for (root, directory), only in names.items():
        if not any(is_within(directory, tree) for tree in trees):
            scopes.append(Scope(root, directory, frozenset(only)))
    return scopes


def _placed(path: str, roots_: Sequence[Root]) -> tuple[Root, str]:
    """The innermost root that holds `path`, and the path as seen from it: links may have led there."""
    holders = _holders(path, roots_)
    if holders:
        return max(holders, key=lambda root: len(root.path)), path
    real = os.path.realpath(path)
    for root in sorted(roots_, key=lambda root: len(root.path), reverse=True):
        real_root = os.path.realpath(root.path)
        if is_within(real, real_root):
            return root, os.path.normpath(os.path.join(root.path, os.path.relpath(real, real_root)))
    raise MlibError(
        "outside_roots",
        f"not inside any root: {path}",
        hint=Hint("add its folder with {}, or a whole ComfyUI with {}", _ROOT, _COMFYUI),
    )


def _holders(path: str, roots_: Sequence[Root]) -> list[Root]:
    return [root for root in roots_ if is_within(path, root.path)]


def _roots_below(path: str, roots_: Sequence[Root]) -> list[Scope]:
    return [Scope(root, root.path) for root in roots_ if is_within(root.path, path)]


def remember(library: Library, places: Places) -> Places:
    """Give every root its id. One that is not there is remembered once it is seen, unless it is awaited."""
    wanted = [
        root
        for root in places.wanted
        if root.id is not None or root.path in places.awaited or os.path.isdir(root.path)
    ]
    known = {root.path: root for root in roots.all_roots(library)}
    changed = [root for root in wanted if known.get(root.path) != root]
    if changed:
        with library.transaction():
            remember_roots(library, wanted)
        known = {root.path: root for root in roots.all_roots(library)}
    return places._replace(
        wanted=tuple(known.get(root.path, root) for root in places.wanted),
        known=tuple(known.get(root.path, root) for root in places.known),
    )


#: Every way a file that was seen can be accounted for; each file is counted once.
OUTCOMES = ("unchanged", "added", "moved", "copied", "replaced", "restored", "pending")


class ScanRequest(NamedTuple):
    """Where to look (ComfyUI folders, YAML files, TYPE=DIR roots; none: what is remembered) and how.

    `paths` limits the scan to these files and subtrees. `stage` leaves new content in pending_import.
    `rehash` believes no stat. `reinspect` judges every file anew, from its kept header where there is one,
    and reads every sidecar again.
    `jobs` is the number of files read at once from one disk. `accept_missing`
    marks files as missing where a guard would rather not. `dry_run` reads and writes nothing: new files count
    as added, or with `stage` as pending, without being hashed. `find_comfyui` finds a ComfyUI to fall back on
    where nothing is remembered.
    """

    comfyui: Sequence[str] = ()
    extra_paths: Sequence[str] = ()
    roots: Sequence[str] = ()
    paths: Sequence[str] = ()
    stage: bool = False
    rehash: bool = False
    reinspect: bool = False
    jobs: int | None = None
    accept_missing: bool = False
    dry_run: bool = False
    find_comfyui: Callable[[], str | None] = lambda: None


@dataclass(slots=True)
class ScanReport:
    """What a scan did. `guarded_roots` are those it refused to mark anything missing in.

    `silent` are paths of sidecars that it read and that say nothing.
    `passed_over` are the bins, snapshots and version folders that it did not look into.
    """

    counts: Counter[str] = field(default_factory=Counter)
    scanned: int = 0
    missing: int = 0
    skipped: list[Problem] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    offline_roots: list[str] = field(default_factory=list)
    guarded_roots: list[str] = field(default_factory=list)
    pending_ids: list[int] = field(default_factory=list)
    conflicts: int = 0
    findings: list[tuple[str, Finding]] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    hashed_bytes: int = 0
    silent: list[str] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: BaseException | None = None

    @property
    def serious(self) -> list[tuple[str, Finding]]:
        """The findings that say that a file cannot be used as it is; only news of them are in the report."""
        return [(path, finding) for path, finding in self.findings if finding.serious]

    @property
    def pending(self) -> int:
        """How much waits; in a dry run, how much would."""
        return len(self.pending_ids) or self.counts["pending"]
