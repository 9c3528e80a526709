"""`export`, `import --from`, `backup`, `restore`, `doctor` and `stats` as they are typed."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.faults.machine import tmpfs
from tests.inprocess import mlib_here
from tests.libraries import SHA, dump, known_file, put_files, put_model, snapshot
from tests.terminal import on_terminal
from tests.tools import mlib, write_model

from mlib.core.disk.entries import temporary_name
from mlib.db import models
from mlib.db.library import open_library

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlib.core.disk.entries import Purpose
    from mlib.db.library import Library

#: As root, permissions mean something only without these capabilities.
UNPRIVILEGED = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()


@pytest.fixture
def scanned(library_path: Path, tmp_path: Path) -> str:
    """A library of two models, one of them described; its SHA-256."""
    sha256 = write_model(tmp_path / "loras" / "a.safetensors")
    write_model(tmp_path / "loras" / "b.safetensors")
    mlib_here("scan", "--root", f"loras={tmp_path / 'loras'}", library=library_path)
    mlib_here("update", sha256, "--notes", "mine", "--tag", "keep", "--set", "n=1.10", library=library_path)
    return sha256


class TestExport:
    def test_standard_output_and_a_file_get_the_same_bytes(
        self, scanned: str, library_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told = mlib_here("export", library=library_path).stdout
        mlib_here("export", "-o", tmp_path / "out.jsonl", library=library_path)
        assert (tmp_path / "out.jsonl").read_bytes() == told
        header, *lines = [json.loads(line) for line in told.splitlines()]
        assert (header["format"], header["version"]) == ("mlib-export", 1)
        assert [line["sha256"] for line in lines] == sorted(line["sha256"] for line in lines)
        monkeypatch.chdir(tmp_path)
        assert mlib_here("export", "--output", "-", library=library_path).stdout == told
        assert not (tmp_path / "-").exists()
        one = mlib_here("export", scanned, library=library_path).stdout.splitlines()
        assert len(one) == 2
        assert b'"n":1.10' in one[1]

    def test_a_file_is_replaced_only_by_ones_word_and_the_library_never(
        self, scanned: str, library_path: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "out.jsonl"
        out.write_text("precious")
        assert mlib_here("export", "-o", out, library=library_path, code=4).err.startswith(
            "error: this would"
        )
        assert out.read_text() == "precious"
        mlib_here("export", "-o", out, "-n", library=library_path)
        assert out.read_text() == "precious"
        mlib_here("export", "-o", out, "-y", library=library_path)
        assert scanned in out.read_text()
        before = library_path.read_bytes()
        mlib_here("export", "-o", library_path, "-y", library=library_path, code=4)
        mlib_here("backup", library_path, "-y", library=library_path, code=4)
        assert library_path.read_bytes() == before

    @pytest.mark.faults
    def test_on_a_full_disk_no_half_file_has_the_name(
        self, scanned: str, library_path: Path, tmp_path: Path
    ) -> None:
        disk = tmp_path / "disk"
        disk.mkdir()
        mlib_here("update", scanned, "--notes", "x" * 200_000, library=library_path)
        with tmpfs(size=64 * 1024, at=disk):
            failed = mlib_here("export", "-o", disk / "out", "--json", library=library_path, code=1)
            assert failed.error["code"] == "disk_full"
            assert os.listdir(disk) == []

    def test_sidecars_ask_first(self, scanned: str, library_path: Path, tmp_path: Path) -> None:
        there = tmp_path / "loras" / "a.metadata.json"
        assert (
            mlib_here("export", "--sidecars", "-n", scanned, library=library_path).out
            == f"would write\t{there}\n"
        )
        mlib_here("export", "--sidecars", scanned, library=library_path, code=4)
        assert not there.exists()
        told = mlib_here("export", "--sidecars", "-y", "--json", scanned, library=library_path).json
        assert (told["written"], told["count"], told["nothing_typed"]) == ([str(there)], 1, 0)
        assert json.loads(there.read_text())["notes"] == "mine"
        assert mlib_here("export", "--sidecars", scanned, library=library_path).out == ""

    def test_sidecars_say_how_many_they_are(self, scanned: str, library_path: Path, tmp_path: Path) -> None:
        write_model(tmp_path / "loras/plain.safetensors")
        mlib_here("scan", library=library_path)
        told = mlib_here("export", "--sidecars", "-n", library=library_path)
        assert told.err == "would write 1 sidecar; nothing to write for 2 models\n"
        told = mlib_here("export", "--sidecars", "-y", library=library_path)
        assert told.err == "wrote 1 sidecar; nothing to write for 2 models\n"
        told = mlib_here("export", "--sidecars", "-y", scanned, library=library_path)
        assert told.err == "wrote 0 sidecars; 1 up to date\n"
        assert not (tmp_path / "loras/plain.metadata.json").exists()


class TestImport:
    def test_a_byte_order_mark_is_no_part_of_an_export(
        self, scanned: str, library_path: Path, tmp_path: Path
    ) -> None:
        out, other = tmp_path / "out.jsonl", tmp_path / "new" / "library.db"
        mlib_here("export", "-o", out, library=library_path)
        (tmp_path / "marked").write_bytes(b"\xef\xbb\xbf" + out.read_bytes())
        told = mlib_here("import", "--from", tmp_path / "marked", "--json", library=other).json
        assert scanned in [each["sha256"] for each in told["success"]]
        mlib_here("export", "-o", tmp_path / "again.jsonl", library=other)
        assert (tmp_path / "again.jsonl").read_bytes() == out.read_bytes()

    @pytest.mark.parametrize("words", [[], ["-n"]], ids=str)
    def test_an_empty_file_is_called_one(self, library_path: Path, tmp_path: Path, words: list[str]) -> None:
        (tmp_path / "out.jsonl").touch()
        refused = mlib_here(
            "import", "--from", tmp_path / "out.jsonl", "--json", *words, library=library_path, code=1
        )
        assert refused.error == {
            "code": "empty_file",
            "message": f"empty file, nothing to import: {tmp_path / 'out.jsonl'}",
            "hint": None,
        }
        assert not library_path.exists()

    def test_an_export_becomes_a_library_and_a_bad_one_leaves_none_behind(
        self, scanned: str, library_path: Path, tmp_path: Path
    ) -> None:
        out, other = tmp_path / "out.jsonl", tmp_path / "new" / "library.db"
        mlib_here("export", "-o", out, library=library_path)
        (tmp_path / "bad").write_text("{}\n")
        mlib_here("import", "--from", tmp_path / "bad", library=other, code=1)
        assert not other.exists()
        dry = mlib_here("import", "--from", out, "-n", "--json", library=other).json
        assert not other.exists()
        told = mlib_here("import", "--from", out, "--json", library=other).json
        assert [each["sha256"] for each in told["success"]] == [each["sha256"] for each in dry["success"]]
        assert scanned in [each["sha256"] for each in told["success"]]
        mlib_here("export", "-o", tmp_path / "again.jsonl", library=other)
        assert (tmp_path / "again.jsonl").read_bytes() == out.read_bytes()

    def test_what_changes_nothing_leaves_no_backup_and_no_entry(
        self, scanned: str, library_path: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "out.jsonl"
        mlib_here("export", "-o", out, library=library_path)
        before = mlib_here("log", "--json", library=library_path).json
        for strategy in ("report", "override", "merge"):
            again = mlib_here(
                "import", "--from", out, "--on-conflict", strategy, "--json", library=library_path
            )
            assert again.json["backup"] is None
        assert os.listdir(library_path.parent / "backups") == []
        assert mlib_here("log", "--json", library=library_path).json == before
        mlib_here("update", scanned, "--notes", "changed", library=library_path)
        told = mlib_here("import", "--from", out, "--on-conflict", "override", "--json", library=library_path)
        assert [told.json["backup"]] == [str(path) for path in library_path.parent.glob("backups/*")]

    @pytest.mark.usefixtures("scanned")
    def test_a_broken_line_is_listed_and_costs_the_exit_code(
        self, library_path: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "out.jsonl"
        mlib_here("export", "-o", out, library=library_path)
        out.write_bytes(out.read_bytes() + b"{broken\n")
        told = mlib_here("import", "--from", out, "--json", library=tmp_path / "x.db", code=3).json
        assert [each["code"] for each in told["failed"]] == ["bad_line"]
        assert len(told["success"]) == 2

    @pytest.mark.usefixtures("scanned")
    def test_the_other_options_go_with_their_own_source(self, library_path: Path) -> None:
        mlib_here("import", "--from", library_path, "7", library=library_path, code=2)
        mlib_here("import", "--from", library_path, "--map", "nonsense", library=library_path, code=2)
        mlib_here("import", "--from", library_path, library=library_path, code=2)


def _later(clock: Callable[[], float]) -> float:
    """The present, two days on: nothing can make a file's last change an old one."""
    return clock() + 2 * 86_400


