"""What a person and a script are told of models in several files, and of bins that a scan passes over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.inprocess import mlib_here
from tests.libraries import scan_roots, snapshot
from tests.terminal import on_terminal
from tests.tools import mlib, write_bytes, write_model

if TYPE_CHECKING:
    from mlib.db.library import Library


@pytest.fixture
def loras(tmp_path: Path) -> Path:
    return tmp_path / "loras"


@pytest.fixture
def parts(loras: Path) -> list[Path]:
    return [loras / f"wan-{number:05}-of-00002.safetensors" for number in (1, 2)]


@pytest.fixture
def path(library: Library, loras: Path, parts: list[Path]) -> Path:
    """A library with a model in two parts, and one in one file; the folder has an empty one in it."""
    for each in (*parts, loras / "other.safetensors"):
        write_model(each)
    (loras / "sub").mkdir()
    scan_roots(library, f"loras={loras}")
    return Path(library.path)


@pytest.mark.parametrize("more", [(), ("-n",)])
@pytest.mark.parametrize("words", [("mv", "{}", "{sub}"), ("rename", "{}", "new"), ("trash", "-y", "{}")])
def test_a_part_alone_is_refused_with_exit_code_4(
    path: Path, loras: Path, parts: list[Path], words: tuple[str, ...], more: tuple[str, ...]
) -> None:
    before = snapshot(loras)
    command = [word.format(parts[1], sub=loras / "sub") for word in words]
    done = mlib_here(*command, *more, "--json", library=path, code=4)
    assert done.error["code"] == "part_of_set"
    assert str(parts[0]) in done.error["hint"] or words[0] == "rename"
    assert snapshot(loras) == before


def test_the_hint_can_be_pasted(path: Path, loras: Path, parts: list[Path]) -> None:
    refused = mlib("mv", parts[0], loras / "sub", library=path, code=4)
    hint = refused.err.splitlines()[1].removeprefix("hint: name the others too: ")
    done = mlib("mv", parts[0], hint, loras / "sub", library=path)
    assert [line.split("\t")[0] for line in done.out.splitlines()] == ["moved", "moved"]
    assert mlib("verify", library=path).code == 0


def test_a_query_that_means_all_parts_takes_them(path: Path, loras: Path) -> None:
    mlib_here("trash", "-y", "--query", "wan", library=path)
    assert [each.name for each in loras.glob("*.safetensors")] == ["other.safetensors"]


def test_show_says_of_which_set_a_file_is(path: Path, loras: Path, parts: list[Path]) -> None:
    parts[1].unlink()
    (shown,) = (mlib_here("show", parts[0], "--json", library=path).json["sets"],)
    assert shown == [
        {
            "kind": "parts",
            "name": str(loras / "wan-*-of-00002.safetensors"),
            "parts": [str(parts[0])],
            "missing": [str(parts[1])],
            "listed_by": [],
        }
    ]
    rows = mlib_here("show", parts[0], library=path).out.splitlines()
    assert f"set\tparts\t{loras}/wan-*-of-00002.safetensors\t1\t1" in rows
    _, page = on_terminal("show", parts[0], library=path)
    assert "one of 2 parts, 1 missing: wan-*-of-00002.safetensors" in page
    assert mlib_here("show", "other.safetensors", "--json", library=path).json["sets"] == []


def test_a_missing_part_is_told_by_scan_list_and_verify(path: Path, parts: list[Path]) -> None:
    parts[1].unlink()
    scanned = mlib("scan", library=path, code=3)
    said = f"1 of 2 parts of this model is missing: {parts[1].name}"
    assert f"serious: {parts[0]}: {said}" in scanned.err
    assert mlib_here("list", "finding:incomplete_set", "-q", library=path).out.count("\n") == 1
    verified = mlib_here("verify", "--json", library=path, code=3).json
    assert [(each["path"], each["message"]) for each in verified["incomplete"]] == [(str(parts[0]), said)]
    assert verified["ok"] == 2
    rows = mlib_here("verify", library=path, code=3)
    assert rows.out.split("\t")[0] == "incomplete"
    assert "2 ok, 1 incomplete" in rows.err


def test_copies_that_are_needed_are_told_and_stay(path: Path, loras: Path, parts: list[Path]) -> None:
    write_model(loras / "x.safetensors", parts[0].name)
    mlib_here("scan", library=path)
    words = ("duplicates", "--trash", "--keep", "shortest", "-y")
    rehearsed = mlib_here(*words, "-n", "--json", library=path).json
    done = mlib_here(*words, "--json", library=path).json
    assert rehearsed["needed"] == done["needed"]
    assert [(each["path"], each["reason"]) for each in done["needed"]] == [
        (str(parts[0]), "the other parts of its model stay")
    ]
    assert (done["done"], done["failed"]) == ([], [])
    told = mlib_here(*words, library=path)
    assert f"kept: {parts[0]}: the other parts of its model stay" in told.err
    assert "--hardlink frees" in told.err
    mlib_here("duplicates", "--hardlink", "--keep", "shortest", "-y", library=path)
    assert parts[0].samefile(loras / "x.safetensors")


def test_a_scan_tells_how_many_bins_it_passed_over(path: Path, loras: Path) -> None:
    for name in ("#recycle", "sub/.stversions"):
        write_model(loras / name / "old.safetensors")
    write_bytes(loras / "@eaDir" / "other.safetensors", b"thumbnail")
    told = mlib("scan", library=path)
    assert told.err.splitlines()[0] == (
        f"ignored: 2 recycle bins and snapshots ({loras}/#recycle and 1 more);"
        " files in them do not count as present"
    )
    assert mlib_here("scan", "-n", "--json", library=path).json["passed_over"] == [
        str(loras / "#recycle"),
        str(loras / "sub/.stversions"),
    ]
    assert mlib_here("scan", "-q", library=path).err == ""
    refused = mlib_here("scan", loras / "#recycle", "--json", library=path, code=2)
    assert refused.error["code"] == "passed_over"
    assert json.loads(mlib_here("list", "--json", library=path).out)
