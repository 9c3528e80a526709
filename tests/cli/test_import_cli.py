"""`mlib import` as it is typed: rehearsals, exit codes, and older databases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.inprocess import mlib_here
from tests.legacy_databases import hikaze1, hikaze2
from tests.libraries import OTHER, SHA, THIRD, dump, put_model, put_pending, snapshot
from tests.tools import mlib, write_model

if TYPE_CHECKING:
    from mlib.db.library import Library


@pytest.fixture
def path(library: Library) -> Path:
    """A model in conflict with a pending import, one that is new, and one that waits for a scan."""
    put_model(library, SHA, notes="mine")
    put_pending(library, "/m/conflict", notes="theirs")
    put_pending(library, "/m/new", sha256=OTHER)
    put_pending(library, "/m/waits", sha256=None)
    return Path(library.path)


@pytest.fixture
def old(tmp_path: Path) -> str:
    """An older manager's database: one in conflict, one new, one without a hash."""
    return hikaze1(
        tmp_path / "old.sqlite3",
        [
            {"path": "/m/1", "hash_hex": SHA, "extra": {"description": "theirs"}},
            {"path": "/m/2", "hash_hex": THIRD, "tags": ["t"]},
            {"path": "/m/3"},
        ],
    )


class TestExitCodes:
    def test_done(self, path: Path) -> None:
        mlib_here("import", "2", library=path, code=0)

    def test_a_conflict_is_3(self, path: Path) -> None:
        assert "hint: " in mlib_here("import", "1", library=path, code=3).err

    @pytest.mark.parametrize("strategy", ["override", "merge", "ignore", "delete"])
    def test_a_conflict_that_is_settled_is_0(self, path: Path, strategy: str) -> None:
        mlib_here("import", "1", "--on-conflict", strategy, library=path, code=0)

    def test_one_that_waits_is_0_among_all_and_3_when_it_was_asked_for(self, path: Path) -> None:
        mlib_here("import", "3", library=path, code=3)
        mlib_here("import", "--on-conflict", "ignore", library=path, code=0)

    def test_a_bad_row_is_3(self, path: Path, library: Library) -> None:
        put_pending(library, "/m/bad", sha256=THIRD, meta_json="[]")
        mlib_here("import", "4", library=path, code=3)

    def test_an_unknown_one_is_5(self, path: Path) -> None:
        mlib_here("import", "99", library=path, code=5)

    def test_no_library_is_5(self, tmp_path: Path) -> None:
        mlib_here("import", library=tmp_path / "none.db", code=5)

    @pytest.mark.parametrize("word", ["x", "-1", "1.5", "pending:", "9" * 19, "\u0661"])
    def test_what_is_no_number_is_2(self, path: Path, word: str) -> None:
        failed = mlib_here("import", "--json", "--", word, library=path, code=2)
        assert failed.error["code"] == "bad_id"


class TestIds:
    @pytest.mark.parametrize("words", [["2"], ["pending:2"], ["-"]])
    def test_only_these(self, path: Path, words: list[str]) -> None:
        done = mlib_here("import", *words, "--json", library=path, stdin=b"2\n").json
        assert [entry["sha256"] for entry in done["success"]] == [OTHER]
        assert done["total"] == 1


class TestDryRun:
    @pytest.mark.parametrize("strategy", ["report", "override", "merge", "ignore", "delete"])
    def test_tells_the_same_and_writes_nothing(self, path: Path, strategy: str) -> None:
        before = snapshot(path.parent)
        words = ["import", "--on-conflict", strategy, "--json"]
        rehearsed = mlib_here(*words, "-n", library=path, code=None).json
        assert snapshot(path.parent) == before
        done = mlib_here(*words, library=path, code=None).json
        assert (rehearsed.pop("dry_run"), done.pop("dry_run")) == (True, False)
        assert (rehearsed.pop("backup"), done.pop("backup") is None) == (
            None,
            strategy not in ("override", "delete"),
        )
        assert rehearsed == done

    def test_of_an_older_database_tells_the_same_and_writes_nothing(self, path: Path, old: str) -> None:
        before = snapshot(path.parent)
        rehearsed = mlib_here("import", "--from", old, "-n", "--json", library=path, code=3).json
        assert snapshot(path.parent) == before
        done = mlib_here("import", "--from", old, "--json", library=path, code=3).json
        for key in ("dry_run", "backup"):
            rehearsed.pop(key)
            done.pop(key)
        assert rehearsed == done

    def test_without_a_library_makes_none(self, tmp_path: Path, old: str) -> None:
        done = mlib_here("import", "--from", old, "-n", "--json", library=tmp_path / "l/new.db").json
        assert done["total"] == 3
        assert not (tmp_path / "l").exists()


