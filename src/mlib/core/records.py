"""The records that travel between the layers: frozen, typed, free of behaviour.

A path is a `str` as `os.fsdecode` gives it: bytes that are no UTF-8 are lone surrogates in it.
Times are milliseconds since the epoch unless the name ends in `_ns`. They are named tuples because every
command loads them: to make a frozen dataclass takes a millisecond, one of these a fifth of it.
"""

from __future__ import annotations

import os
from typing import NamedTuple

#: What a person may type about a model, besides tags and free metadata.
TEXT_FIELDS = ("name", "type", "base_model", "description", "notes")
#: How the tags are called among the fields that a person edited, or a sidecar gave.
TAGS = "tags"


class Problem(NamedTuple):
    """One thing that went wrong without stopping the command."""

    path: str
    code: str
    message: str


class Stat(NamedTuple):
    """What the filesystem says of a file; size in bytes."""

    size_bytes: int
    mtime_ns: int
    device: int
    inode: int


class Root(NamedTuple):
    """A directory that holds models of one ComfyUI type.

    `origin` tells how it became known (`user`, `comfyui:DIR`, `extra:YAML`); `any_file` is ComfyUI's rule
    for types it has no extension list for; `id` is set once the library remembers the root.
    """

    type: str
    path: str
    origin: str
    any_file: bool = False
    id: int | None = None


class FoundFile(NamedTuple):
    """A candidate model file as the walk saw it."""

    directory: str
    name: str
    stat: Stat
    root: Root

    @property
    def path(self) -> str:
        return os.path.join(self.directory, self.name)


class KnownFile(NamedTuple):
    """A path at which a model lies, or lay. `stat` is None where only somebody's word says so.

    A `racy` row was hashed so soon after the file's last change that an equal stat proves nothing.
    """

    directory: str
    name: str
    sha256: str
    root_id: int | None
    stat: Stat | None
    xxh3: str | None
    hashed_at: int | None
    racy: bool
    missing_since: int | None

    @property
    def path(self) -> str:
        return os.path.join(self.directory, self.name)


class Model(NamedTuple):
    """Content, identified by its SHA-256, with what is known and what was typed about it."""

    sha256: str
    name: str
    type: str
    base_model: str = ""
    size_bytes: int | None = None
    description: str = ""
    notes: str = ""
    created_at: int = 0
    updated_at: int = 0
    edited: frozenset[str] = frozenset()


#: The version of all that is read off headers and sidecars: raised whenever the same bytes tell more, or
#: something else, than before. The next scan then judges anew what an older one has kept, and hashes nothing.
RULES_VERSION = 3


class Content(NamedTuple):
    """What a file says of itself, whatever it is called and wherever it lies.

    `kind` and `base_model` are what its header shows, `evidence` says why, a line each. `usage_json` is a
    JSON object of what it takes to use it.
    """

    sha256: str
    format: str
    kind: str
    base_model: str
    evidence: tuple[str, ...]
    usage_json: str


class OtherHashes(NamedTuple):
    """Hashes of content beside its SHA-256, in lower-case hex; None where not known (see `core.hashes`)."""

    autov1: str | None = None
    autov3: str | None = None
    crc32: str | None = None
    blake3: str | None = None


#: The source of what a scan has staged: its path is one of this machine.
SCANNED = "scan"


class Pending(NamedTuple):
    """Something found that is not a model yet.

    `sha256` is 64 lower-case hex or None; `claimed_hash` is any other hash an older manager gave (8 or more
    lower-case hex digits). `observed` is set when this program has hashed the file at `path` itself.
    """

    path: str
    source: str
    sha256: str | None = None
    claimed_hash: str | None = None
    name: str = ""
    type: str = ""
    base_model: str = ""
    description: str = ""
    notes: str = ""
    size_bytes: int | None = None
    created_at: int = 0
    edited: frozenset[str] = frozenset()
    meta_json: str | None = None
    tags: tuple[str, ...] = ()
    observed: KnownFile | None = None
    id: int | None = None
