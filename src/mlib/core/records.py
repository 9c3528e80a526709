"""The records passed between the layers: immutable, typed, without behaviour.

Paths are `str` as returned by `os.fsdecode`: bytes that are not UTF-8 become lone surrogates. Times are
milliseconds since the epoch unless the name ends in `_ns`. The records are named tuples because every command
loads them: defining a frozen dataclass takes a millisecond, a named tuple a fifth of that.
"""

from __future__ import annotations

import os
from typing import NamedTuple

#: The text fields of user data; tags and free metadata come on top.
TEXT_FIELDS = ("name", "type", "base_model", "description", "notes")
#: The name of the tags among the fields that a person edited or a sidecar filled.
TAGS = "tags"


class Problem(NamedTuple):
    """One thing that went wrong without stopping the command."""

    path: str
    code: str
    message: str


class Stat(NamedTuple):
    """A file's stat; size in bytes."""

    size_bytes: int
    mtime_ns: int
    device: int
    inode: int


class Root(NamedTuple):
    """A directory with models of one ComfyUI type.

    `origin` says where it comes from (`user`, `comfyui:DIR`, `extra:YAML`); `any_file` is ComfyUI's rule for
    types without an extension list; `id` is set once the root is stored in the library.
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
    """A path at which a model is or was. `stat` is None if no scan has seen the file there.

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
    """Content, identified by its SHA-256, with its facts and user data."""

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


#: The version of everything derived from headers and sidecars: raise it whenever the same bytes give a
#: different result. The next scan then judges the stored headers again, without hashing.
RULES_VERSION = 3


class Content(NamedTuple):
    """Facts from a file's header, independent of its name and place.

    `evidence` gives the reasons for `kind` and `base_model`, one per line. `usage_json` is a Usage as a JSON
    object.
    """

    sha256: str
    format: str
    kind: str
    base_model: str
    evidence: tuple[str, ...]
    usage_json: str


class OtherHashes(NamedTuple):
    """Hashes of content besides its SHA-256, in lower-case hex; None if not known (see `core.hashes`)."""

    autov1: str | None = None
    autov3: str | None = None
    crc32: str | None = None
    blake3: str | None = None


#: The source of rows staged by a scan: their paths are on this machine.
SCANNED = "scan"


class Pending(NamedTuple):
    """A pending import: something found that is not a model yet.

    `sha256` is 64 lower-case hex digits or None; `claimed_hash` is any other hash from an older manager (8 or
    more lower-case hex digits). `observed` is set if this program has hashed the file at `path` itself.
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