class TestOlderDatabases:
    def test_as_a_stranger_would_run_it(self, tmp_path: Path, old: str) -> None:
        path = tmp_path / "new.db"
        first = mlib("import", "--from", old, library=path)
        assert "2 created" in first.err
        assert "1 waiting" in first.err
        before = dump(path)
        second = mlib("import", "--from", old, library=path)
        assert "2 unchanged" in second.err
        assert dump(path) == before

    @pytest.mark.parametrize("make", [hikaze1, hikaze2])
    def test_an_empty_one_is_nothing_to_do(self, path: Path, tmp_path: Path, make: object) -> None:
        database = (hikaze1 if make is hikaze1 else hikaze2)(tmp_path / "empty.db", [])
        mlib_here("import", "--from", database, "--on-conflict", "ignore", library=path)

    def test_a_backup_is_told_of(self, path: Path, old: str) -> None:
        done = mlib_here("import", "--from", old, "--json", library=path, code=3).json
        assert Path(done["backup"]).exists()

    def test_what_changes_nothing_leaves_no_backup(self, path: Path, old: str) -> None:
        """A nightly import would push those out that hold something."""
        first = mlib_here("import", "--from", old, "--json", library=path, code=3).json
        again = mlib_here("import", "--from", old, "--json", library=path, code=3).json
        assert again["backup"] is None
        assert snapshot(path.parent / "backups").keys() == {str(path.parent / "backups"), first["backup"]}

    def test_one_backup_is_enough(self, path: Path, old: str) -> None:
        words = ["import", "--from", old, "--on-conflict", "override", "--json"]
        done = mlib_here(*words, library=path, code=None).json
        assert snapshot(path.parent / "backups").keys() == {str(path.parent / "backups"), done["backup"]}

    def test_a_conflict_can_be_settled_afterwards(self, path: Path, old: str) -> None:
        done = mlib_here("import", "--from", old, "--json", library=path, code=3).json
        last = done["conflict"][-1]["id"]
        mlib_here("import", f"pending:{last}", "--on-conflict", "merge", library=path)
        shown = mlib_here("show", SHA, "--json", library=path).json
        assert (shown["notes"], shown["description"]) == ("mine", "theirs")


def test_a_scan_names_the_command_that_lists_its_conflicts(library: Library, tmp_path: Path) -> None:
    path = Path(library.path)
    sha256 = write_model(tmp_path / "loras" / "a.safetensors")
    mlib_here("scan", "--root", f"loras={tmp_path}/loras", library=path)
    mlib_here("update", sha256, "--notes", "mine", library=path)
    put_pending(library, f"{tmp_path}/loras/copy.safetensors", sha256=None, notes="theirs")
    write_model(tmp_path / "loras" / "copy.safetensors", "a.safetensors")
    said = mlib_here("scan", library=path, code=3).err
    assert said == "in conflict with what you typed: 1 older entry; `mlib pending` lists them\n"
    assert "conflict: notes" in mlib_here("pending", library=path).out


