"""A path that is handed out is there now, or marked: one model, of which some files cannot be reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.inprocess import mlib_here
from tests.libraries import scan_roots
from tests.terminal import on_terminal
from tests.tools import mlib, write_model
from tests.workflow_files import canvas, encoded, node

from mlib.db import files

if TYPE_CHECKING:
    from pathlib import Path

    from mlib.db.library import Library


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    """A drive that is off by the time a test begins: its path is the shorter one."""
    return tmp_path / "d"


@pytest.fixture
def living(tmp_path: Path) -> Path:
    return tmp_path / "a-much-longer-path" / "copy.safetensors"


@pytest.fixture
def sha256(library: Library, drive: Path, living: Path) -> str:
    """The model, known at both places; the last scan saw both."""
    found = write_model(drive / "m.safetensors", "one")
    write_model(living, "one")
    scan_roots(library, f"loras={drive}", f"loras={living.parent}")
    assert [row.path for row in files.of_model(library, found)] == [str(drive / "m.safetensors"), str(living)]
    drive.rename(drive.with_name("unplugged"))
    return found


@pytest.mark.usefixtures("sha256")
class TestWhereACopyLives:
    @pytest.mark.parametrize(
        ("words", "shown"),
        [
            (("show", "m.safetensors", "--field", "path"), "{living}"),
            (("show", "m.safetensors", "--field", "paths"), "{living}"),
            (("show", "m.safetensors", "--field", "loader_name"), "copy.safetensors"),
            (("list", "--paths"), "{living}"),
            (("list", "--columns", "path"), "{living}"),
            (("list", "--columns", "path,loader_name"), "{living}\tcopy.safetensors"),
            (("list", "--format", "{path}"), "{living}"),
            (("list", "--format", "{loader_name}"), "copy.safetensors"),
        ],
    )
    def test_its_path_is_handed_out(
        self, library_path: Path, living: Path, words: tuple[str, ...], shown: str
    ) -> None:
        assert mlib_here(*words, library=library_path).out == shown.format(living=living) + "\n"

    @pytest.mark.parametrize("words", [("list",), ("list", "--jsonl"), ("show", "m.safetensors")])
    def test_json_has_it_first_and_marks_the_other(
        self, library_path: Path, living: Path, drive: Path, words: tuple[str, ...]
    ) -> None:
        found = mlib_here(*words, *(() if "--jsonl" in words else ("--json",)), library=library_path).json
        row = found[0] if isinstance(found, list) else found
        places = [(file["path"], file["present"], file["offline"]) for file in row["files"]]
        assert places == [(str(living), True, False), (str(drive / "m.safetensors"), True, True)]

    def test_a_person_sees_which_is_off(self, library_path: Path, living: Path, drive: Path) -> None:
        page = on_terminal("show", "m.safetensors", library=library_path, env={"NO_COLOR": "1"})[1]
        assert page.index(str(living)) < page.index(f"offline: {drive}/m.safetensors")
        rows = mlib_here("show", "m.safetensors", library=library_path).out
        assert f"file\t{drive}/m.safetensors\tm.safetensors\toffline\n" in rows

    def test_its_bytes_are_hashed(self, library_path: Path, living: Path) -> None:
        hashed = mlib_here("hash", "m.safetensors", "--json", library=library_path).json["hashed"]
        assert [each["path"] for each in hashed] == [str(living)]
        hashed = mlib_here("hash", "--query", "type:loras", "--json", library=library_path).json["hashed"]
        assert [each["path"] for each in hashed] == [str(living)]

    def test_the_csv_has_it(self, library_path: Path, living: Path) -> None:
        assert f",{living},2," in mlib_here("export", "--format", "csv", library=library_path).out

    def test_a_workflow_check_and_unused_hand_it_out(
        self, library_path: Path, living: Path, drive: Path, tmp_path: Path
    ) -> None:
        flow = tmp_path / "flows" / "f.json"
        flow.parent.mkdir()
        flow.write_bytes(encoded(canvas(node(1, "LoraLoader", "copy.safetensors", 1, 1))))
        row = mlib_here("workflow", "check", flow, library=library_path).out.split("\t")
        assert row[5] == str(living)
        flow.write_bytes(encoded(canvas(node(1, "LoraLoader", "other.safetensors", 1, 1))))
        words = ("unused", "--workflows", flow.parent)
        assert mlib_here(*words, library=library_path).out.rstrip().split("\t")[-1] == str(living)
        (found,) = mlib_here(*words, "--json", library=library_path).json["models"]
        dead = f"{drive}/m.safetensors"
        assert (found["paths"], found["offline"]) == ([str(living), dead], [dead])

    def test_a_list_is_sorted_by_it(self, library: Library, library_path: Path, tmp_path: Path) -> None:
        others = tmp_path / "b"
        write_model(others / "B.safetensors", "two")
        write_model(others / "a.safetensors", "three")
        gone = write_model(tmp_path / "c" / "gone.safetensors", "four")
        scan_roots(library, f"loras={others}", f"vae={tmp_path / 'c'}")
        with library.transaction():
            files.mark_missing(library, files.of_model(library, gone), 1)

        def paths(*words: str) -> list[str]:
            return mlib_here("list", *words, "--columns", "path", library=library_path).out.splitlines()

        assert paths("--sort", "path") == sorted(paths(), key=str.lower)
        assert paths("--sort", "path:desc") == sorted(paths(), key=str.lower, reverse=True)
        assert paths("--sort", "type:desc,path") == [paths("type:vae")[0], *paths("--sort", "path")[:3]]
        shas = mlib_here("list", "-q", "--sort", "path", "--limit", "2", library=library_path).out.split()
        assert (
            shas
            == mlib_here(
                "list", "--sort", "path", "--limit", "2", "--columns", "sha256", library=library_path
            ).out.split()
        )


class TestWhereNoneIsThere:
    def test_no_path_is_handed_out(self, library_path: Path, sha256: str, living: Path) -> None:
        living.unlink()
        failed = mlib_here("show", sha256, "--field", "path", "--json", library=library_path, code=5)
        assert failed.error["code"] == "no_file"
        assert failed.stdout == b""
        assert mlib_here("show", sha256, "--field", "paths", library=library_path).out == ""
        assert mlib_here("list", "--paths", library=library_path).out == ""
        assert mlib_here("hash", "--query", "type:loras", library=library_path, code=5).out == ""

    def test_a_list_says_where_it_was_and_marks_it(
        self, library_path: Path, sha256: str, living: Path, drive: Path
    ) -> None:
        living.unlink()
        was = f"{drive}/m.safetensors"
        assert mlib_here("list", "--columns", "path", library=library_path).out == f"{was}\n"
        table = on_terminal("list", "--columns", "path", library=library_path, columns=200)[1]
        assert f"{was} (offline)" in table
        assert "(offline)" in on_terminal("show", sha256, library=library_path, env={"NO_COLOR": "1"})[1]

    def test_the_next_scan_changes_nothing_of_it(
        self, library: Library, library_path: Path, sha256: str, drive: Path
    ) -> None:
        mlib("scan", library=library_path, code=3)
        assert [row.missing_since for row in files.of_model(library, sha256)] == [None, None]
        drive.with_name("unplugged").rename(drive)
        shown = mlib_here("show", sha256, "--field", "path", library=library_path).out
        assert shown == f"{drive}/m.safetensors\n"