class TestRestore:
    def test_a_damaged_library_names_the_command_that_brings_it_back(
        self, scanned: str, library_path: Path
    ) -> None:
        mlib_here("backup", library=library_path)
        library_path.write_bytes(b"x" * 9000)
        failed = mlib_here("show", scanned, library=library_path, code=1)
        assert f"mlib restore --latest --library {library_path}" in failed.err
        mlib_here("restore", "--latest", library=library_path, code=4)
        told = mlib_here("restore", "--latest", "-y", "--json", library=library_path).json
        assert os.path.exists(told["kept"])
        assert mlib_here("show", scanned, "--json", library=library_path).json["notes"] == "mine"

    @pytest.mark.faults
    @pytest.mark.usefixtures("scanned")
    def test_a_full_disk_is_that_of_the_backup(self, library_path: Path, tmp_path: Path) -> None:
        mlib_here("backup", library=library_path)
        disk = tmp_path / "disk"
        disk.mkdir()
        with tmpfs(size=64 * 1024, at=disk):
            failed = mlib_here("backup", disk / "copy", "--json", library=library_path, code=1)
            assert failed.error["code"] == "disk_full"
            assert failed.error["message"].endswith(f" full: {disk / 'copy'}")
            assert os.listdir(disk) == []

    @pytest.mark.usefixtures("scanned")
    def test_where_it_cannot_be_made_is_said_in_words(self, library_path: Path) -> None:
        for words in (["backup", ""], ["export", "-o", ""]):
            assert (
                mlib_here(*words, library=library_path, code=1).err == "error: a file name cannot be empty\n"
            )
        (library_path.parent / "backups").touch()
        failed = mlib_here("backup", library=library_path, code=1)
        assert failed.err == f"error: cannot back up to {library_path.parent}/backups: File exists\n"

    @pytest.mark.usefixtures("scanned")
    def test_into_a_pipe(self, library_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """`mlib backup - | ssh elsewhere 'cat > copy.db'`."""
        monkeypatch.chdir(tmp_path)
        before = snapshot(tmp_path)
        done = mlib_here("backup", "-", library=library_path)
        assert mlib_here("backup", "-", "-n", library=library_path).stdout == b""
        mlib_here("backup", "-", "--json", library=library_path, code=2)
        code, shown = on_terminal("backup", "-", library=library_path)
        assert (code, "SQLite" in shown) == (2, False)
        assert snapshot(tmp_path) == before
        (tmp_path / "copy.db").write_bytes(done.stdout)
        assert dump(tmp_path / "copy.db") == dump(library_path)
        assert "checked" in done.err

    def test_one_backup_is_named(self, library_path: Path) -> None:
        mlib_here("restore", library=library_path, code=2)
        mlib_here("restore", "--latest", library=library_path, code=5)


class TestDoctor:
    @pytest.mark.usefixtures("scanned")
    def test_a_healthy_library_has_no_error(self, library_path: Path) -> None:
        mlib_here("backup", library=library_path)
        told = mlib_here("doctor", "--json", library=library_path).json
        assert (told["errors"], told["warnings"]) == (0, 0), told
        assert {check["name"] for check in told["checks"]} >= {
            "permissions", "storage", "space", "sqlite", "journal", "identity", "integrity", "foreign_keys",
            "roots", "racy", "files", "facts", "sidecars", "findings", "free_pages", "backups",
            "replaced", "leftovers",
        }  # fmt: skip

    @pytest.mark.usefixtures("scanned")
    def test_what_restores_set_aside_is_named_and_left(self, library_path: Path) -> None:
        mlib_here("backup", library=library_path)
        content = library_path.read_bytes()
        kept = [
            mlib_here("restore", "--latest", "-y", "--json", library=library_path).json["kept"]
            for _ in range(2)
        ]
        Path(f"{kept[0]}-journal").write_bytes(b"x" * 10)
        Path(f"{library_path}.other.20260101T000000Z.replaced").touch()
        told = mlib_here("doctor", "--fix", "--json", library=library_path).json["checks"]
        found = [check for check in told if check["name"] == "replaced"]
        assert [check["message"] for check in found] == [
            f"set aside by a restore, {len(content) + more:,} bytes: {each}"
            for each, more in sorted(zip(kept, (10, 0), strict=True))
        ]
        assert [check["state"] for check in found] == ["warning", "warning"]
        for check in found:
            subprocess.run(check["mend"], shell=True, check=True)
        assert not any(os.path.exists(each) for each in (*kept, f"{kept[0]}-journal"))
        assert os.path.exists(f"{library_path}.other.20260101T000000Z.replaced")
        told = mlib_here("doctor", "--json", library=library_path).json["checks"]
        assert {check["name"]: check["state"] for check in told}["replaced"] == "ok"

    def test_what_killed_commands_left_in_model_folders_is_named(
        self, scanned: str, library_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (model,) = map(Path, mlib_here("show", scanned, "--field", "paths", library=library_path).out.split())
        purposes: tuple[Purpose, ...] = ("partial", "partial", "copy", "link", "aside")
        half, ours, copy, link, last = (
            model.parent / temporary_name(purpose, "a.safetensors") for purpose in purposes
        )
        for path in (half, ours, copy, last):
            path.write_bytes(b"12345")
        os.link(model, link)

        def found(*words: str) -> dict[str, tuple[str | None, bool]]:
            told = mlib_here("doctor", *words, "--json", library=library_path).json["checks"]
            return {
                check["message"]: (check["mend"], check["fixed"])
                for check in told
                if check["name"] == "leftovers" and check["state"] == "warning"
            }

        assert found("--fix") == {}  # somebody may be at them
        monkeypatch.setattr(time, "time", partial(_later, time.time))
        beginning = "left by a command that was killed, "
        whole = {
            f"{beginning}5 bytes: {copy}": (f"rm {copy}", False),
            f"{beginning}{model.stat().st_size:,} bytes: {link}": (f"rm {link}", False),
            f"{beginning}5 bytes: {last}; no other name has these bytes": (None, False),
        }
        held = ours.open("rb")
        fcntl.flock(held, fcntl.LOCK_EX)  # as whoever writes it does
        assert found() == whole | {f"{beginning}5 bytes: {half}": (f"rm {half}", False)}
        assert found("--fix") == whole | {f"{beginning}5 bytes: {half}": (f"rm {half}", True)}
        assert found() == whole
        held.close()
        assert ours.exists()

    @pytest.mark.usefixtures("scanned")
    def test_what_is_safe_is_put_right(self, library_path: Path) -> None:
        import sqlite3
        from contextlib import closing

        with closing(sqlite3.connect(library_path)) as db:
            db.execute("INSERT INTO hashes VALUES (?, 'aa', NULL, NULL, NULL)", ["ee" * 32])
            db.commit()
        library_path.chmod(0o644)
        before = mlib_here("export", library=library_path).stdout
        wrong = {c["name"]: c for c in mlib_here("doctor", "--json", library=library_path).json["checks"]
                 if c["state"] == "warning"}  # fmt: skip
        assert wrong["permissions"]["mend"] == f"chmod 600 {library_path}"
        assert wrong["facts"]["mend"] == f"mlib doctor --fix --library {library_path}"
        fixed = mlib_here("doctor", "--fix", "--json", library=library_path).json
        assert {c["name"] for c in fixed["checks"] if c["fixed"]} == {"permissions", "facts"}
        again = mlib_here("doctor", "--json", library=library_path).json
        assert {c["name"] for c in again["checks"] if c["state"] != "ok"} == {"backups"}
        assert mlib_here("export", library=library_path).stdout == before

    @pytest.mark.parametrize("content", [b"x" * 9000, b"SQLite format 3\0" + b"\xff" * 9000])
    @pytest.mark.usefixtures("scanned")
    def test_a_damaged_library_is_an_error_with_a_command(self, library_path: Path, content: bytes) -> None:
        library_path.write_bytes(content)
        told = mlib_here("doctor", "--json", library=library_path, code=3).json
        [wrong] = [check for check in told["checks"] if check["state"] == "error"]
        assert wrong["mend"] == f"mlib restore --latest --library {library_path}"

    @pytest.mark.usefixtures("scanned")
    def test_one_that_is_only_in_use_is_not_to_be_restored(
        self, library_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import sqlite3
        from contextlib import closing

        from mlib.db import connections

        mlib_here("backup", library=library_path)
        monkeypatch.setattr(connections, "BUSY_SECONDS", 0.1)
        with closing(sqlite3.connect(library_path, isolation_level=None)) as db:
            db.execute("BEGIN EXCLUSIVE")
            busy = mlib_here("doctor", "--json", library=library_path, code=6)
        assert busy.error["code"] == "library_busy"
        assert "restore" not in busy.err

    @pytest.mark.usefixtures("scanned")
    def test_one_that_may_not_be_opened_is_not_to_be_restored(self, library_path: Path) -> None:
        mlib_here("backup", library=library_path)
        library_path.chmod(0)
        told = mlib("doctor", "--json", library=library_path, code=3, prefix=UNPRIVILEGED).json
        [wrong] = [check for check in told["checks"] if check["name"] == "integrity"]
        assert wrong["mend"].startswith("check the permissions")

    def test_the_file_of_another_program_is_left_as_it_is(self, library_path: Path) -> None:
        import sqlite3
        from contextlib import closing

        library_path.parent.mkdir(exist_ok=True)
        with closing(sqlite3.connect(library_path)) as db:
            db.execute("CREATE TABLE theirs (x)")
        library_path.chmod(0o644)
        told = mlib_here("doctor", "--fix", "--json", library=library_path, code=3).json["checks"]
        assert [check["name"] for check in told if check["state"] == "error"] == ["identity"]
        assert library_path.stat().st_mode & 0o777 == 0o644

    @pytest.mark.parametrize("what", ["file", "directory"])
    @pytest.mark.usefixtures("scanned")
    def test_one_that_may_not_be_written_is_an_error_with_a_command(
        self, library_path: Path, what: str
    ) -> None:
        (library_path if what == "file" else library_path.parent).chmod(0o400 if what == "file" else 0o500)
        told = mlib("doctor", "--json", library=library_path, code=3, prefix=UNPRIVILEGED).json
        [wrong] = [check for check in told["checks"] if check["state"] == "error"]
        subprocess.run(wrong["mend"], shell=True, check=True)
        told = mlib("doctor", "--json", library=library_path, prefix=UNPRIVILEGED).json
        assert {check["name"]: check["state"] for check in told["checks"]}["permissions"] == "ok"

    @pytest.mark.usefixtures("scanned")
    def test_roots_are_looked_at(self, library_path: Path, tmp_path: Path) -> None:
        (tmp_path / "loras" / "inner").mkdir()
        mlib_here("scan", "--root", f"vae={tmp_path / 'loras' / 'inner'}", library=library_path, code=None)
        (tmp_path / "gone").mkdir()
        mlib_here("scan", "--root", f"vae={tmp_path / 'gone'}", library=library_path, code=None)
        (tmp_path / "gone").rmdir()
        told = [c["message"] for c in mlib_here("doctor", "--json", library=library_path).json["checks"]
                if c["name"] == "roots"]  # fmt: skip
        assert any(message.startswith("absent: ") for message in told)
        assert any(" is inside " in message for message in told)

    @pytest.mark.parametrize("added", ["link", "folder"])
    def test_a_folder_that_is_known_twice_is_mended_for_good(
        self, library_path: Path, tmp_path: Path, added: str
    ) -> None:
        """A folder of a ComfyUI would be back with the next scan."""
        folder, link = tmp_path / "ComfyUI" / "models" / "loras", tmp_path / "link"
        write_model(folder / "a.safetensors")
        link.symlink_to(folder)
        if added == "folder":
            (tmp_path / "ComfyUI" / "models").rename(tmp_path / "elsewhere")
            (tmp_path / "ComfyUI" / "models").symlink_to(tmp_path / "elsewhere")
            link = tmp_path / "elsewhere" / "loras"
            mlib_here("scan", "--root", f"loras={link}", library=library_path)
        mlib_here("scan", "--comfyui", tmp_path / "ComfyUI", library=library_path)
        if added == "link":
            mlib_here("roots", "add", f"loras={link}", library=library_path)

        def wrong() -> list[dict[str, Any]]:
            mlib_here("scan", library=library_path)
            told = mlib_here("doctor", "--json", library=library_path).json["checks"]
            return [check for check in told if check["name"] == "roots" and check["state"] == "warning"]

        (check,) = wrong()
        assert check["mend"] == f"mlib roots remove {link} --library {library_path}"
        mlib_here(*check["mend"].split()[1:])
        assert wrong() == []
        assert mlib_here("missing", library=library_path).out == ""


@pytest.mark.usefixtures("scanned")
def test_stats_add_up(library_path: Path) -> None:
    told = mlib_here("stats", "--json", library=library_path).json
    assert (told["total"]["models"], told["total"]["files"], told["total"]["missing"]) == (2, 2, 0)
    assert told["tags"] == [{"tag": "keep", "models": 1}]
    assert mlib_here("stats", "--json", "--by", "tag", library=library_path).json["tags"][0]["files"] == 1
    assert mlib_here("stats", "--by", "type", library=library_path).out.startswith("type\tloras\t2\t2\t")
    (root,) = mlib_here("stats", "--json", "--by", "root", library=library_path).json["roots"]
    assert (root["models"], root["files"], root["missing"], root["findings"]) == (2, 2, 0, 0)
    cells = mlib_here("stats", "--by", "root", library=library_path).out.split("\t")
    assert cells[0] == "root"
    assert cells[2:4] == ["2", "2"]
    for by in ("type", "base", "tag", "root"):
        _, shown = on_terminal("stats", "--by", by, library=library_path, env={"NO_COLOR": "1"})
        title, heads, *_ = shown.split("\n")[1].partition("models")
        assert (title.strip(), heads) == (by.replace("base", "base model"), "models")
        assert "#####" in shown


@pytest.mark.usefixtures("scanned")
def test_another_process_gives_the_same_export(library_path: Path) -> None:
    assert mlib("export", library=library_path).stdout == mlib_here("export", library=library_path).stdout


def test_csv_begins_with_the_mark_that_spreadsheets_go_by(
    library_path: Path, library: Library, tmp_path: Path
) -> None:
    put_model(library, name="é")
    mark = b"\xef\xbb\xbf"
    out = tmp_path / "a.csv"
    mlib_here("export", "--format", "csv", "-o", out, library=library_path)
    assert out.read_bytes().startswith(mark + b"sha256,")
    piped = mlib_here("export", "--format", "csv", library=library_path).stdout
    assert piped == out.read_bytes()
    plain = mlib_here("export", "--format", "csv", "--no-bom", library=library_path).stdout
    assert mark + plain == piped
    mlib_here("export", "--no-bom", library=library_path, code=2)


def test_an_import_that_ignores_conflicts_changes_nothing_of_a_known_model(
    library_path: Path, library: Library, tmp_path: Path
) -> None:
    put_model(library, notes="mine")
    other = tmp_path / "other.db"
    with open_library(str(other), mode="create") as theirs:
        put_model(theirs, notes="mine")
        with theirs.transaction():
            model = models.get(theirs, SHA)
            assert model is not None
            models.put(theirs, [model._replace(base_model="SDXL 1.0", description="theirs")])
        put_files(theirs, known_file("/m/theirs.safetensors", SHA))
    before = dump(library.path)
    options = ("--from", other, "--on-conflict", "ignore", "--json")
    assert mlib_here("import", *options, library=library_path).json["conflict"] == []
    assert dump(library.path) == before
