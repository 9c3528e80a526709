"""Models and their free metadata."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from mlib.core import jsontext
from mlib.core.sidecars.companions import by_stem, stem_of
from mlib.db.faults import corrupt
from mlib.db.files import remove_all_of
from mlib.db.rows import MODEL_COLUMNS, model_of, model_row, path_of, stored_path, upsert
from mlib.db.schema import BY_CONTENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mlib.core.records import Model
    from mlib.db.library import Library


# --- Missing models, and deleting models

_MISSING = (
    "SELECT m.sha256, m.name, m.type, m.size_bytes, f.directory, f.name, f.root_id, f.missing_since"
    " FROM file_counts AS c CROSS JOIN models AS m ON m.sha256 = c.sha256"
    " LEFT JOIN files AS f ON f.sha256 = c.sha256 WHERE c.present = 0"
    " ORDER BY m.sha256, f.missing_since DESC, f.directory, f.name"
)


class Lost(NamedTuple):
    """A path where a model was, and since when it is missing."""

    path: str
    root_id: int | None
    since: int | None


class MissingModel(NamedTuple):
    """A model without a file; `places` are its former paths, latest first."""

    sha256: str
    name: str
    type: str
    size_bytes: int | None
    places: tuple[Lost, ...]

    @property
    def since(self) -> int | None:
        """When its last file was found to be gone; None if there never was one."""
        return self.places[0].since if self.places else None


def missing(library: Library) -> Iterator[MissingModel]:
    """Every model without a present file, by SHA-256."""
    model: MissingModel | None = None
    for sha256, name, kind, size, directory, file, root_id, since in library.all(_MISSING):
        if model is None or model.sha256 != sha256:
            if model is not None:
                yield model
            model = MissingModel(sha256, name, kind, size, ())
        if directory is not None:
            place = Lost(os.path.join(path_of(directory), path_of(file)), root_id, since)
            model = model._replace(places=(*model.places, place))
    if model is not None:
        yield model


def delete(library: Library, shas: Iterable[str]) -> None:
    """Drop models with all that was said and found of them, but for what a pending import still needs.

    Part of a transaction. All at once, because a sidecar may belong to another model of its directory too.
    """
    lain: dict[str | bytes, list[str]] = {}
    for sha256 in shas:
        rows = library.all("SELECT DISTINCT directory, name FROM files WHERE sha256 = ?", [sha256])
        for directory, name in rows:
            lain.setdefault(directory, []).append(path_of(name))
        remove_all_of(library, sha256)
        library.execute("DELETE FROM given WHERE sha256 = ?", [sha256])
        library.execute("DELETE FROM findings WHERE sha256 = ? AND name <> ''", [sha256])
        library.execute("DELETE FROM models WHERE sha256 = ?", [sha256])
        delete_facts(library, sha256)
    for directory, names in lain.items():
        _forget_sidecars(library, directory, names)


def delete_facts(library: Library, sha256: str) -> None:
    """Delete the facts of content that no model or pending import has; part of a transaction."""
    needed = "SELECT 1 FROM models WHERE sha256 = ?1 UNION ALL SELECT 1 FROM pending_import WHERE sha256 = ?1"
    if library.one(needed, [sha256]) is None:
        for table in BY_CONTENT:
            library.execute(f"DELETE FROM {table} WHERE sha256 = ?", [sha256])


def _forget_sidecars(library: Library, directory: str | bytes, gone: Sequence[str]) -> None:
    """Drop what was read beside these files, but for what belongs to another model there too."""
    found = library.all("SELECT name FROM sidecars WHERE directory = ?", [directory])
    if not found:
        return
    left = library.all("SELECT DISTINCT name FROM files WHERE directory = ?", [directory])
    names = [path_of(name) for (name,) in (*found, *left)]
    kept = {each.name for those in by_stem(names).values() for each in those}
    beside = by_stem([*names, *gone])
    for stem in {stem_of(name) for name in gone}:
        for each in beside.get(stem, ()):
            if each.name not in kept:
                library.execute(
                    "DELETE FROM sidecars WHERE directory = ? AND name = ?",
                    [directory, stored_path(each.name)],
                )


def get(library: Library, sha256: str) -> Model | None:
    """The model with this full SHA-256."""
    row = library.one(f"SELECT {MODEL_COLUMNS} FROM models WHERE sha256 = ?", [sha256])
    return None if row is None else model_of(row)


def with_prefix(library: Library, prefix: str, *, limit: int) -> list[str]:
    """Full SHA-256s that begin with these lower-case hex digits: a range of the primary key."""
    rows = library.all(
        "SELECT sha256 FROM models WHERE sha256 >= ? AND sha256 < ? ORDER BY sha256 LIMIT ?",
        [prefix, prefix + "g", limit],
    )
    return [sha256 for (sha256,) in rows]


def named(library: Library, name: str, *, limit: int) -> list[str]:
    """Full SHA-256s of the models with exactly this name."""
    rows = library.all("SELECT sha256 FROM models WHERE name = ? ORDER BY sha256 LIMIT ?", [name, limit])
    return [sha256 for (sha256,) in rows]


def names_beginning_with(library: Library, prefix: str, *, limit: int) -> list[str]:
    """Names of models, each once, that begin exactly so: a range of the index."""
    rows = library.all(
        "SELECT DISTINCT name FROM models WHERE name >= ? AND name < ? ORDER BY name LIMIT ?",
        [prefix, prefix + "\U0010ffff", limit],
    )
    return [name for (name,) in rows]


def count(library: Library) -> int:
    """How many models there are."""
    return int(library.all("SELECT count(*) FROM models")[0][0])


def is_empty(library: Library) -> bool:
    """Whether there is no model and no pending import: nothing that a backup would keep."""
    anything = "SELECT 1 FROM models UNION ALL SELECT 1 FROM pending_import LIMIT 1"
    return library.one(anything) is None


def all_ids(library: Library) -> list[str]:
    """Full SHA-256s of all models."""
    return [sha256 for (sha256,) in library.all("SELECT sha256 FROM models ORDER BY sha256")]


def types(library: Library) -> set[str]:
    """Every type in use by a root or a model."""
    return {name for (name,) in library.all("SELECT type FROM roots UNION SELECT type FROM models")}


def put(library: Library, models: Iterable[Model]) -> None:
    """Write rows whole."""
    upsert(library, "models", map(model_row, models), key=("sha256",))


def meta(library: Library, sha256: str) -> str | None:
    """A model's free metadata as the JSON text that is kept. Raises MlibError (`library_corrupt`)."""
    row = library.one("SELECT meta_json FROM model_meta WHERE sha256 = ?", [sha256])
    return None if row is None else sound_json(library, row[0])


def sound_json(library: Library, text: str | None) -> str | None:
    """A kept JSON text, which is handed out as it is. Raises MlibError (`library_corrupt`) if it is none."""
    try:
        jsontext.parse(text or "{}")
    except (jsontext.NotJson, TypeError) as error:
        raise corrupt(library.path, "metadata in it is not JSON") from error
    return text


def put_meta(library: Library, sha256: str, meta_json: str | None) -> None:
    """Keep, or with None forget, a model's free metadata."""
    if meta_json is None:
        library.execute("DELETE FROM model_meta WHERE sha256 = ?", [sha256])
    else:
        upsert(library, "model_meta", [{"sha256": sha256, "meta_json": meta_json}], key=("sha256",))


def all_meta(library: Library, *, batch: int) -> Iterator[list[tuple[str, str]]]:
    """Every (sha256, meta_json) in batches by key, with no read left open between them."""
    after = ""
    while rows := library.all(
        "SELECT sha256, meta_json FROM model_meta WHERE sha256 > ? ORDER BY sha256 LIMIT ?", [after, batch]
    ):
        yield [(sha256, text) for sha256, text in rows]
        after = rows[-1][0]
