"""Files are named, replaced and removed through one module, and never under a name that can be guessed."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import mlib

SOURCES = Path(mlib.__file__).parent
#: What gives, takes or replaces a name of a file, and what such a name must not be made of.
FORBIDDEN = {
    "os": {"rename", "renames", "replace", "unlink", "remove", "link", "getpid", "removedirs"},
    "shutil": {"move", "copy", "copy2", "copytree", "rmtree"},
    "tempfile": {"mktemp"},
}
#: Methods of pathlib that do the same.
METHODS = {"unlink", "hardlink_to", "symlink_to"}
THE_MODULE = SOURCES / "core" / "disk" / "entries.py"
#: The number of a process in the name of an entry of the journal, which names no file.
ALLOWED = {("core/disk/journal.py", "os.getpid")}


def _calls(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in FORBIDDEN.get(node.value.id, ()):
                found.add(f"{node.value.id}.{node.attr}")
        elif isinstance(node, ast.ImportFrom) and node.module in FORBIDDEN:
            found |= {
                f"{node.module}.{name.name}" for name in node.names if name.name in FORBIDDEN[node.module]
            }
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            is_os = isinstance(node.func.value, ast.Name) and node.func.value.id == "os"
            if node.func.attr in METHODS and not is_os:
                found.add(f".{node.func.attr}")
    return found


def test_nothing_else_renames_replaces_or_removes_a_file() -> None:
    found = {
        (str(path.relative_to(SOURCES)), call)
        for path in SOURCES.rglob("*.py")
        if path != THE_MODULE
        for call in _calls(path)
    }
    assert found == ALLOWED


@pytest.mark.parametrize(
    "text", ["os.replace(a, b)", "from os import unlink", "Path(a).unlink()", "f'{os.getpid()}.partial'"]
)
def test_the_test_can_fail(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.py").write_text(text)
    assert _calls(tmp_path / "x.py")


def test_in_the_module_itself_names_are_random() -> None:
    text = THE_MODULE.read_text()
    assert "getpid" not in text
    assert text.count("os.urandom(8)") == 1
