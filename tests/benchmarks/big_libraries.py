"""Libraries of many models with the very rows that a scan would write, made without hashing anything."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import time
from typing import TYPE_CHECKING

from mlib.core import times
from mlib.core.disk.compare import stat_of
from mlib.core.formats.header import Finding
from mlib.core.records import Content, KnownFile, Model, Root, Stat
from mlib.db import contents, files, models, roots, tags
from mlib.db.library import open_library

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from mlib.db.library import Library

BATCH = 5_000

#: Types with the kind of what lies there.
_KINDS = {"checkpoints": "checkpoint", "loras": "lora", "vae": "vae", "controlnet": "controlnet"}
_BASES = ("SD 1.5", "SDXL 1.0", "Flux.1 dev", "Pony", "")
_WORDS = (
    "anime", "photo", "ink", "watercolor", "portrait", "city", "night", "detail", "skin", "light", "style",
    "comic", "pixel", "macro", "film", "noir", "forest", "dream", "robot", "dragon", "castle", "ocean",
    "retro", "vivid", "soft",
)  # fmt: skip


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


def described_library(path: Path, count: int, *, meta_bytes: int = 20_000) -> None:
    """A library as years of use leave one: of all types and sizes, with tags, notes, contents, findings.

    Each model has so many bytes of free metadata; one in ten has a second file, one in fifty is missing.
    """
    moment = times.now()
    filler = json.dumps({"civitai": {"description": "x" * max(meta_bytes - 40, 0)}})
    with open_library(str(path), mode="create") as library:
        with library.transaction():
            roots.remember(
                library, [Root(type=kind, path=f"/models/{kind}", origin="user") for kind in _KINDS]
            )
        known = {root.type: root for root in roots.all_roots(library)}
        for start in range(0, count, BATCH):
            with library.transaction():
                for number in range(start, min(start + BATCH, count)):
                    _describe(library, number, known, moment, filler)


def _describe(library: Library, number: int, known: Mapping[str, Root], moment: int, meta: str) -> None:
    sha256 = hashlib.sha256(b"%d" % number).hexdigest()
    kind = list(_KINDS)[number % len(_KINDS)]
    root, base = known[kind], _BASES[number % len(_BASES)]
    words = [_WORDS[(number * step) % len(_WORDS)] for step in (1, 7, 13)]
    name = f"{'_'.join(words)}_v{number}.safetensors"
    size = (number * 7919) % 12_000 * 1_000_000 + 1000
    model = _model(name, sha256, root, size, moment - (number % 700) * 86_400_000)
    notes = f"{words[0]} at 0.{number % 10}" if number % 3 == 0 else ""
    models.put(library, [model._replace(base_model=base, notes=notes)])
    tags.set_of_model(library, sha256, {word: word for word in words[: number % 4]})
    models.put_meta(library, sha256, meta)
    missing_since = moment if number % 50 == 0 else None
    for copy in range(2 if number % 10 == 0 else 1):
        directory = f"{root.path}/{words[0]}/{copy}"
        row = _unseen(name, sha256, root, moment)._replace(
            directory=directory, stat=Stat(size, moment * 10**6, 1, number), missing_since=missing_since
        )
        files.put(library, [row._replace(racy=False, hashed_at=moment, xxh3=sha256[:32])])
    usage = {
        "trigger_words": words[:1], "frequent_tags": [[word, number % 90] for word in _WORDS[:12]],
        "title": name, "author": "", "license": "", "resolution": "1024x1024", "rank": 32, "alpha": 16.0,
        "trained_on": "sd_xl_base_1.0.safetensors", "trained_on_sha256": "", "trained_on_hash": "",
        "parameters": size // 2, "dtypes": {"F16": size // 2}, "precision": "fp16",
    }  # fmt: skip
    found = (
        [Finding("trailing_data", "1 byte after the last tensor", serious=False)] if number % 40 == 0 else []
    )
    content = Content(sha256, "safetensors", _KINDS[kind], base, ("names of tensors",), json.dumps(usage))
    contents.put(library, content, header=None, findings=found)


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
