"""Walking the roots: one `scandir` a directory, links followed once, no file opened."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

from mlib.core.comfyui.folders import MODEL_EXTENSIONS, is_model_name
from mlib.core.disk import system
from mlib.core.disk.storage import root_state
from mlib.core.disk.unfinished import BESIDE, unfinished_name
from mlib.core.records import Problem, Root
from mlib.core.sidecars.companions import is_sidecar_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


# --- Folders that a scan passes over: recycle bins, snapshots, kept versions, and programs' own working
# files.
#
# A file in one of them is not a copy that anybody loads: its owner deleted or replaced it, and some program
# removes it one day.

#: `own` are working files of programs; the others hold what people had, and are worth a word.
Holding = Literal["bin", "snapshot", "versions", "own"]


class _Known(NamedTuple):
    holding: Holding
    names: tuple[str, ...]
    source: str


#: By whom such folders are made. Names are compared in lower case, as the systems that make them do.
_KNOWN = (
    _Known("bin", ("#recycle",), "Synology DSM and TerraMaster TOS: recycle bin of a shared folder"),
    _Known("bin", ("@Recycle",), "QNAP QTS: network recycle bin of a shared folder"),
    _Known("bin", (".recycle",), "Samba: vfs_recycle(8), the default of recycle:repository; Unraid, OMV"),
    _Known("bin", ("$RECYCLE.BIN", "RECYCLER"), "Windows: since Vista; NT to XP"),
    _Known("bin", (".Trashes", ".MobileBackups.trash"), "macOS: bins of a volume"),
    _Known("bin", ("Network Trash Folder",), "AppleShare and Netatalk: bin of a shared volume"),
    _Known("bin", (".mlib-trash",), "mlib: where the system's trash cannot be used"),
    _Known("bin", (".SyncTrash",), "BitTorrent Sync 1: deleted files"),
    _Known("snapshot", ("#snapshot", "@sharesnap"), "Synology DSM: visible snapshots of a shared folder"),
    _Known("snapshot", ("@Recently-Snapshot",), "QNAP QTS: visible snapshots of a shared folder"),
    _Known("snapshot", (".snapshot", "~snapshot"), "NetApp ONTAP, ReadyNAS: snapshots by NFS and by SMB"),
    _Known("snapshot", (".snapshots",), "snapper(8); also the usual path for Samba's vfs_shadow_copy2(8)"),
    _Known("snapshot", (".zfs",), "OpenZFS: zfsprops(7), snapdir"),
    _Known("versions", (".stversions",), "Syncthing: file versioning"),
    _Known("versions", (".sync", ".SyncArchive"), "Resilio Sync: .sync/Archive; BitTorrent Sync 1"),
    _Known("versions", (".qsync", ".qsync_sn"), "QNAP Qsync: working files and kept versions"),
    _Known("versions", (".DocumentRevisions-V100", ".MobileBackups"), "macOS: versions, Time Machine"),
    _Known("own", (".stfolder",), "Syncthing: the mark of a shared folder"),
    _Known("own", (".dropbox.cache",), "Dropbox: what it downloads and deletes"),
    _Known("own", (".tmp.drivedownload", ".tmp.driveupload"), "Google Drive for desktop: transfers"),
    _Known("own", (".SynologyWorkingDirectory",), "Synology Drive: what it downloads"),
    _Known("own", ("@eaDir", "@tmp", "@SynoResource"), "Synology DSM: thumbnails, attributes, uploads"),
    _Known("own", (".@__thumb", "@Transcode", ".streams"), "QNAP QTS: thumbnails, media, attributes"),
    _Known("own", (".TemporaryItems", ".Spotlight-V100", ".fseventsd", ".AppleDouble"), "macOS, Netatalk"),
    _Known("own", ("lost+found", "found.000", "found.001"), "e2fsck(8) and Windows' chkdsk: fragments"),
    _Known("own", ("System Volume Information",), "Windows: restore points and indexes of a volume"),
    _Known("own", (".git", ".cache", "__pycache__"), "git, huggingface_hub's local folders, Python"),
)

_BY_NAME: Mapping[str, Holding] = MappingProxyType(
    {name.lower(): known.holding for known in _KNOWN for name in known.names}
)
#: Every name, for those who test and document them.
PASSED_OVER = frozenset(name for known in _KNOWN for name in known.names)


def passed_over(name: str) -> Holding | None:
    """What a folder called `name` holds that no scan looks at; None where scans look into it.

    `.Trash` and `.Trash-UID` are the FreeDesktop.org Trash specification's.
    """
    if name.startswith(".Trash"):
        return _BY_NAME.get(name.lower(), "bin")
    return _BY_NAME.get(name.lower())


def holds_copies(name: str) -> bool:
    """Whether a folder of this name holds what was deleted or replaced, or an earlier state of everything."""
    return passed_over(name) not in (None, "own")


def is_passed_over(directory: str, root: str | None) -> bool:
    """Whether a scan of `root` skips `directory`, which is the root or below it.

    A root may lie in such a folder itself: it was named, so it is wanted. Outside of all roots (None) only
    bins, snapshots and versions count.
    """
    if root is None:
        return any(holds_copies(part) for part in directory.split(os.sep))
    return any(passed_over(part) for part in os.path.relpath(directory, root).split(os.sep))


#: Where a link may not lead: these are the kernel's, endless and full of devices.
KERNEL_TREES = ("/proc", "/sys", "/dev")


class Scope(NamedTuple):
    """A directory to walk with everything below it, or only these names in it (which need not exist)."""

    root: Root
    directory: str
    only: frozenset[str] | None = None


class Listing(NamedTuple):
    """One directory as it is now.

    `files` holds the candidates by name, links followed, `sidecars` the files of other managers likewise.
    `left_alone` are names that are no candidates and why. `passed_over` are paths of folders that were not
    looked into (see `core.passed_over`). `unknown` are paths whose state could not be seen:
    nothing at or below them may be called gone. `failed` says that a listing or stat failed, so that the
    root cannot be judged as a whole.
    """

    root: Root
    directory: str
    files: Mapping[str, os.stat_result] = MappingProxyType({})
    sidecars: Mapping[str, os.stat_result] = MappingProxyType({})
    left_alone: tuple[Problem, ...] = ()
    passed_over: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    unknown: tuple[str, ...] = ()
    failed: bool = False


@dataclass(slots=True)
class _Entries:
    directory: str
    files: dict[str, os.stat_result] = field(default_factory=dict)
    sidecars: dict[str, os.stat_result] = field(default_factory=dict)
    directories: list[str] = field(default_factory=list)
    linked_directories: list[str] = field(default_factory=list)
    beside: set[str] = field(default_factory=set)
    left_alone: list[Problem] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    failed: bool = False

    def path(self, entry: os.DirEntry[str]) -> str:
        """An entry's own `path` is its name where the directory was listed by descriptor."""
        return os.path.join(self.directory, entry.name)


