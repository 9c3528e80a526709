"""The models and their free metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlib.core import jsontext
from mlib.db.faults import corrupt
from mlib.db.rows import MODEL_COLUMNS, model_of, model_row
from mlib.db.writing import upsert

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlib.core.models import Model
    from mlib.db.library import Library


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
