"""What can be searched: models and pending imports, as columns and as what is related to them."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Relation(NamedTuple):
    """Rows that belong to a subject: those of `select`, by a column that equals `key`.

    `value` is what is compared, `around` how that stands in the row's condition if it stands within
    another statement. A row can only match if the text of the column `prefilter` holds what is wanted.
    """

    key: str
    select: str
    value: str
    around: str = ""
    prefilter: str = ""


class Subject(NamedTuple):
    """A table `m` with the expressions for what a query asks about."""

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
    present: str
    relations: Mapping[str, Relation]


_PATH = "rtrim(f.directory, '/') || '/' || f.name"
_FILES = "SELECT f.sha256 FROM files AS f LEFT JOIN roots AS r ON r.id = f.root_id WHERE 1"
_WAITING = (
    "SELECT p.id FROM pending_import AS p LEFT JOIN pending_files AS f ON f.pending_id = p.id"
    " LEFT JOIN roots AS r ON r.id = f.root_id WHERE 1"
)
_FINDINGS = (
    "SELECT w.sha256 FROM findings AS w WHERE (w.name = '' OR EXISTS (SELECT 1 FROM files AS f"
    " WHERE f.directory = w.directory AND f.name = w.name AND f.sha256 = w.sha256"
    " AND f.missing_since IS NULL))"
)
#: The words of a content: one by one, for the JSON writes some characters in another way.
_WORDS = "EXISTS (SELECT 1 FROM json_each(c.usage_json, '$.trigger_words') AS w WHERE {})"


def _below_root(path: str) -> str:
    """What a loader calls the file; where no root is known the whole path."""
    return f"coalesce(substr({path}, length(rtrim(r.path, '/')) + 2), {path})"


#: What is known by content, of models and pending imports alike.
_BY_CONTENT = {
    "format": Relation("m.sha256", "SELECT c.sha256 FROM contents AS c WHERE c.format != ''", "c.format"),
    "kind": Relation(
        "m.sha256", "SELECT c.sha256 FROM contents AS c WHERE c.kind NOT IN ('', 'unknown')", "c.kind"
    ),
    "finding": Relation("m.sha256", _FINDINGS, "w.code"),
    "trigger": Relation(
        "m.sha256",
        "SELECT c.sha256 FROM contents AS c WHERE instr(c.usage_json, '\"trigger_words\": []') = 0",
        "w.value",
        around=_WORDS,
        prefilter="c.usage_json",
    ),
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
    files="(SELECT count(*) FROM files AS f WHERE f.sha256 = m.sha256 AND f.missing_since IS NULL)",
    path=f"(SELECT min({_PATH}) FROM files AS f WHERE f.sha256 = m.sha256 AND f.missing_since IS NULL)",
    present="SELECT f.sha256 FROM files AS f WHERE f.missing_since IS NULL",
    relations=MappingProxyType(
        {
            **_BY_CONTENT,
            "tag": Relation(
                "m.sha256",
                "SELECT t.sha256 FROM model_tags AS t JOIN tags ON tags.id = t.tag_id WHERE 1",
                "tags.folded",
            ),
            "path": Relation("m.sha256", _FILES, _PATH),
            "loader_name": Relation("m.sha256", _FILES, _below_root(_PATH)),
            "root": Relation("m.sha256", f"{_FILES} AND r.path IS NOT NULL", "r.path"),
        }
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
    path="m.path",
    present="SELECT f.pending_id FROM pending_files AS f",
    relations=MappingProxyType(
        {
            **_BY_CONTENT,
            "tag": Relation(
                "m.id",
                "SELECT t.pending_id FROM pending_model_tags AS t JOIN tags ON tags.id = t.tag_id WHERE 1",
                "tags.folded",
            ),
            "path": Relation("m.id", _WAITING, "p.path"),
            "loader_name": Relation("m.id", _WAITING, _below_root("p.path")),
            "root": Relation("m.id", f"{_WAITING} AND r.path IS NOT NULL", "r.path"),
        }
    ),
)