def walk(scopes: Sequence[Scope], *, roots: Sequence[Root]) -> Iterator[Listing]:
    """Every directory of `scopes`, each once, as a Listing; no error ends the walk.

    `roots` are all roots known, walked now or not: a directory below another root belongs to that one, and a
    linked directory that leads into a root is that root's to list. A directory is recognised by (device,
    inode), so loops end and two links to one place count once.
    """
    real_roots = tuple(os.path.realpath(root.path) for root in roots)
    boundaries = _identities(roots)
    visited: set[tuple[int, int]] = set()
    for scope in scopes:
        waiting = [scope.directory]
        while waiting:
            directory = waiting.pop()
            try:
                with _opened(directory) as opened:
                    status = os.stat(opened)
                    identity = (status.st_dev, status.st_ino)
                    if boundaries.get(identity, scope.root.path) != scope.root.path:
                        continue
                    if identity in visited and scope.only is None:
                        continue
                    visited.add(identity)
                    entries = _list(opened, directory, scope)
            except FileNotFoundError:
                # A root that is not there, or empty, may be a drive that is off; a folder below one that is
                # neither was just removed.
                is_off = directory == scope.directory and root_state(scope.root.path) != "present"
                yield Listing(root=scope.root, directory=directory, failed=is_off)
                continue
            except OSError as error:
                yield _unlistable(scope.root, directory, error)
                continue
            if scope.only is None:
                linked = (
                    os.path.join(directory, name) for name in sorted(entries.linked_directories, reverse=True)
                )
                waiting.extend(path for path in linked if _leads_outside(path, real_roots))
                waiting.extend(
                    os.path.join(directory, name) for name in sorted(entries.directories, reverse=True)
                )
            yield Listing(
                root=scope.root,
                directory=directory,
                files=entries.files,
                sidecars=entries.sidecars,
                left_alone=tuple(entries.left_alone),
                passed_over=tuple(entries.passed_over),
                problems=tuple(entries.problems),
                unknown=tuple(entries.unknown),
                failed=entries.failed,
            )


def _identities(roots: Sequence[Root]) -> dict[tuple[int, int], str]:
    """Which root a directory is, however its path leads there; of two that are one, the first."""
    found: dict[tuple[int, int], str] = {}
    for root in roots:
        with contextlib.suppress(OSError):
            status = os.stat(root.path)
            found.setdefault((status.st_dev, status.st_ino), root.path)
    return found


def _unlistable(root: Root, directory: str, error: OSError) -> Listing:
    problem = Problem(directory, "unreadable", f"cannot list it: {reason(error)}")
    return Listing(root=root, directory=directory, problems=(problem,), unknown=(directory,), failed=True)


