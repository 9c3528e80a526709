"""Read the database of an older model manager (Hikaze v1 and v2). Importing it is decided elsewhere."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from mlib.core.errors import Hint, MlibError
from mlib.db.untrusted import CELL_LIMIT, RowReader, Schema, check_pages, open_untrusted, read_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mlib.db.untrusted import Cell


# --- Cells as values, whatever type they were stored as

_PATH_LENGTH = 32_767  # the longest path any system takes
_SHOWN_LENGTH = 300
_LARGEST_SIZE = 2**63 - 1
_SECONDS_BELOW = 10**11  # as milliseconds this is 1973, as seconds the year 5138
_YEAR_2100 = 4_102_444_800_000


class UnusableCellError(Exception):
    """A cell the row cannot do without holds nothing usable."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def to_text(cell: Cell, what: str) -> str:
    """Read a cell as text: a blob is decoded, a number spelled, NULL is empty; errors call it `what`."""
    if cell is None:
        return ""
    if isinstance(cell, bytes):
        try:
            return cell.decode()
        except UnicodeDecodeError:
            raise UnusableCellError("bad_text", f"its {what} is not UTF-8 text") from None
    return str(cell)


def to_path(cell: Cell) -> str:
    """Read a path as `os.fsdecode` would: a file's name need not be UTF-8, and the walk gives it so."""
    text = cell.decode("utf-8", "surrogateescape") if isinstance(cell, bytes) else to_text(cell, "path")
    if "\0" in text:
        raise UnusableCellError("bad_path", "its path has a NUL character in it")
    if len(text) > _PATH_LENGTH:
        raise UnusableCellError("bad_path", f"its path is {len(text)} characters long")
    return text


def to_shown(cell: Cell) -> str:
    """Read a path only to show it, cut where it is too long; never fails."""
    text = cell.decode("utf-8", "surrogateescape") if isinstance(cell, bytes) else to_text(cell, "path")
    return text[:_SHOWN_LENGTH]


def to_size(cell: Cell) -> int | None:
    """Read a size in bytes; None if it cannot be one."""
    number = _number(cell)
    return number if number is not None and 0 <= number <= _LARGEST_SIZE else None


def to_milliseconds(cell: Cell) -> int | None:
    """Read a time given in milliseconds or in seconds; None if it is unset or beyond the year 2100."""
    number = _number(cell)
    if number is None or number <= 0:
        return None
    if number < _SECONDS_BELOW:
        number *= 1000
    return number if number < _YEAR_2100 else None


def _number(cell: Cell) -> int | None:
    if isinstance(cell, bytes):
        try:
            cell = float(cell) if b"." in cell else int(cell)
        except ValueError:
            return None
    try:
        return None if cell is None else int(cell)
    except (OverflowError, ValueError):  # infinity
        return None


Kind: TypeAlias = Literal["hikaze1", "hikaze2"]

_OWN_APPLICATION_ID = 0x6D6C6962
_HASH_LENGTH = 200
_SHOWN_NAMES = 12


@dataclass(frozen=True, slots=True)
class LegacyRow:
    """One model as an older manager knew it, word for word.

    `created_at` is in milliseconds; `meta_texts` are raw JSON texts, not parsed; `row` names table and row.
    """

    path: str
    sha: str
    name: str
    type: str
    size_bytes: int | None
    created_at: int | None
    meta_texts: tuple[str, ...]
    tags: tuple[str, ...]
    pending: bool
    row: str


@dataclass(frozen=True, slots=True)
class BadRow:
    """One row that cannot be used, and why."""

    row: str
    path: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class LegacyDatabase:
    """Everything an older manager's database holds; nothing of it is open any more."""

    kind: Kind
    rows: tuple[LegacyRow, ...]
    bad: tuple[BadRow, ...]


@dataclass(frozen=True, slots=True)
class _Source:
    """A table of models: its key that tag links use, its hash, its JSON columns and its link table."""

    table: str
    key: str
    sha: str
    metas: tuple[str, ...]
    links: str
    link_key: str
    needed: tuple[str, ...]
    pending: bool = False


_TAG_COLUMNS = ("id", "name")
_SOURCES: Mapping[Kind, tuple[_Source, ...]] = {
    "hikaze1": (
        _Source(
            table="models",
            key="id",
            sha="hash_hex",
            metas=("meta_json", "extra_json"),
            links="model_tags",
            link_key="model_id",
            needed=("id", "path", "hash_hex", "extra_json"),
        ),
    ),
    "hikaze2": (
        _Source(
            table="models",
            key="sha256",
            sha="sha256",
            metas=("meta_json",),
            links="model_tags",
            link_key="model_hash",
            needed=("sha256", "path", "meta_json"),
        ),
        _Source(
            table="pending_import",
            key="id",
            sha="sha256",
            metas=("meta_json",),
            links="pending_model_tags",
            link_key="model_id",
            needed=("id", "path"),
            pending=True,
        ),
    ),
}


