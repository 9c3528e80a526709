"""Folders that a scan passes over: recycle bins, snapshots, kept versions, and programs' own working files.

A file in one of them is not a copy that anybody loads: its owner deleted or replaced it, and some program
removes it one day.
"""

from __future__ import annotations

import os
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

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
