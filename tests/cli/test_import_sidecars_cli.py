"""`mlib import --sidecars` as it is typed, and what `scan` and `show` tell of sidecars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.core.sidecars.sidecar_files import as_bytes
from tests.inprocess import mlib_here
from tests.libraries import dump
from tests.tools import write_bytes, write_model

if TYPE_CHECKING:
    from pathlib import Path

WRONG = "sidecar_mismatch"


@pytest.fixture
def loras(tmp_path: Path) -> Path:
    return tmp_path / "loras"


@pytest.fixture
def shas(loras: Path, library_path: Path) -> dict[str, str]:
    """Three models in a library that has read no sidecar: of two something was typed that theirs deny."""
    found = {name: write_model(loras / f"{name}.safetensors") for name in ("blank", "ink", "typed")}
    mlib_here("scan", "--root", f"loras={loras}", library=library_path)
    for name in ("ink", "typed"):
        mlib_here("update", found[name], "--notes", "mine", "--tag", "mine", library=library_path)
    for name in found:
        lay(loras, name)
    return found


def lay(loras: Path, stem: str, **fields: Any) -> None:
    said = {"ModelName": f"Their {stem}", "Tags": ["theirs"], "TrainedWords": ["inkwsh"], **fields}
    write_bytes(loras / f"{stem}.cm-info.json", as_bytes(said))
    write_bytes(loras / f"{stem}.json", as_bytes({"notes": "theirs", "description": "d"}))


def take(library: Path, *words: str, code: int = 0, stdin: bytes = b"") -> Any:
    return mlib_here("import", "--sidecars", *words, "--json", library=library, code=code, stdin=stdin).json


def show(library: Path, ref: str) -> Any:
    return mlib_here("show", ref, "--json", library=library).json


class TestStrategies:
    def test_report_is_3_and_lists_the_conflicts(self, shas: dict[str, str], library_path: Path) -> None:
        done = take(library_path, code=3)
        assert done["total"] == 3
        assert [entry["change"] for entry in done["success"]] == ["updated"]
        conflicts = {entry["sha256"]: entry for entry in done["conflict"]}
        assert conflicts.keys() == {shas["ink"], shas["typed"]}
        conflict = conflicts[shas["ink"]]
        assert conflict["id"] is None
        assert conflict["differs"] == ["notes"]
        assert conflict["pending"]["notes"] == "theirs"
        assert conflict["existing"] == {"notes": "mine", "tags": ["mine"], "meta": {}}
        assert (done["backup"], done["failed"], done["dry_run"]) == (None, [], False)

    @pytest.mark.parametrize(
        ("strategy", "notes", "tags"),
        [
            ("override", "theirs", ["theirs"]),
            ("merge", "mine", ["mine", "theirs"]),
            ("ignore", "mine", ["mine"]),
        ],
    )
    def test_the_others_settle_it(
        self, shas: dict[str, str], library_path: Path, strategy: str, notes: str, tags: list[str]
    ) -> None:
        done = take(library_path, "--on-conflict", strategy)
        found = show(library_path, shas["ink"])
        assert (found["notes"], found["tags"]) == (notes, tags)
        assert (done["backup"] is not None) == (strategy == "override")
        ignored = sorted([shas["ink"], shas["typed"]]) if strategy == "ignore" else []
        assert sorted(done["ignored"]) == ignored

    @pytest.mark.usefixtures("shas")
    def test_delete_is_wrong_usage(self, library_path: Path) -> None:
        before = dump(library_path)
        failed = mlib_here(
            "import", "--sidecars", "--on-conflict", "delete", "--json", library=library_path, code=2
        )
        assert failed.error["code"] == "bad_options"
        assert dump(library_path) == before

    @pytest.mark.usefixtures("shas")
    def test_two_sources_at_once_are_wrong_usage(self, library_path: Path, tmp_path: Path) -> None:
        mlib_here("import", "--sidecars", "--from", tmp_path / "old.db", library=library_path, code=2)

    @pytest.mark.usefixtures("shas")
    @pytest.mark.parametrize("strategy", ["report", "override", "merge", "ignore"])
    def test_a_dry_run_answers_the_same_and_writes_nothing(self, library_path: Path, strategy: str) -> None:
        before = dump(library_path)
        code = 3 if strategy == "report" else 0
        rehearsed = take(library_path, "--on-conflict", strategy, "-n", code=code)
        assert dump(library_path) == before
        assert not (library_path.parent / "backups").exists()
        done = take(library_path, "--on-conflict", strategy, code=code)
        assert rehearsed == {**done, "dry_run": True, "backup": None}

    @pytest.mark.usefixtures("shas")
    def test_a_second_time_changes_nothing(self, library_path: Path) -> None:
        take(library_path, "--on-conflict", "override")
        before = dump(library_path)
        done = take(library_path, "--on-conflict", "override")
        assert {entry["change"] for entry in done["success"]} == {"unchanged"}
        assert dump(library_path) == before


class TestRefs:
    def test_only_these(self, shas: dict[str, str], library_path: Path, loras: Path) -> None:
        done = take(library_path, shas["blank"][:8], str(loras / "blank.safetensors"))
        assert [entry["sha256"] for entry in done["success"]] == [shas["blank"]]
        assert show(library_path, shas["ink"])["description"] == ""

    def test_only_what_a_query_finds(self, shas: dict[str, str], library_path: Path) -> None:
        done = take(library_path, "--query", "-tag:mine")
        assert [entry["sha256"] for entry in done["success"]] == [shas["blank"]]
        mlib_here("import", "--query", "tag:mine", library=library_path, code=2)

    def test_from_standard_input(self, shas: dict[str, str], library_path: Path) -> None:
        done = take(library_path, "-", stdin=f"{shas['blank']}\n".encode())
        assert done["total"] == 1

    def test_quiet_tells_the_models(self, shas: dict[str, str], library_path: Path) -> None:
        done = mlib_here("import", "--sidecars", "-q", shas["blank"], library=library_path)
        assert done.out == f"{shas['blank']}\n"

    @pytest.mark.usefixtures("shas")
    def test_an_unknown_one_is_5(self, library_path: Path) -> None:
        mlib_here("import", "--sidecars", "no such model", library=library_path, code=5)

    def test_no_library_is_5(self, tmp_path: Path) -> None:
        mlib_here("import", "--sidecars", library=tmp_path / "none.db", code=5)

    def test_a_model_whose_file_is_missing_keeps_what_it_has(
        self, shas: dict[str, str], library_path: Path, loras: Path
    ) -> None:
        (loras / "ink.safetensors").unlink()
        for stem in shas:
            (loras / f"{stem}.json").unlink()
            (loras / f"{stem}.cm-info.json").unlink()
        mlib_here("scan", library=library_path)
        lay(loras, "ink")
        assert take(library_path, shas["ink"], "--on-conflict", "override")["total"] == 0
        assert show(library_path, shas["ink"])["notes"] == "mine"


@pytest.mark.usefixtures("shas")
def test_for_a_person(library_path: Path) -> None:
    done = mlib_here("import", "--sidecars", library=library_path, code=3)
    assert done.out.count("conflict\tsidecar\t") == 2
    assert "hint: `mlib import --sidecars REF --on-conflict" in done.err


@pytest.mark.usefixtures("shas")
def test_a_broken_one_is_3_and_told(library_path: Path, loras: Path) -> None:
    write_bytes(loras / "blank.json", b"{")
    done = take(library_path, "--on-conflict", "merge", code=3)
    assert [(entry["code"], entry["path"]) for entry in done["failed"]] == [
        ("not_json", str(loras / "blank.json"))
    ]
    told = mlib_here("import", "--sidecars", "--on-conflict", "merge", library=library_path, code=3)
    assert f"failed: {loras / 'blank.json'}: not JSON" in told.err


class TestScanAndShow:
    @pytest.fixture
    def wrong(self, loras: Path) -> str:
        sha256 = write_model(loras / "ink.safetensors")
        lay(loras, "ink", Hashes={"SHA256": "ab" * 32})
        return sha256

    def test_a_mismatch_is_in_the_json_of_both(self, loras: Path, wrong: str, library_path: Path) -> None:
        scan = mlib_here("scan", "--root", f"loras={loras}", "--json", library=library_path)
        (finding,) = [each for each in scan.json["findings"] if each["code"] == WRONG]
        assert finding["path"] == str(loras / "ink.safetensors")
        shown = show(library_path, wrong)
        assert [each["code"] for each in shown["findings"]] == [WRONG]
        assert shown["trigger_words"] == [], "they are another file's"
        assert [each["kind"] for each in shown["sidecars"]] == ["a1111_json"]
        assert str(loras / "ink.cm-info.json") in shown["companions"]
        again = mlib_here("scan", "--json", library=library_path).json
        assert (again["findings"], again["unchanged"]) == ([], 1)

    def test_a_right_one_gives_its_words(self, loras: Path, wrong: str, library_path: Path) -> None:
        lay(loras, "ink", Hashes={"SHA256": wrong})
        mlib_here("scan", "--root", f"loras={loras}", library=library_path)
        shown = show(library_path, wrong)
        assert (shown["name"], shown["trigger_words"]) == ("Their ink", ["inkwsh"])
        assert shown["findings"] == []

    @pytest.mark.usefixtures("wrong")
    def test_a_broken_one_is_3_once(self, loras: Path, library_path: Path) -> None:
        write_bytes(loras / "ink.json", b"{")
        scan = mlib_here("scan", "--root", f"loras={loras}", "--json", library=library_path, code=3)
        (problem,) = scan.json["problems"]
        assert (problem["path"], problem["code"]) == (str(loras / "ink.json"), "not_json")
        assert mlib_here("scan", "--json", library=library_path).json["problems"] == []