@contextlib.contextmanager
def _opened(directory: str) -> Iterator[int | str]:
    """A directory's descriptor. Asked through it, a file costs one name to look up and not its whole path.

    Where the system has no descriptors of directories, its path.
    """
    descriptor = system.open_listable(directory)
    try:
        yield directory if descriptor is None else descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _list(opened: int | str, directory: str, scope: Scope) -> _Entries:
    """Sort one directory's entries; an OSError means that the directory itself cannot be listed."""
    found = _Entries(directory)
    files = found.files
    only = scope.only
    with os.scandir(opened) as listing:
        entries = list(listing)
    for entry in entries:
        name = entry.name
        # Nearly all that a large library holds, without a call for each: `_take` says the rule in full.
        if name[name.rfind(".") :] in MODEL_EXTENSIONS and name[0] != "." and only is None:
            try:
                if entry.is_file(follow_symlinks=False):
                    files[name] = entry.stat(follow_symlinks=False)
                    continue
            except OSError:
                pass  # it is asked once more, and the error told
        _take(entry, found, only=only, any_file=scope.root.any_file)
    _set_unfinished_apart(found)
    return found


def _take(entry: os.DirEntry[str], found: _Entries, *, only: frozenset[str] | None, any_file: bool) -> None:
    name = entry.name
    if name.endswith(BESIDE):
        found.beside.add(name)
    if is_sidecar_name(name):
        _take_sidecar(entry, found)
        return
    if only is not None and name not in only:
        return
    if entry.is_dir(follow_symlinks=False):
        if passed_over(name):
            found.passed_over.append(found.path(entry))
        else:
            found.directories.append(name)
    elif is_model_name(name, any_file=any_file):
        _take_candidate(entry, found)
    elif unfinished_name(name, ()):
        found.left_alone.append(Problem(found.path(entry), "unfinished", "a download that has not ended"))
    elif entry.is_symlink() and not name.startswith("."):
        _take_link(entry, found, candidate=False)


def _take_sidecar(entry: os.DirEntry[str], found: _Entries) -> None:
    """Note it if it is a file; what cannot be seen of a sidecar is no loss to anybody."""
    with contextlib.suppress(OSError):
        status = entry.stat()
        if stat.S_ISREG(status.st_mode):
            found.sidecars[entry.name] = status
        elif stat.S_ISDIR(status.st_mode) and not entry.is_symlink():
            found.directories.append(entry.name)


def _take_candidate(entry: os.DirEntry[str], found: _Entries) -> None:
    if entry.is_symlink():
        _take_link(entry, found, candidate=True)
        return
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return
    except OSError as error:
        _fail(entry, error, found)
        return
    _take_file(entry, status, found)


def _set_unfinished_apart(found: _Entries) -> None:
    """Leave alone what a neighbour, or its own name, tells to be a download in progress."""
    for name in [*found.files] if found.beside else ():
        if why := unfinished_name(name, found.beside):
            path = os.path.join(found.directory, name)
            found.left_alone.append(Problem(path, "unfinished", why))
            found.unknown.append(path)
            del found.files[name]


def _take_link(entry: os.DirEntry[str], found: _Entries, *, candidate: bool) -> None:
    try:
        status = entry.stat()
    except FileNotFoundError:
        if candidate:
            found.problems.append(Problem(found.path(entry), "broken_link", "the link leads nowhere"))
        # Its target may lie on a drive that is off, and may be a directory full of models.
        found.unknown.append(found.path(entry))
    except OSError as error:
        # ELOOP is a fault of the link itself; anything else may hide files.
        if candidate or not _is_loop(error):
            _fail(entry, error, found)
    else:
        if stat.S_ISDIR(status.st_mode):
            if passed_over(entry.name):
                found.passed_over.append(found.path(entry))
            else:
                found.linked_directories.append(entry.name)
        elif candidate:
            _take_file(entry, status, found)


def _take_file(entry: os.DirEntry[str], status: os.stat_result, found: _Entries) -> None:
    if stat.S_ISREG(status.st_mode):
        found.files[entry.name] = status
    else:
        found.left_alone.append(Problem(found.path(entry), "not_a_file", "neither a file nor a directory"))


def _fail(entry: os.DirEntry[str], error: OSError, found: _Entries) -> None:
    found.unknown.append(found.path(entry))
    if _is_loop(error):
        found.problems.append(Problem(found.path(entry), "broken_link", "the link leads back to itself"))
        return
    found.problems.append(Problem(found.path(entry), "unreadable", reason(error)))
    found.failed = True


def _is_loop(error: OSError) -> bool:
    return error.errno == errno.ELOOP


def _leads_outside(path: str, real_roots: Sequence[str]) -> bool:
    target = os.path.realpath(path)
    return not any(is_within(target, tree) for tree in (*real_roots, *KERNEL_TREES))


def topmost_missing(path: str) -> str | None:
    """The highest directory on the way to `path` that is not there; None if `path` is."""
    missing = None
    while path and not os.path.lexists(path):  # one that is not absolute is nowhere
        missing, path = path, os.path.dirname(path)
    return missing


def is_within(path: str, directory: str) -> bool:
    """Whether `path` is `directory` or lies below it; both absolute and normalised."""
    return path == directory or path.startswith(
        directory if directory.endswith(os.sep) else directory + os.sep
    )


def reason(error: OSError) -> str:
    """An OSError in a person's words, without its number and path."""
    return (error.strerror or str(error) or type(error).__name__).lower()
