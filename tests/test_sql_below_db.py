"""SQL is spoken below `db` alone: what import-linter cannot see, for it knows modules and not methods."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import mlib

if TYPE_CHECKING:
    from collections.abc import Iterator

_PACKAGE = Path(mlib.__file__).parent
#: What a Library has for statements; nothing above db has methods or attributes of these names.
_SPEAKING = {"all", "one", "execute", "executemany", "executescript", "database", "create_function"}
#: What writes a row of a table that the caller names.
_WRITING = {"insert", "update", "upsert"}
_SQL = re.compile(
    r"\s*(SELECT|INSERT (OR \w+ )?INTO|REPLACE INTO|UPDATE \w+ SET|DELETE FROM|PRAGMA|WITH \w+"
    r"|(CREATE|DROP|ALTER) (TEMP |UNIQUE )?(TABLE|INDEX|TRIGGER|VIEW)|BEGIN IMMEDIATE|VACUUM|ATTACH)\b"
)


def _spoken(source: str) -> Iterator[str]:
    """Where a module speaks SQL: calls of a Library's methods for statements, and texts of statements."""
    tree = ast.parse(source)
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in _SPEAKING:
            yield f"line {node.lineno}: .{node.attr}"
        elif isinstance(node, ast.ImportFrom) and node.module == "mlib.db.rows":
            yield from (f"line {node.lineno}: {each.name}" for each in node.names if each.name in _WRITING)
        elif isinstance(node, ast.Constant) and id(node) not in prose and _SQL.match(str(node.value)):
            yield f"line {node.lineno}: {str(node.value)[:40]!r}"


@pytest.mark.parametrize("package", ["services", "core", "cli"])
def test_nothing_above_db_speaks_sql(package: str) -> None:
    modules = sorted((_PACKAGE / package).rglob("*.py"))
    assert modules

    spoken = [
        f"{path.relative_to(_PACKAGE)}, {found}"
        for path in modules
        for found in _spoken(path.read_text("utf-8"))
    ]

    assert spoken == []


@pytest.mark.parametrize(
    "source",
    [
        "library.all(text)",
        "self._library.one(text, [key])",
        "report.library.execute(text)",
        "look = library.one",
        "library.database.table(name)",
        "from mlib.db.rows import insert",
        "text = 'SELECT 1 FROM models'",
        "text = f'DELETE FROM {table}'",
        "text = 'PRAGMA defer_foreign_keys = ON'",
        "text = 'UPDATE files SET missing_since = 1'",
    ],
)
def test_the_rule_sees_sql(source: str) -> None:
    assert list(_spoken(source))


@pytest.mark.parametrize(
    "source",
    [
        '"""SELECT nothing: this is prose."""',
        "text = 'select a model, or several'",
        "from mlib.db.rows import path_of",
        "found = all(each for each in models)",
    ],
)
def test_the_rule_lets_other_words_pass(source: str) -> None:
    assert not list(_spoken(source))
