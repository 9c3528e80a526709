"""Bad input gets one line and the right exit code, and nothing is written."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.inprocess import mlib_here
from tests.legacy_databases import hikaze1
from tests.libraries import OTHER, SHA, THIRD, put_model, put_pending, scan_roots, snapshot
from tests.tools import Result, mlib, write_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlib.db.library import Library

#: As root, permissions mean something only without these capabilities.
UNPRIVILEGED = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()


@pytest.fixture
def path(library: Library) -> Path:
    """A library with something to lose, closed."""
    put_model(library, SHA, notes="mine", meta_json='{"images":["x"]}')
    put_model(library, OTHER, name="other")
    put_model(library, SHA[:6] + "0" * 58, name="same beginning")
    put_pending(library, sha256=THIRD)
    library.close()
    return Path(library.path)


def refused(result: Result, *, says: str = "") -> None:
    """One line on standard error, at most one hint, nothing on standard output."""
    assert result.stdout == b""
    first, *rest = result.err.splitlines()
    assert first.startswith("error: ")
    assert says in result.err
    assert [line.split(":")[0] for line in rest] in ([], ["hint"])
    assert "bug in mlib" not in first


class TestRoots:
    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        """A folder with what somebody might name by mistake."""
        place = tmp_path / "place"
        write_model(place / "models/loras/a.safetensors")
        (place / "file").write_text("x")
        (place / "broken-link").symlink_to("nowhere")
        os.mkfifo(place / "fifo")
        (place / "bad.yaml").write_text("a: [1, 2\nb: }")
        (place / "list.yaml").write_text("- a\n- b\n")
        (place / "binary.yaml").write_bytes(b"\x00\xff\xfe" * 50)
        return place

    CASES = pytest.mark.parametrize(
        ("words", "code"),
        [
            (["--root", "loras={}/nowhere"], 5),
            (["--root", "loras={}/file"], 1),
            (["--root", "loras={}/broken-link"], 5),
            (["--root", "loras={}/fifo"], 1),
            (["--root", "{}/models/loras"], 2),
            (["--root", "=x"], 2),
            (["--root", "loras="], 2),
            (["--root", ""], 2),
            (["--comfyui", "{}/nowhere"], 5),
            (["--comfyui", "{}/file"], 1),
            (["--comfyui", ""], 5),
            (["--extra-paths", "{}/nowhere.yaml"], 5),
            (["--extra-paths", "{}/models"], 1),
            (["--extra-paths", "{}/fifo"], 1),
            (["--extra-paths", "{}/bad.yaml"], None),
            (["--extra-paths", "{}/binary.yaml"], None),
            (["--jobs", "0"], 2),
            (["--jobs", "many"], 2),
            (["{}/nowhere"], 1),
            ([], 1),
        ],
    )

    @CASES
    def test_without_a_library_none_is_made(
        self, tmp_path: Path, place: Path, words: list[str], code: int | None
    ) -> None:
        said = [word.format(place) for word in words]
        failed = mlib_here("scan", *said, library=tmp_path / "new/library.db", code=code)
        assert failed.code in (1, 2, 5)
        refused(failed)
        assert not (tmp_path / "new").exists()

    @CASES
    def test_nothing_is_written(self, path: Path, place: Path, words: list[str], code: int | None) -> None:
        before = snapshot(path.parent)
        failed = mlib_here("scan", *[word.format(place) for word in words], library=path, code=code)
        assert failed.code in (1, 2, 5)
        refused(failed)
        assert snapshot(path.parent) == before

    def test_one_bad_root_stops_the_good_ones_too(self, path: Path, place: Path) -> None:
        before = snapshot(path.parent)
        good = f"loras={place}/models/loras"
        refused(mlib_here("scan", "--root", good, "--root", f"vae={place}/nowhere", library=path, code=5))
        assert snapshot(path.parent) == before

    def test_an_unreadable_root_is_a_problem_and_nothing_in_it_is_lost(
        self, library: Library, place: Path
    ) -> None:
        root = place / "models/loras"
        scan_roots(library, f"loras={root}")
        before = library.all("SELECT * FROM files")
        root.chmod(0)
        done = mlib("scan", "--json", library=Path(library.path), prefix=UNPRIVILEGED, code=None)
        root.chmod(0o755)
        assert done.code == 3
        assert done.json["offline_roots"] == [str(root)]
        assert library.all("SELECT * FROM files") == before


class TestRefs:
    CASES: tuple[tuple[list[str], int, str], ...] = (
        (["xyz!"], 5, "no model matches"),
        (["a1"], 5, "too short"),
        ([SHA[:6]], 5, "more than one"),
        (["dead" * 16], 5, "no model matches"),
        (["pending:77"], 5, "no pending import 77"),
        ([""], 2, "empty"),
        (["-", "-"], 2, "read only once"),
        (["file.safetensors", "no such"], 5, "no model matches"),
        (["/no/such/path.safetensors"], 5, "no model matches"),
        (["x" * 100_000], 5, "no model matches"),
    )

    @pytest.mark.parametrize(
        "command", [["show"], ["update", "--notes", "new"], ["clean-meta"]], ids=" ".join
    )
    @pytest.mark.parametrize(("refs", "code", "says"), CASES)
    def test_a_ref_that_leads_nowhere(
        self, path: Path, command: list[str], refs: list[str], code: int, says: str
    ) -> None:
        before = snapshot(path.parent)
        refused(mlib_here(*command, *refs, library=path, code=code), says=says)
        assert snapshot(path.parent) == before

    @pytest.mark.parametrize("command", [["show"], ["update", "--notes", "new"], ["clean-meta"], ["import"]])
    @pytest.mark.parametrize("stdin", [b"\xff\xfe\n", b"file\n\x80", SHA.encode("utf-16")])
    def test_standard_input_that_is_no_utf8(self, path: Path, command: list[str], stdin: bytes) -> None:
        before = snapshot(path.parent)
        refused(mlib_here(*command, "-", library=path, stdin=stdin, code=2), says="not UTF-8")
        assert snapshot(path.parent) == before

    def test_a_nul_on_standard_input(self, path: Path) -> None:
        refused(mlib_here("show", "-", library=path, stdin=b"a\0b\n", code=5))

    def test_a_folder_one_stands_in_that_is_gone(self, path: Path, tmp_path: Path) -> None:
        script = f'cd "$(mktemp -d -p "{tmp_path}")" && rmdir "$PWD" && exec "$@"'
        prefix = ("sh", "-c", script, "sh")
        refused(mlib("show", "nothing-like-it", library=path, prefix=prefix, code=1), says="no longer exists")
        assert mlib("show", SHA, "-q", library=path, prefix=prefix).out == f"{SHA}\n"


class TestDatabases:
    """What `import --from` is given."""

    @pytest.mark.parametrize(
        "make",
        [
            lambda _: None,
            lambda file: file.mkdir(),
            os.mkfifo,
            lambda file: file.touch(),
            lambda file: file.write_bytes(os.urandom(9000)),
            lambda file: file.write_bytes(
                Path(hikaze1(f"{file}.whole", [{"path": "/m/1"}])).read_bytes()[:5000]
            ),
            lambda file: sqlite(file, "CREATE TABLE something (else_)"),
            lambda file: sqlite(file, "CREATE VIEW models AS SELECT 1 AS hash_hex, 2 AS extra_json"),
        ],
        ids=["absent", "directory", "fifo", "empty", "random", "truncated", "other", "view"],
    )
    @pytest.mark.parametrize("exists", [True, False])
    def test_that_are_none(
        self, path: Path, tmp_path: Path, make: Callable[[Path], object], exists: bool
    ) -> None:
        """Fault 57."""
        make(tmp_path / "old.db")
        library = path if exists else tmp_path / "new/library.db"
        before = snapshot(library.parent)
        code = 1 if os.path.lexists(tmp_path / "old.db") else 5
        refused(mlib_here("import", "--from", tmp_path / "old.db", library=library, code=code))
        assert snapshot(library.parent) == before

    def test_the_library_itself(self, path: Path) -> None:
        before = snapshot(path.parent)
        refused(mlib_here("import", "--from", path, library=path, code=2), says="library itself")
        assert snapshot(path.parent) == before

    def test_a_device(self, path: Path) -> None:
        refused(mlib_here("import", "--from", "/dev/zero", library=path, code=1))


COMMANDS = pytest.mark.parametrize(
    "words",
    [
        ["show", SHA],
        ["update", SHA, "--notes", "new"],
        ["import"],
        ["clean-meta"],
        ["scan", "--root", "loras=."],
    ],
    ids=lambda words: words[0],
)


class TestLibrary:
    @COMMANDS
    @pytest.mark.parametrize(
        ("make", "code"),
        [
            (lambda file: file.write_bytes(b"not SQLite at all, only text " * 99), 1),
            (lambda file: sqlite(file, "CREATE TABLE models (id)"), 1),
            (lambda file: sqlite(file, "PRAGMA journal_mode = WAL; CREATE TABLE t (a)"), 1),
            (lambda file: file.mkdir(), 1),
            (os.mkfifo, 1),
        ],
        ids=["text", "stranger", "wal", "directory", "fifo"],
    )
    def test_that_is_none(
        self, tmp_path: Path, words: list[str], make: Callable[[Path], object], code: int
    ) -> None:
        place = tmp_path / "place"
        place.mkdir()
        make(place / "library.db")
        before = shape(place)
        refused(mlib_here(*words, library=place / "library.db", code=code))
        assert shape(place) == before

    @COMMANDS
    def test_corrupt(self, path: Path, words: list[str]) -> None:
        content = path.read_bytes()
        path.write_bytes(content[:100] + b"\xff" * (len(content) - 100))
        before = snapshot(path.parent)
        refused(mlib_here(*words, library=path, code=1), says="hint: ")
        assert snapshot(path.parent) == before

    @COMMANDS
    def test_newer(self, path: Path, words: list[str]) -> None:
        """Fault 68."""
        sqlite(path, "INSERT INTO _sqlite_migrations (migration_set, name) VALUES ('mlib', 'm999_x')")
        before = snapshot(path.parent)
        refused(mlib_here(*words, library=path, code=4), says="newer mlib")
        assert snapshot(path.parent) == before

    @COMMANDS
    def test_locked(self, path: Path, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
        """Fault 19: a reader goes on, a writer gives up at last."""
        monkeypatch.setattr("mlib.db.connections.BUSY_SECONDS", 0.1)
        before = path.read_bytes()
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            if words[0] == "show":
                mlib_here(*words, library=path)
            else:
                refused(mlib_here(*words, library=path, code=6), says="locked")
        assert path.read_bytes() == before

    @pytest.mark.parametrize("words", [["update", SHA, "--notes", "new"], ["import"], ["clean-meta"]])
    def test_read_only(self, path: Path, words: list[str]) -> None:
        """Fault 71."""
        path.chmod(0o400)
        path.parent.chmod(0o500)
        before = snapshot(path.parent)
        failed = mlib(*words, library=path, prefix=UNPRIVILEGED, code=1)
        path.parent.chmod(0o700)
        refused(failed, says=str(path.parent))
        assert snapshot(path.parent) == before

    @pytest.mark.parametrize(
        "words",
        [
            ["show", SHA, "--json"],
            ["clean-meta", "-n", "--json"],
            ["import", "-n", "--json"],
            ["update", SHA, "--query", "name:other", "--notes", "new", "-n", "--json"],
            ["forget", OTHER, "-n", "--json"],
        ],
        ids=" ".join,
    )
    @pytest.mark.parametrize("what", ["file", "folder", "folder with a journal"])
    def test_read_only_is_enough_to_look(self, path: Path, words: list[str], what: str) -> None:
        """A dry run tells the same as of a library that may be written."""
        expected = mlib(*words, library=path).json
        (path.parent / "library.db-journal").unlink(missing_ok=True)
        if what == "folder with a journal":
            (path.parent / "library.db-journal").touch(0o400)
        path.chmod(0o400)
        path.parent.chmod(0o500 if what.startswith("folder") else 0o700)
        before = snapshot(path.parent)
        assert without_times(mlib(*words, library=path, prefix=UNPRIVILEGED).json) == without_times(expected)
        path.parent.chmod(0o700)
        assert snapshot(path.parent) == before

    @pytest.mark.parametrize(
        "words", [["update", SHA, "--notes", "x" * 100_000], ["clean-meta"]], ids=lambda words: words[0]
    )
    def test_a_full_disk(self, path: Path, words: list[str]) -> None:
        """Faults 8 and 9: a limit on the size of files stands for the disk."""
        before = path.read_bytes()
        limit = ("env", "PYTHONDONTWRITEBYTECODE=1", "prlimit", f"--fsize={len(before) // 2}")
        failed = mlib(*words, "--json", library=path, prefix=limit, code=1)
        assert failed.error["code"] in ("disk_full", "backup_failed")
        assert [name for name in os.listdir(path.parent) if name.endswith(".partial")] == []
        assert mlib("show", SHA, "--field", "notes", library=path).out == "mine\n"

    def test_a_first_scan_with_nowhere_to_keep_it(self, tmp_path: Path) -> None:
        (tmp_path / "r").mkdir()
        (tmp_path / "file").touch()
        for library in (tmp_path / "file/library.db", Path("/dev/full/library.db"), Path("/proc/library.db")):
            refused(mlib_here("scan", "--root", f"loras={tmp_path}/r", library=library, code=1))


def without_times(document: dict[str, Any]) -> dict[str, Any]:
    """A document of --json without the moment at which a rehearsal changed a model."""
    models = [{**model, "updated_at": None} for model in document.get("models", [])]
    return {**document, "models": models}


def sqlite(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.executescript(sql)


def shape(place: Path) -> dict[str, bytes | int]:
    """Every name in a folder with its content, or its kind if it is no file."""
    return {
        entry.name: entry.read_bytes() if entry.is_file() else entry.stat().st_mode
        for entry in place.iterdir()
    }


def test_the_capabilities_are_really_gone(tmp_path: Path) -> None:
    """Root ignores permissions: without this the tests above would pass for the wrong reason."""
    (tmp_path / "locked").mkdir(0o500)
    command = [*UNPRIVILEGED, "touch", str(tmp_path / "locked/x")]
    assert subprocess.run(command, check=False, capture_output=True).returncode != 0
