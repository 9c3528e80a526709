"""The map in `mlib/__init__.py` names what is there."""

from __future__ import annotations

import re
from pathlib import Path

import mlib

SOURCES = Path(mlib.__file__).parent
MAP = mlib.__doc__ or ""


def is_there(dotted: str) -> bool:
    path = SOURCES / dotted.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


def test_every_module_and_test_that_the_map_names_is_there() -> None:
    modules = re.findall(r"\b(?:cli|services|db|core)\.[a-z_.]*[a-z_]", MAP)
    assert len(modules) > 8
    assert [each for each in modules if not is_there(each)] == []
    tests = re.findall(r"\btests/[\w/]+(?:\.py)?", MAP)
    assert len(tests) > 8
    assert [each for each in tests if not (Path(__file__).parent.parent / each).exists()] == []


def test_every_floor_and_every_package_is_on_the_map() -> None:
    floors = {
        path.stem for path in SOURCES.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert {name for name in floors if not name.startswith("_") and f"\n    {name} " not in MAP} == set()
    packages = {path.parent.relative_to(SOURCES) for path in SOURCES.rglob("__init__.py")}
    inner = {path.name for path in packages if len(path.parts) > 1}
    assert {name for name in inner if f"`{name}`" not in MAP} == set()
