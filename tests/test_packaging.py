"""What is built from a clone: under which name, under which licence, and without a word of complaint."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of the repository, which would be left with a `build` folder."""
    copy = tmp_path_factory.mktemp("clone")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-v", "--no-deps", "-w", "out", "."],
        cwd=copy,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    assert re.findall("(?i).*(?:deprecat|to-be-removed).*", told) == []
    (built,) = (copy / "out").iterdir()
    return built


def test_it_has_a_name_that_no_other_program_has(wheel: Path) -> None:
    """The package index holds another program called mlib, which an upgrade would put in our place."""
    assert wheel.name.startswith("comfy_mlib-")
    with ZipFile(wheel) as archive:
        names = archive.namelist()
        (entry_points,) = (name for name in names if name.endswith("/entry_points.txt"))
        assert "mlib = mlib.__main__:main" in archive.read(entry_points).decode()
        assert "mlib/__init__.py" in names


def test_it_says_and_holds_its_licence(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        (path,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(path).decode())
        licences = [name for name in archive.namelist() if "/licenses/" in name]
        assert [archive.read(name) for name in licences] == [(ROOT / "src/mlib/LICENSE").read_bytes()]
    assert metadata["Name"] == "comfy-mlib"
    assert metadata["License-Expression"] == "MIT"
    assert metadata.get_all("License-File") == ["src/mlib/LICENSE"]
    assert "Programming Language :: Python :: 3.14" in metadata.get_all("Classifier", [])


def test_nobody_is_told_to_install_another_program() -> None:
    """`pip install mlib` is a stranger's; ours is installed from the clone."""
    for path in (ROOT / "README.md", ROOT / ".ci/run", *(ROOT / "src").rglob("*.py")):
        text = path.read_text()
        assert re.findall(r"(?:pip|pipx|uv)\s+(?:tool\s+)?install\b[^\n]*['\" ]mlib\b", text) == [], path
        assert "mlib[" not in text.replace("comfy-mlib[", ""), path