class TestMap:
    """What an older manager on another machine said of a file meets the file here."""

    @staticmethod
    def here(tmp_path: Path, library_path: Path, *, sub: str = "sub") -> str:
        """A scanned model at here/loras/SUB/a.safetensors."""
        sha256 = write_model(tmp_path / "here" / "loras" / sub / "a.safetensors")
        mlib_here("scan", "--root", f"loras={tmp_path}/here/loras", library=library_path)
        return sha256

    @pytest.mark.parametrize(
        ("old", "told"),
        [
            ("D:\\ai\\models", "D:\\ai\\models\\loras\\sub\\a.safetensors"),
            ("d:\\AI\\models\\", "D:\\ai\\models\\loras\\sub\\a.safetensors"),
            ("D:/ai/models", "d:\\ai\\models\\loras\\sub\\a.safetensors"),
            ("D:\\", "D:\\loras\\sub\\a.safetensors"),
            ("D:", "D:/loras/sub/a.safetensors"),
            ("\\\\nas\\models", "\\\\NAS\\models\\loras\\sub\\a.safetensors"),
            ("models", "models/loras/sub/a.safetensors"),
            ("/mnt/ai", "/mnt/ai/loras/sub/a.safetensors"),
            ("/mnt/ai/", "/mnt/ai/loras/sub/a.safetensors"),
            ("/", "/loras/sub/a.safetensors"),
        ],
    )
    @pytest.mark.parametrize("later", [False, True])
    def test_of_an_older_database(
        self, tmp_path: Path, library_path: Path, old: str, told: str, later: bool
    ) -> None:
        sha256 = self.here(tmp_path, library_path)
        rows = [{"path": told, "hash_hex": "", "meta": {"mine": "word"}, "tags": ["typed"]}]
        database = hikaze1(tmp_path / "old.db", rows)
        mapped = ("--map", f"{old}={tmp_path}/here")
        if later:
            mlib_here("import", "--from", str(database), library=library_path, code=None)
            mlib_here("import", *mapped, "-n", library=library_path)
            assert mlib_here("pending", "--json", library=library_path).json[0]["path"] == told
            done = mlib_here("import", *mapped, "--json", library=library_path).json
        else:
            done = mlib_here("import", "--from", str(database), *mapped, "--json", library=library_path).json
        assert [each["sha256"] for each in done["success"]] == [sha256]
        shown = mlib_here("show", sha256, "--json", library=library_path).json
        assert (shown["meta"], shown["tags"]) == ({"mine": "word"}, ["typed"])
        assert mlib_here("pending", "--json", library=library_path).json == []

    def test_the_longest_of_several_wins(self, tmp_path: Path, library_path: Path) -> None:
        sha256 = self.here(tmp_path, library_path, sub="")
        rows = [{"path": "E:\\m\\lora\\a.safetensors", "hash_hex": "", "tags": ["typed"]}]
        database = hikaze1(tmp_path / "old.db", rows)
        maps = ("--map", "E:\\=/nowhere", "--map", f"e:\\m\\lora={tmp_path}/here/loras", "--map", "/m=/n")
        mlib_here("import", "--from", str(database), *maps, library=library_path)
        assert mlib_here("show", sha256, "--field", "tags", library=library_path).out == "typed\n"

    def test_two_that_come_to_one_path_are_one(self, tmp_path: Path, library_path: Path) -> None:
        sha256 = self.here(tmp_path, library_path)
        rows = [
            {"path": f"{drive}:\\m\\loras\\sub\\a.safetensors", "hash_hex": "", "tags": [tag]}
            for drive, tag in (("C", "one"), ("D", "two"))
        ]
        database = hikaze1(tmp_path / "old.db", rows)
        mlib_here("import", "--from", str(database), library=library_path, code=None)
        maps = ("--map", f"C:\\m={tmp_path}/here", "--map", f"D:\\m={tmp_path}/here")
        ids = [str(each["id"]) for each in mlib_here("pending", "--json", library=library_path).json]
        failed = mlib_here("import", ids[0], "99", *maps, "--json", library=library_path, code=5)
        assert failed.error["code"] == "pending_not_found"
        waiting = mlib_here("pending", "--json", library=library_path).json
        assert [each["path"][0] for each in waiting] == ["C", "D"]
        done = mlib_here("import", *ids, *maps, "--json", library=library_path).json
        assert [each["sha256"] for each in done["success"]] == [sha256]
        assert mlib_here("show", sha256, "--json", library=library_path).json["tags"] == ["one", "two"]

    @pytest.mark.parametrize(
        ("old", "told"),
        [
            ("D:\\ai", "\\\\?\\D:\\ai\\loras\\sub\\a.safetensors"),
            ("\\\\nas\\ai", "\\\\?\\UNC\\NAS\\AI\\loras\\sub\\a.safetensors"),
            ("D:\\\u0130\\", "d:\\\u0130\\loras\\sub\\a.safetensors"),  # its lower case is two characters
            ("D:\\Caf\u00e9", "D:/cafe\u0301/loras/sub/a.safetensors"),
            ("/Users/me/caf\u00e9", "/Users/me/cafe\u0301//loras/sub/a.safetensors"),
        ],
    )
    def test_in_every_spelling(self, tmp_path: Path, library_path: Path, old: str, told: str) -> None:
        sha256 = self.here(tmp_path, library_path)
        database = hikaze1(tmp_path / "old.db", [{"path": told, "hash_hex": "", "tags": ["typed"]}])
        mapped = ("--map", f"{old}={tmp_path}/here")
        mlib_here("import", "--from", str(database), *mapped, library=library_path)
        assert mlib_here("show", sha256, "--field", "tags", library=library_path).out == "typed\n"

    def test_goes_with_no_sidecars(self, library_path: Path, tmp_path: Path) -> None:
        self.here(tmp_path, library_path)
        failed = mlib_here("import", "--sidecars", "--map", "/a=/b", "--json", library=library_path, code=2)
        assert failed.error["code"] == "bad_options"
