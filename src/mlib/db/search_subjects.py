"""What can be searched: models and pending imports, as columns and as what is related to them."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from mlib.db.rows import FINDING_HOLDS

if TYPE_CHECKING:
    from collections.abc import Mapping


class Relation(NamedTuple):
    """Rows that belong to a subject: those of `select`, by a column that equals `key`.

    `value` is what is compared. Where a word without a slash matches it, it matches `hint`, which costs less.
    """

    key: str
    select: str
    value: str
    hint: str = ""


class Subject(NamedTuple):
    """A table `m` with the expressions for what a query asks about.

    `named` are to be asked together instead of the loader name where a word has no slash: the folders and the
    names of files alone, which cost less.
    """

    is_pending: bool
    table: str
    identity: str
    key: str
    sha: str
    name: str
    type: str
    base: str
    notes: str
    size: str
    added: str
    updated: str
    files: str
    path: str
    missing: str
    at_least: str
    relations: Mapping[str, Relation]
    named: tuple[Relation, ...]


_PATH = "rtrim(f.directory, '/') || '/' || f.name"
_FILES = "SELECT f.sha256 FROM files AS f LEFT JOIN roots AS r ON r.id = f.root_id WHERE 1"
#: Every folder with a file, as the table `folders`: from one to the next, past all files of each.
FOLDERS = (
    "RECURSIVE folders (directory) AS (SELECT min(directory) FROM files UNION ALL"
    " SELECT (SELECT min(f.directory) FROM files AS f WHERE f.directory > d.directory)"
    " FROM folders AS d WHERE d.directory IS NOT NULL)"
)
_IN_FOLDERS = (
    "SELECT f.sha256 FROM folders AS d CROSS JOIN files AS f ON f.directory = d.directory"
    " LEFT JOIN roots AS r ON r.id = f.root_id WHERE 1"
)
_WAITING = (
    "SELECT p.id FROM pending_import AS p LEFT JOIN pending_files AS f ON f.pending_id = p.id"
    " LEFT JOIN roots AS r ON r.id = f.root_id WHERE 1"
)
_FINDINGS = f"SELECT w.sha256 FROM findings AS w WHERE {FINDING_HOLDS}"


def _below_root(path: str) -> str:
    """What a loader calls the file; where no root is known the whole path."""
    return f"coalesce(substr({path}, length(rtrim(r.path, '/')) + 2), {path})"


def _by_content(key: str) -> dict[str, Relation]:
    """What is known by content, of models and pending imports alike."""
    return {
        "format": Relation(key, "SELECT c.sha256 FROM contents AS c WHERE c.format != ''", "c.format"),
        "kind": Relation(
            key, "SELECT c.sha256 FROM contents AS c WHERE c.kind NOT IN ('', 'unknown')", "c.kind"
        ),
        "finding": Relation(key, _FINDINGS, "w.code"),
        "trigger": Relation(key, "SELECT w.sha256 FROM trigger_words AS w WHERE 1", "w.word"),
    }


MODELS = Subject(
    is_pending=False,
    table="models AS m",
    identity="m.sha256 AS sha, NULL AS id",
    key="m.sha256",
    sha="m.sha256",
    name="m.name",
    type="m.type",
    base="m.base_model",
    notes="m.notes",
    size="m.size_bytes",
    added="m.created_at",
    updated="m.updated_at",
    files="coalesce((SELECT c.present FROM file_counts AS c WHERE c.sha256 = m.sha256), 1)",
    path="shown_path(m.sha256, NULL)",
    missing="(m.sha256 IN (SELECT c.sha256 FROM file_counts AS c WHERE c.present = 0))",
    at_least="m.sha256 IN (SELECT c.sha256 FROM file_counts AS c WHERE c.present >= ?)",
    relations=MappingProxyType(
        {
            **_by_content("m.sha256"),
            "tag": Relation(
                "m.sha256",
                "SELECT t.sha256 FROM tags CROSS JOIN model_tags AS t ON t.tag_id = tags.id WHERE 1",
                "tags.folded",
            ),
            "path": Relation("m.sha256", _FILES, _PATH),
            "loader_name": Relation("m.sha256", _FILES, _below_root(_PATH)),
            "root": Relation("m.sha256", f"{_FILES} AND r.path IS NOT NULL", "'' || r.path"),
        }
    ),
    named=(
        # Texts stand before blobs in the index; to make a text of every name would cost as much as comparing.
        Relation("m.sha256", "SELECT f.sha256 FROM files AS f WHERE f.name < x''", "f.name"),
        Relation("m.sha256", "SELECT f.sha256 FROM files AS f WHERE f.name >= x''", "'' || f.name"),
        Relation("m.sha256", _IN_FOLDERS, _below_root("'' || f.directory"), "'' || d.directory"),
    ),
)

PENDING = Subject(
    is_pending=True,
    table="pending_import AS m",
    identity="NULL AS sha, m.id AS id",
    key="m.id",
    sha="coalesce(m.sha256, m.claimed_hash, '')",
    name="m.name",
    type="m.type",
    base="m.base_model",
    notes="m.notes",
    size="m.size_bytes",
    added="m.created_at",
    updated="m.created_at",
    files="(SELECT count(*) FROM pending_files AS f WHERE f.pending_id = m.id)",
    path="shown_path(NULL, m.path)",
    missing="(m.id NOT IN (SELECT f.pending_id FROM pending_files AS f))",
    at_least="1 >= ?",
    relations=MappingProxyType(
        {
            **_by_content("coalesce(m.sha256, '')"),
            "tag": Relation(
                "m.id",
                "SELECT t.pending_id FROM tags CROSS JOIN pending_model_tags AS t"
                " ON t.tag_id = tags.id WHERE 1",
                "tags.folded",
            ),
            "path": Relation("m.id", _WAITING, "'' || p.path"),
            "loader_name": Relation("m.id", _WAITING, _below_root("'' || p.path")),
            "root": Relation("m.id", f"{_WAITING} AND r.path IS NOT NULL", "'' || r.path"),
        }
    ),
    named=(),
)
