"""What other people's scripts rely on: the JSON documents, the exit codes, and what goes to which stream."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.inprocess import mlib_here
from tests.legacy_databases import hikaze1
from tests.libraries import OTHER, SHA, THIRD, known_file, put_files, put_model, put_pending, scan_roots
from tests.tools import mlib, write_bytes, write_model

if TYPE_CHECKING:
    from mlib.db.library import Library

SHOW = {
    "sha256", "name", "type", "base_model", "size_bytes", "description", "notes", "tags", "present",
    "created_at", "updated_at", "files", "hashes", "meta", "pending",
}  # fmt: skip
FILE = {"path", "loader_name", "present", "missing_since", "size_bytes", "mtime"}
SCAN = {
    "scanned", "unchanged", "added", "moved", "copied", "replaced", "missing", "restored", "pending",
    "pending_ids", "skipped", "hashed_bytes", "seconds", "offline_roots", "problems",
}  # fmt: skip
IMPORT = {"total", "success", "conflict", "ignored", "deleted", "failed"}
CONFLICT = {"id", "sha256", "pending", "existing", "differs"}
UPDATE = {"updated", "unchanged", "models"}
CLEAN = {"examined", "cleaned", "payloads_removed", "bytes_before", "bytes_after", "backup", "dry_run"}


@pytest.fixture
def path(library: Library) -> Path:
    """A library with a model, another in conflict with a pending import, and one that waits."""
    put_model(library, SHA, name="one", tags_=["a"], meta_json='{"n":1.10,"big":12345678901234567890123}')
    put_files(library, known_file("/m/one"), known_file("/m/gone", missing_since=1))
    put_model(library, OTHER, notes="mine")
    put_pending(library, "/m/conflict", sha256=OTHER, notes="theirs")
    put_pending(library, "/m/waits", sha256=None)
    return Path(library.path)


class TestDocuments:
    """One JSON document, with at least the keys of the contract."""

    def test_show_of_one_model_is_an_object(self, path: Path) -> None:
        shown = mlib_here("show", "one", "--json", library=path).json
        assert shown.keys() >= SHOW
        assert (shown["sha256"], shown["tags"], shown["present"], shown["pending"]) == (
            SHA,
            ["a"],
            True,
            False,
        )
        assert [file.keys() >= FILE for file in shown["files"]] == [True, True]
        assert [file["present"] for file in shown["files"]] == [True, False]
        assert shown["hashes"]["sha256"] == SHA
        assert shown["hashes"]["autov2"] == SHA[:10]

    def test_times_are_iso_8601_in_utc(self, path: Path) -> None:
        shown = mlib_here("show", "one", "--json", library=path).json
        assert shown["created_at"] == shown["updated_at"] == "2020-09-13T12:26:40Z"
        assert shown["files"][1]["missing_since"] == "1970-01-01T00:00:00Z"

    def test_numbers_in_metadata_stay_as_they_are_written(self, path: Path) -> None:
        assert (
            '"meta":{"n":1.10,"big":12345678901234567890123}'
            in mlib_here("show", "one", "--json", library=path).out
        )

    @pytest.mark.parametrize(
        ("refs", "stdin", "count"),
        [(["one", OTHER], b"", 2), (["one", SHA], b"", 1), (["-"], b"one\n", 1), (["-"], b"", 0)],
    )
    def test_show_of_several_refs_is_a_list(
        self, path: Path, refs: list[str], stdin: bytes, count: int
    ) -> None:
        shown = mlib_here("show", *refs, "--json", library=path, stdin=stdin).json
        assert isinstance(shown, list)
        assert len(shown) == count

    def test_show_of_a_pending_import_is_alike(self, path: Path) -> None:
        shown = mlib_here("show", "pending:2", "--json", library=path).json
        assert shown.keys() >= SHOW
        assert (shown["pending"], shown["sha256"], shown["hashes"], shown["files"]) == (True, None, {}, [])

    def test_scan(self, path: Path, tmp_path: Path) -> None:
        sha256 = write_model(tmp_path / "r/new.safetensors")
        write_bytes(tmp_path / "r/empty.safetensors", b"")
        done = mlib_here("scan", "--root", f"loras={tmp_path}/r", "--json", library=path).json
        assert done.keys() >= SCAN
        assert (done["added"], done["skipped"], done["problems"]) == (1, 1, [])
        assert done["hashed_bytes"] == (tmp_path / "r/new.safetensors").stat().st_size
        assert mlib_here("show", sha256, "--json", library=path).json["files"][0]["loader_name"] == (
            "new.safetensors"
        )

    def test_scan_with_a_problem(self, path: Path, tmp_path: Path) -> None:
        (tmp_path / "r").mkdir()
        (tmp_path / "r/broken.ckpt").symlink_to("nowhere")
        done = mlib_here("scan", "--root", f"loras={tmp_path}/r", "--json", library=path, code=3).json
        (problem,) = done["problems"]
        assert problem.keys() >= {"path", "code", "message"}
        assert problem["path"] == f"{tmp_path}/r/broken.ckpt"

    def test_scan_that_stages(self, path: Path, tmp_path: Path) -> None:
        write_model(tmp_path / "r/new.safetensors")
        done = mlib_here("scan", "--root", f"loras={tmp_path}/r", "--stage", "--json", library=path).json
        assert (done["pending"], len(done["pending_ids"]), done["added"]) == (1, 1, 0)

    def test_update(self, path: Path) -> None:
        done = mlib_here("update", "one", OTHER, "--notes", "mine", "--json", library=path).json
        assert done.keys() >= UPDATE
        assert (done["updated"], done["unchanged"]) == (1, 1)
        assert [model["sha256"] for model in done["models"]] == [SHA, OTHER]
        assert all(model.keys() >= SHOW for model in done["models"])

    def test_import(self, path: Path, library: Library) -> None:
        put_pending(library, "/m/new", sha256=THIRD)
        put_pending(library, "/m/bad", sha256=THIRD, meta_json="[]")
        done = mlib_here("import", "--json", library=path, code=3).json
        assert done.keys() >= IMPORT
        assert done["total"] == 4
        assert [entry.keys() >= {"id", "sha256"} for entry in done["success"]] == [True]
        (conflict,) = done["conflict"]
        assert conflict.keys() >= CONFLICT
        assert (conflict["pending"]["notes"], conflict["existing"]["notes"]) == ("theirs", "mine")
        assert conflict["differs"] == ["notes"]
        (failed,) = done["failed"]
        assert failed.keys() >= {"id", "path", "code", "message"}

    @pytest.mark.parametrize(("strategy", "listed"), [("ignore", "ignored"), ("delete", "deleted")])
    def test_import_names_what_it_ignored_or_deleted(self, path: Path, strategy: str, listed: str) -> None:
        done = mlib_here("import", "1", "--on-conflict", strategy, "--json", library=path).json
        assert done[listed] == [1]
        assert done["total"] == 1

    def test_clean_meta(self, path: Path) -> None:
        done = mlib_here("clean-meta", "--json", library=path).json
        assert done.keys() >= CLEAN
        assert (done["examined"], done["cleaned"], done["backup"], done["dry_run"]) == (1, 0, None, False)

    @pytest.mark.parametrize(
        "words", [["import"], ["clean-meta"], ["show", "-"], ["update", "-", "--tag", "x"]]
    )
    def test_there_is_a_document_also_when_there_is_nothing_to_say(
        self, library: Library, words: list[str]
    ) -> None:
        done = mlib_here(*words, "--json", library=Path(library.path))
        assert done.stdout.endswith(b"\n")
        assert done.stdout.count(b"\n") == 1
        json.loads(done.stdout)

    @pytest.mark.parametrize(
        "words", [["update", "one", "--notes", "x"], ["import"], ["clean-meta"], ["scan"]], ids=lambda w: w[0]
    )
    def test_a_dry_run_has_the_same_shape(
        self, path: Path, library: Library, tmp_path: Path, words: list[str]
    ) -> None:
        write_model(tmp_path / "r/new.safetensors")
        scan_roots(library, f"loras={tmp_path}/r")
        code = 3 if words == ["import"] else 0
        rehearsed = mlib_here(*words, "-n", "--json", library=path, code=code).json
        done = mlib_here(*words, "--json", library=path, code=code).json
        assert rehearsed.keys() == done.keys()

    def test_names_that_are_no_utf8_come_back_as_the_bytes_they_are(
        self, library: Library, tmp_path: Path
    ) -> None:
        raw = b"a\xff\n.safetensors"
        sha256 = write_model(tmp_path / "r" / raw.decode("utf-8", "surrogateescape"), "any")
        scan_roots(library, f"loras={tmp_path}/r")
        done = mlib_here("show", sha256, "--json", library=Path(library.path))
        done.stdout.decode("ascii")
        name = done.json["files"][0]["loader_name"]
        assert name.encode("utf-8", "surrogateescape") == raw


class TestErrors:
    """Exit codes, and one line that says why."""

    CASES: tuple[tuple[list[str], int, str], ...] = (
        (["show", "nothing-like-it"], 5, "model_not_found"),
        (["show", "abc"], 5, "ref_too_short"),
        (["show", "pending:99"], 5, "pending_not_found"),
        (["show", "file.safetensors"], 5, "ambiguous_ref"),
        (["import", "99"], 5, "pending_not_found"),
        (["update", "one"], 2, "nothing_to_do"),
        (["update", "one", "--type", "nonsense"], 2, "unknown_type"),
        (["show"], 2, "usage"),
        (["show", "one", "--nonsense"], 2, "usage"),
        (["nonsense"], 2, "usage"),
        (["import", "--on-conflict", "nonsense"], 2, "usage"),
        (["scan", "--root", "loras=/nowhere/at/all"], 5, "no_such_directory"),
        (["import", "--from", "/nowhere/at/all"], 5, "no_such_file"),
    )

    @pytest.fixture
    def two_of_a_name(self, library: Library) -> Path:
        put_model(library, SHA, name="one")
        put_model(library, OTHER)
        put_model(library, THIRD)
        return Path(library.path)

    @pytest.mark.parametrize(("words", "code"), [(words, code) for words, code, _ in CASES])
    def test_as_text(self, two_of_a_name: Path, words: list[str], code: int) -> None:
        failed = mlib_here(*words, library=two_of_a_name, code=code)
        assert failed.stdout == b""
        first, *rest = failed.err.splitlines()
        assert first.startswith("error: ")
        assert all(line.startswith("hint: ") for line in rest)
        assert len(rest) <= 1

    @pytest.mark.parametrize(("words", "code", "name"), CASES)
    def test_as_json(self, two_of_a_name: Path, words: list[str], code: int, name: str) -> None:
        failed = mlib_here(*words, "--json", library=two_of_a_name, code=code)
        assert failed.stdout == b""
        assert failed.error.keys() >= {"code", "message", "hint"}
        assert failed.error["message"]
        assert name in ("", failed.error["code"])

    def test_a_word_json_that_is_a_value_is_none(self, two_of_a_name: Path) -> None:
        failed = mlib_here("update", "--notes", "x", "--", "--json", library=two_of_a_name, code=5)
        assert failed.err.startswith("error: ")


class TestQuiet:
    """Only identifiers, a line each."""

    def test_show(self, path: Path) -> None:
        assert mlib_here("show", "-q", "one", OTHER, "pending:2", library=path).out.split() == [
            SHA,
            OTHER,
            "pending:2",
        ]

    def test_update(self, path: Path) -> None:
        done = mlib_here("update", "-q", "one", "--notes", "x", library=path)
        assert (done.out, done.err) == (f"{SHA}\n", "")

    def test_import(self, path: Path, library: Library) -> None:
        put_pending(library, "/m/new", sha256=THIRD)
        done = mlib_here("import", "--quiet", library=path, code=3)
        assert done.out == f"{THIRD}\n"
        # What the exit code speaks of, as cron would mail it.
        assert [line.split(":")[0] for line in done.err.splitlines()] == ["conflict", "hint"]
        done = mlib_here("import", "--quiet", "2", library=path, code=3)
        assert (done.out, done.err) == ("", "waiting for a scan to find its file: pending:2: /m/waits\n")

    def test_scan(self, path: Path, tmp_path: Path) -> None:
        sha256 = write_model(tmp_path / "r/new.safetensors")
        done = mlib_here("scan", "-q", "--root", f"loras={tmp_path}/r", library=path)
        assert (done.out, done.err) == (f"{sha256}\n", "")

    def test_what_it_prints_another_command_reads(self, path: Path) -> None:
        ids = mlib_here("show", "-q", "one", OTHER, library=path).stdout
        assert (
            mlib_here("update", "-", "--tag", "seen", "--json", library=path, stdin=ids).json["updated"] == 2
        )


class TestPipes:
    """Not a terminal: tab-separated, whole, and no escape sequence."""

    LONG = "word " * 200

    @pytest.mark.parametrize(
        ("words", "code"),
        [
            (["show", "one"], 0),
            (["show", "one", "--meta"], 0),
            (["update", "one", "--tag", "new"], 0),
            (["import"], 3),
            (["clean-meta"], 0),
            (["--help"], 0),
            (["show", "--help"], 0),
        ],
    )
    def test_nothing_steers_a_terminal(self, path: Path, words: list[str], code: int) -> None:
        done = mlib_here(*words, library=path, code=code)
        assert b"\x1b" not in done.stdout + done.stderr

    def test_rows_are_tab_separated_and_untruncated(self, path: Path) -> None:
        mlib_here("update", "one", "--notes", self.LONG, "--tag", "a\tb", library=path)
        rows = [line.split("\t") for line in mlib_here("show", "one", library=path).out.splitlines()]
        assert ["notes", self.LONG.strip()] in rows
        assert ["file", "/m/one", "", "offline"] in rows
        assert [row[1] for row in rows if row[0] == "tag"] == ["a", "a b"]

    def test_a_tab_or_line_end_within_a_value_breaks_no_row(self, path: Path) -> None:
        mlib_here("update", "one", "--notes", "two\tcells\nthree", library=path)
        assert "notes\ttwo\\tcells\\nthree\n" in mlib_here("show", "one", library=path).out

    def test_what_is_for_a_person_goes_to_the_other_stream(self, path: Path, tmp_path: Path) -> None:
        done = mlib_here("import", "--from", hikaze1(tmp_path / "old.db", []), library=path, code=3)
        assert all("\t" in line for line in done.out.splitlines())
        assert "imported" in done.err


def test_the_program_as_it_is_installed_keeps_the_contract(path: Path) -> None:
    """What the other tests see within this process is what a process of its own gives."""
    here: Any = mlib_here("show", "one", "--json", library=path)
    there = mlib("show", "one", "--json", library=path)
    assert (there.stdout, there.stderr) == (here.stdout, here.stderr)
    assert (
        mlib("show", "nothing", library=path, code=5).err
        == mlib_here("show", "nothing", library=path, code=5).err
    )