def read_legacy(path: str, *, deadline_seconds: float = 60.0, text_limit: int = 2**30) -> LegacyDatabase:
    """Read all of an older manager's database: models by their row number, then its pending imports.

    The file, its folder and anything beside it stay as they are. A row that cannot be used becomes a BadRow.
    Text over `text_limit` bytes in all is refused. Hikaze 1 is known by `models` with `hash_hex` and
    `extra_json`, Hikaze 2 by `models` with `sha256` and `meta_json`; tables for tags and pending imports may
    be absent. Raises MlibError: `unknown_database`, `own_library`, or what `open_untrusted` raises.
    """
    deadline = time.monotonic() + deadline_seconds
    with open_untrusted(path, deadline=deadline) as db:
        if db.execute("PRAGMA application_id").fetchone() == (_OWN_APPLICATION_ID,):
            raise MlibError(
                "own_library",
                f"{path} is a library of mlib, not the database of an older manager",
                hint=Hint("name it with {} to work with it", ("--library",)),
            )
        schema = read_schema(db)
        kind = _recognised(path, schema)
        check_pages(path, db)
        reader = RowReader(db, schema, path=path, text_limit=text_limit, deadline=deadline)
        bad: list[BadRow] = []
        names = _tag_names(reader, bad)
        rows = tuple(row for source in _SOURCES[kind] for row in _models(reader, source, names, bad))
    return LegacyDatabase(kind, rows, tuple(bad))


def _recognised(path: str, schema: Schema) -> Kind:
    """Tell which manager made the database; a table of its that is something else makes it unknown."""
    models = schema.tables.get("models", frozenset())
    for kind, sources in _SOURCES.items():
        if not models.issuperset(sources[0].needed):
            continue
        expected: dict[str, tuple[str, ...]] = {"tags": _TAG_COLUMNS}
        expected.update({source.links: (source.link_key, "tag_id") for source in sources})
        expected.update({source.table: source.needed for source in sources})
        for name, needed in expected.items():
            if name in schema.others:
                raise _unknown(path, f"its {name} is a {schema.others[name]}")
            if name in schema.tables and not schema.tables[name].issuperset(needed):
                raise _unknown(path, f"its table {name} has no stored {' and '.join(needed)}")
        return kind
    if "models" in schema.others:
        raise _unknown(path, f"its models is a {schema.others['models']}, not a table")
    if models:
        raise _unknown(path, f"its table models has the columns {_listed(models)}")
    if schema.tables:
        raise _unknown(path, f"it has the tables {_listed(schema.tables)}")
    raise _unknown(path, "it has no tables")


def _unknown(path: str, found: str) -> MlibError:
    return MlibError(
        "unknown_database",
        f"{path} is not a database of an older manager known here: {found}",
        hint="Hikaze's are named hikaze_mm.sqlite3 and hikaze_model_manager.db",
    )


def _tag_names(reader: RowReader, bad: list[BadRow]) -> dict[Cell, str]:
    names: dict[Cell, str] = {}
    for number, cells in reader.rows("tags", _TAG_COLUMNS):
        row = f"tags {number}"
        if cells is None:
            bad.append(_too_big(row, ""))
            continue
        key, name = cells
        try:
            text = to_text(name, "name")
        except UnusableCellError as error:
            bad.append(BadRow(row, "", error.code, error.message))
        else:
            if text and key is not None:
                names[key] = text
    return names


def _tags_of(
    reader: RowReader, source: _Source, names: Mapping[Cell, str], bad: list[BadRow]
) -> dict[Cell, tuple[str, ...]]:
    """Give the names of the tags of each key, in the order of the tags; a link to no tag is dropped."""
    links: dict[Cell, set[Cell]] = {}
    for number, cells in reader.rows(source.links, (source.link_key, "tag_id")):
        if cells is None:
            bad.append(_too_big(f"{source.links} {number}", ""))
            continue
        key, tag = cells
        if key is not None and tag in names:
            links.setdefault(key, set()).add(tag)
    order = {tag: place for place, tag in enumerate(names)}
    return {
        key: tuple(dict.fromkeys(names[tag] for tag in sorted(tags, key=order.__getitem__)))
        for key, tags in links.items()
    }


def _models(
    reader: RowReader, source: _Source, names: Mapping[Cell, str], bad: list[BadRow]
) -> Iterator[LegacyRow]:
    tags = _tags_of(reader, source, names, bad)
    columns = (source.key, "path", source.sha, "name", "type", "size_bytes", "created_at", *source.metas)
    for number, cells in reader.rows(source.table, columns):
        row = f"{source.table} {number}"
        if cells is None:
            (path,) = reader.row(source.table, ("path",), number) or (None,)
            bad.append(_too_big(row, to_shown(path)))
            continue
        key, path, sha, name, kind, size, created, *metas = cells
        try:
            yield LegacyRow(
                path=to_path(path),
                sha=to_text(sha, source.sha)[:_HASH_LENGTH],
                name=to_text(name, "name"),
                type=to_text(kind, "type"),
                size_bytes=to_size(size),
                created_at=to_milliseconds(created),
                meta_texts=_filled(metas, source.metas),
                tags=tags.get(key, ()),
                pending=source.pending,
                row=row,
            )
        except UnusableCellError as error:
            bad.append(BadRow(row, to_shown(path), error.code, error.message))


def _too_big(row: str, path: str) -> BadRow:
    return BadRow(row, path, "value_too_big", f"a value in it is over {CELL_LIMIT // 2**20} MiB")


def _filled(metas: Iterable[Cell], columns: Iterable[str]) -> tuple[str, ...]:
    texts = (to_text(meta, column) for meta, column in zip(metas, columns, strict=True))
    return tuple(text for text in texts if text.strip())


def _listed(names: Iterable[str]) -> str:
    shown = [name[:40] for name in sorted(names)]
    more = len(shown) - _SHOWN_NAMES
    return ", ".join(shown[:_SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")
