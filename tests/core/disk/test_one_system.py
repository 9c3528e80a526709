"""One module asks which system this is: `core/disk/system.py`. All others use what it offers."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import mlib

SOURCES = Path(mlib.__file__).parent
THE_ROOM = SOURCES / "core" / "disk" / "system.py"
MODULES = {"fcntl", "ctypes", "msvcrt", "platform", "resource", "pwd", "grp"}
#: Attributes of `os` and `sys` that differ between systems.
ATTRIBUTES = {
    "os": {
        *("name", "uname", "getuid", "geteuid", "getgid", "getegid", "fchown", "chown", "lchown"),
        *("posix_fadvise", "lockf", "supports_dir_fd", "supports_fd", "supports_follow_symlinks"),
    },
    "sys": {"platform"},
}
TEXTS = ("/proc/", "renameat2")


def _found(path: Path) -> set[str]:
    found = set()
    tree = ast.parse(path.read_bytes())
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names if each.name.partition(".")[0] in MODULES}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} & MODULES
            found |= {
                f"{node.module}.{each.name}" for each in node.names if _is_asked(node.module, each.name)
            }
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if _is_asked(node.value.id, node.attr):
                found.add(f"{node.value.id}.{node.attr}")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            names = [each.value for each in node.args if isinstance(each, ast.Constant)]
            if node.func.id in {"getattr", "hasattr"} and isinstance(node.args[0], ast.Name):
                of = node.args[0].id
                found |= {f"{of}.{name}" for name in names if isinstance(name, str) and _is_asked(of, name)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            found |= {text for text in TEXTS if text in node.value}
    return found


def _is_asked(module: str, name: str) -> bool:
    return name in ATTRIBUTES.get(module, ()) or (module == "os" and name.startswith("O_"))


def test_nothing_else_asks_which_system_this_is() -> None:
    found = {
        (str(path.relative_to(SOURCES)), each)
        for path in SOURCES.rglob("*.py")
        if path != THE_ROOM
        for each in _found(path)
    }
    assert found == set()


@pytest.mark.parametrize(
    "text",
    [
        "import fcntl",
        "def late():\n    import ctypes",
        "from os import O_NONBLOCK",
        "import os\nos.open(a, os.O_RDONLY)",
        "import os\ngetattr(os, 'O_NONBLOCK', 0)",
        "import os\nos.geteuid()",
        "import sys\nsys.platform == 'linux'",
        "open('/proc/self/mountinfo')",
    ],
)
def test_the_test_can_fail(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.py").write_text(text)
    assert _found(tmp_path / "x.py")


def test_the_room_itself_is_where_it_is_asked() -> None:
    assert {"fcntl", "ctypes", "os.O_DIRECTORY", "os.geteuid", "sys.platform", "/proc/"} <= _found(THE_ROOM)
