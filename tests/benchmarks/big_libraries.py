"""Libraries of many models with the very rows that a scan would write, made without hashing anything."""

from __future__ import annotations

import hashlib
import itertools
import os
import time
from typing import TYPE_CHECKING

from mlib.core import times
from mlib.core.compare import stat_of
from mlib.core.models import KnownFile, Model, Root
from mlib.db import files, models, roots
from mlib.db.library import Library, open_library

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

BATCH = 5_000


def make_files(top: Path, count: int) -> Iterator[os.DirEntry[str]]:
    """`count` tiny model files, a hundred to a folder, in folders three deep; all an hour old."""
    hour_ago = time.time() - 3600
    for number in range(count):
        high, low = divmod(number // 100, 100)
        folder = top / f"shelf-{high // 10}" / f"box-{high % 10}" / f"set-{low:02}"
        if number % 100 == 0:
            folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"model-{number:06}.safetensors"
        path.write_bytes(b"%06d" % number)
        os.utime(path, (hour_ago, hour_ago))
    for directory, _, _ in os.walk(top):
        with os.scandir(directory) as entries:
            yield from (entry for entry in entries if entry.is_file())


def remember_root(library: Library, top: Path, *, kind: str = "loras") -> Root:
    """Remember one folder as a root, as `--root TYPE=DIR` does."""
    with library.transaction():
        roots.remember(library, [Root(type=kind, path=str(top), origin="user")])
    return roots.all_roots(library)[0]


def put_files(library: Library, root: Root, entries: Iterable[os.DirEntry[str]]) -> None:
    """The rows of files that were scanned a minute ago. Their content is taken to be their path."""
    moment = times.now() - 60_000
    rows = (_rows(entry, root, moment) for entry in entries)
    while batch := list(itertools.islice(rows, BATCH)):
        with library.transaction():
            models.put(library, [model for model, _ in batch])
            files.put(library, [file for _, file in batch])


def big_library(path: Path, count: int) -> list[str]:
    """A library of models whose files need not exist; their SHA-256s."""
    moment = times.now()
    with open_library(str(path), mode="create") as library:
        root = remember_root(library, path.parent)
        digests = [hashlib.sha256(b"%d" % number).hexdigest() for number in range(count)]
        for start in range(0, count, BATCH):
            names = {f"model-{n:06}.safetensors": digests[n] for n in range(start, min(start + BATCH, count))}
            with library.transaction():
                models.put(
                    library, (_model(name, sha256, root, 1000, moment) for name, sha256 in names.items())
                )
                files.put(library, (_unseen(name, sha256, root, moment) for name, sha256 in names.items()))
    return digests


def _rows(entry: os.DirEntry[str], root: Root, moment: int) -> tuple[Model, KnownFile]:
    sha256 = hashlib.sha256(os.fsencode(entry.path)).hexdigest()
    file = KnownFile(
        directory=os.path.dirname(entry.path),
        name=entry.name,
        sha256=sha256,
        root_id=root.id,
        stat=stat_of(entry.stat()),
        xxh3=sha256[:32],
        hashed_at=moment,
        racy=False,
        missing_since=None,
    )
    return _model(entry.name, sha256, root, entry.stat().st_size, moment), file


def _model(name: str, sha256: str, root: Root, size: int, moment: int) -> Model:
    return Model(
        sha256=sha256, name=name, type=root.type, size_bytes=size, created_at=moment, updated_at=moment
    )


def _unseen(name: str, sha256: str, root: Root, moment: int) -> KnownFile:
    return KnownFile(
        directory=root.path,
        name=name,
        sha256=sha256,
        root_id=root.id,
        stat=None,
        xxh3=None,
        hashed_at=None,
        racy=True,
        missing_since=moment,
    )
