"""An older manager's database becomes models and pending imports, as `mlib import --from` does it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.inprocess import mlib_here
from tests.legacy_databases import CREATED_AT, hikaze1, hikaze2
from tests.libraries import OTHER, SHA, THIRD, dump, known_file, put_files, put_model, put_pending, scan_roots
from tests.tools import write_model

from mlib.core.errors import MlibError
from mlib.db import files, models, pending, tags
from mlib.db.library import open_library
from mlib.services.importing.from_legacy import stage_legacy
from mlib.services.resolving import Target
from mlib.services.updating import parse_edit, update

if TYPE_CHECKING:
    from mlib.core.records import Model, Pending
    from mlib.db.library import Library

DATA_URI = "data:image/png;base64," + "iVBORw0KGgoAAAANSUhEUgAA" * 20
SCHEMAS = pytest.mark.parametrize("schema", [1, 2], ids=["hikaze1", "hikaze2"])


def old_database(folder: Path, schema: int, rows: list[dict[str, Any]]) -> str:
    """A database of either schema with these rows; `sha` and `json` go where that schema keeps them."""
    path = folder / f"old{schema}.db"
    if schema == 1:
        return hikaze1(path, [renamed(row, sha="hash_hex", json="extra") for row in rows])
    named = [renamed(row, sha="sha256", json="meta") for row in rows]
    return hikaze2(
        path,
        [row for row in named if len(row.get("sha256") or "") == 64],
        pending=[row for row in named if len(row.get("sha256") or "") != 64],
    )


def renamed(row: dict[str, Any], **names: str) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in row.items()}


def model(library: Library, sha256: str = SHA) -> Model:
    found = models.get(library, sha256)
    assert found is not None
    return found


def meta(library: Library, sha256: str = SHA) -> Any:
    return json.loads(models.meta(library, sha256) or "{}")


def waiting(library: Library) -> Pending:
    """The one pending import there is."""
    (pending_id,) = pending.ids(library)
    found = pending.get(library, pending_id)
    assert found is not None
    return found


def import_from(library: Library, database: str, *options: str, code: int = 0) -> Any:
    return mlib_here(
        "import", "--from", database, "--json", *options, library=Path(library.path), code=code
    ).json


@SCHEMAS
class TestBothSchemas:
    def test_a_row_with_a_valid_hash_becomes_a_model(
        self, library: Library, tmp_path: Path, schema: int
    ) -> None:
        row = {
            "path": "/m/loras/mira.safetensors",
            "name": "Mira 角色",
            "sha": SHA,
            "size_bytes": 37861176,
            "json": {"description": "a face", "community_links": "https://example.org", "images": ["/a.png"]},
            "tags": ["sdxl", "o'brien", "50%"],
        }
        report = import_from(library, old_database(tmp_path, schema, [row]))
        assert [entry["sha256"] for entry in report["success"]] == [SHA]
        found = model(library)
        assert (found.name, found.type, found.description) == ("Mira 角色", "loras", "a face")
        assert (found.size_bytes, found.created_at) == (37861176, CREATED_AT)
        assert tags.of_model(library, SHA) == ("50%", "o'brien", "sdxl")
        assert meta(library) == {"community_links": "https://example.org", "images_count": 1}
        (file,) = files.of_model(library, SHA)
        assert file.path == "/m/loras/mira.safetensors"
        assert file.missing_since is not None

    @pytest.mark.parametrize("sha", ["", "a1" * 5, "z" * 64, f"{SHA} ", "../" * 21 + "x"])
    def test_a_row_without_one_waits_with_its_tags(
        self, library: Library, tmp_path: Path, schema: int, sha: str
    ) -> None:
        row = {"path": "/m/x.safetensors", "sha": sha, "tags": ["Flux", "a, b"], "json": {"description": "d"}}
        report = import_from(library, old_database(tmp_path, schema, [row]))
        assert report["success"] == report["failed"] == []
        assert [entry["path"] for entry in report["waiting"]] == ["/m/x.safetensors"]
        found = waiting(library)
        assert (found.sha256, found.tags, found.description) == (None, ("a, b", "Flux"), "d")

    @pytest.mark.parametrize(
        ("raw", "kept"),
        [
            ("{broken", {"unparsed": "{broken"}),
            ('["a", "b"]', {"value": ["a", "b"]}),
            ('"only text"', {"value": "only text"}),
            ("null", {}),
            ("[" * 5000, {"unparsed": "[" * 5000}),
            ('{"n":12345678901234567890123,"f":1.10}', {"n": 12345678901234567890123, "f": 1.1}),
        ],
        ids=["broken", "list", "text", "null", "deep", "numbers"],
    )
    def test_odd_json_is_kept_and_stops_nothing(
        self, library: Library, tmp_path: Path, schema: int, raw: str, kept: Any
    ) -> None:
        rows: list[dict[str, Any]] = [
            {"path": "/m/1", "sha": OTHER, "json": {"description": "before"}},
            {"path": "/m/2", "sha": SHA, "json": raw},
            {"path": "/m/3", "sha": THIRD, "json": {"description": "after"}},
        ]
        report = import_from(library, old_database(tmp_path, schema, rows))
        assert len(report["success"]) == 3
        assert meta(library) == kept
        assert model(library, THIRD).description == "after"

    @pytest.mark.parametrize(
        ("json_", "count"),
        [
            ({"images": [DATA_URI, DATA_URI]}, 2),
            ({"images": "/media/one.png"}, 1),
            ({"images_count": 9, "images": ["/a.png"]}, 9),
            ({"images": []}, 0),
        ],
    )
    def test_images_are_left_behind_and_their_number_is_kept(
        self, library: Library, tmp_path: Path, schema: int, json_: Any, count: int
    ) -> None:
        row = {
            "path": "/m/1",
            "sha": SHA,
            "json": {"prompts": {"positive": "cat"}, "preview": DATA_URI} | json_,
        }
        import_from(library, old_database(tmp_path, schema, [row]))
        assert meta(library) == {"prompts": {"positive": "cat"}, "images_count": count}
        assert b"iVBORw0KGgo" not in Path(library.path).read_bytes()

    def test_tags_are_matched_by_name_whatever_their_ids_and_case(
        self, library: Library, tmp_path: Path, schema: int
    ) -> None:
        """Fault 59: the same ids mean other tags there; none of ours may change its name or its models."""
        put_model(library, OTHER, tags_=["first", "Flux"])
        row = {"path": "/m/1", "sha": SHA, "tags": ["zzz", "FLUX", "fLUX"]}
        import_from(library, old_database(tmp_path, schema, [row]))
        assert tags.of_model(library, OTHER) == ("first", "Flux")
        assert tags.of_model(library, SHA) == ("Flux", "zzz")

    @pytest.mark.parametrize(
        ("stored", "expected"), [(CREATED_AT, CREATED_AT), (CREATED_AT // 1000, CREATED_AT)]
    )
    def test_times_may_be_seconds_or_milliseconds(
        self, library: Library, tmp_path: Path, schema: int, stored: int, expected: int
    ) -> None:
        import_from(
            library, old_database(tmp_path, schema, [{"path": "/m/1", "sha": SHA, "created_at": stored}])
        )
        assert model(library).created_at == expected

    @pytest.mark.parametrize("path", ["C:\\ComfyUI\\models\\lora.safetensors", "D:/mixed\\slashes/x.ckpt"])
    def test_windows_paths_stay_as_they_are(
        self, library: Library, tmp_path: Path, schema: int, path: str
    ) -> None:
        import_from(library, old_database(tmp_path, schema, [{"path": path, "sha": SHA}]))
        assert [file.path for file in files.of_model(library, SHA)] == [path]
        assert model(library).name == path.replace("\\", "/").rpartition("/")[2]

    def test_a_row_without_a_path_is_a_model_that_lies_nowhere(
        self, library: Library, tmp_path: Path, schema: int
    ) -> None:
        row = {"path": "", "sha": SHA, "name": "", "json": {"description": "kept"}}
        import_from(library, old_database(tmp_path, schema, [row]))
        assert (model(library).name, model(library).description) == (SHA[:10], "kept")
        assert files.of_model(library, SHA) == []

    def test_a_row_with_neither_path_nor_hash_is_reported_and_the_rest_goes_on(
        self, library: Library, tmp_path: Path, schema: int
    ) -> None:
        rows = [{"path": "", "sha": ""}, {"path": "/m/1", "sha": SHA}]
        report = import_from(library, old_database(tmp_path, schema, rows), code=3)
        assert [entry["code"] for entry in report["failed"]] == ["no_path"]
        assert [entry["sha256"] for entry in report["success"]] == [SHA]

    def test_twice_changes_nothing(self, library: Library, tmp_path: Path, schema: int) -> None:
        rows: list[dict[str, Any]] = [
            {"path": "/m/1", "sha": SHA, "json": {"description": "d", "images": ["x"]}, "tags": ["A", "b"]},
            {"path": "/m/2", "sha": OTHER, "name": "Other", "created_at": 0},
            {"path": "/m/3", "sha": "", "json": "[1]", "tags": ["A", "waits"], "created_at": 0},
            {"path": "/m/4", "sha": "abcdef0123", "created_at": 0},
            {"path": "", "sha": ""},
        ]
        database = old_database(tmp_path, schema, rows)
        import_from(library, database, code=3)
        before = dump(library.path)
        again = import_from(library, database, code=3)
        assert {entry["change"] for entry in again["success"]} == {"unchanged"}
        assert dump(library.path) == before

    def test_over_a_library_with_notes_nothing_is_lost(
        self, library: Library, tmp_path: Path, schema: int
    ) -> None:
        """Promise 1, fault 60: the manager this tool replaces wiped name, description and tags here."""
        words: dict[str, Any] = {"name": "Mine", "description": "my words", "notes": "my notes"}
        put_model(library, tags_=["kept"], meta_json='{"seed":1}', **words)
        row = {"path": "/m/1.safetensors", "sha": SHA, "name": "", "json": {"description": ""}, "tags": []}
        import_from(library, old_database(tmp_path, schema, [row]))
        found = model(library)
        assert (found.name, found.description, found.notes) == ("Mine", "my words", "my notes")
        assert tags.of_model(library, SHA) == ("kept",)
        assert meta(library) == {"seed": 1}

    def test_where_both_say_something_it_is_a_conflict(
        self, library: Library, tmp_path: Path, schema: int
    ) -> None:
        put_model(library, description="my words")
        row = {"path": "/m/1.safetensors", "sha": SHA, "json": {"description": "theirs"}, "tags": ["t"]}
        report = import_from(library, old_database(tmp_path, schema, [row]), code=3)
        (conflict,) = report["conflict"]
        assert conflict["differs"] == ["description", "tags"]
        assert model(library).description == "my words"

    def test_what_was_typed_about_a_waiting_row_outlives_the_next_import(
        self, library: Library, tmp_path: Path, schema: int
    ) -> None:
        """Promise 1: a second run of the same import is no reason to forget an edit."""
        row = {"path": "/m/1", "sha": "", "json": {"description": "old", "seed": 1}, "tags": ["theirs"]}
        database = old_database(tmp_path, schema, [row])
        import_from(library, database)
        target = Target(pending_id=waiting(library).id)
        text = {"description": "typed", "notes": "typed too"}
        update(library, [target], parse_edit(text=text, tag=["mine"], put=["seed=2", "extra=3"]))
        before = dump(library.path)
        report = import_from(library, database, code=3)
        assert [(entry["code"], entry["path"]) for entry in report["failed"]] == [("differs", "/m/1")]
        assert dump(library.path) == before


class TestTwins:
    """One content, several rows."""

    def test_an_upper_case_twin_is_the_same_model(self, library: Library, tmp_path: Path) -> None:
        rows = [
            {"path": "/m/1", "sha256": SHA, "meta": {"description": "same"}, "tags": ["a"]},
            {"path": "/m/2", "sha256": SHA.upper(), "meta": {"description": "same"}, "tags": ["A"]},
        ]
        report = import_from(library, hikaze2(tmp_path / "old.db", rows))
        assert {entry["sha256"] for entry in report["success"]} == {SHA}
        assert library.one("SELECT count(*) FROM models") == (1,)
        assert sorted(file.path for file in files.of_model(library, SHA)) == ["/m/1", "/m/2"]

    def test_twins_on_one_path_lose_no_words(self, library: Library, tmp_path: Path) -> None:
        rows = [
            {"path": "/m/1", "sha256": SHA, "meta": {"description": "of the first"}, "tags": ["a"]},
            {"path": "/m/1", "sha256": SHA.upper(), "meta": {"seed": 7}, "tags": ["b"]},
        ]
        import_from(library, hikaze2(tmp_path / "old.db", rows), "--on-conflict", "merge")
        assert model(library).description == "of the first"
        assert meta(library) == {"seed": 7}
        assert tags.of_model(library, SHA) == ("a", "b")

    def test_two_contents_on_one_path_are_two_models(self, library: Library, tmp_path: Path) -> None:
        rows = [{"path": "/m/1", "sha256": SHA}, {"path": "/m/1", "sha256": OTHER}]
        report = import_from(library, hikaze2(tmp_path / "old.db", rows))
        assert {entry["sha256"] for entry in report["success"]} == {SHA, OTHER}

    def test_a_pending_row_with_an_active_rows_path_waits_beside_it(
        self, library: Library, tmp_path: Path
    ) -> None:
        database = hikaze2(
            tmp_path / "old.db",
            [{"path": "/m/1", "sha256": SHA, "tags": ["active"]}],
            pending=[{"path": "/m/1", "tags": ["waits"]}],
        )
        import_from(library, database)
        assert tags.of_model(library, SHA) == ("active",)
        assert waiting(library).tags == ("waits",)

    def test_rows_without_a_hash_on_one_path_lose_no_words(self, library: Library, tmp_path: Path) -> None:
        """SQLite lets that schema's key be NULL, so a path may be there any number of times."""
        database = hikaze2(
            tmp_path / "old.db",
            [{"path": "/m/1", "meta": {"description": "of the first"}}],
            pending=[{"path": "/m/1", "tags": ["of the second"]}],
        )
        import_from(library, database)
        assert (waiting(library).description, waiting(library).tags) == ("of the first", ("of the second",))

    @pytest.mark.parametrize("sha", [SHA, None])
    def test_rows_of_one_path_that_disagree_are_reported(
        self, library: Library, tmp_path: Path, sha: str | None
    ) -> None:
        rows: list[dict[str, Any]] = [
            {"path": "/m/1", "sha256": sha, "meta": {"description": "one"}},
            {"path": "/m/1", "sha256": sha and sha.upper(), "meta": {"description": "two"}, "tags": ["kept"]},
        ]
        database = hikaze2(tmp_path / "old.db", rows)
        for _ in range(2):
            report = import_from(library, database, code=3)
            (failed,) = report["failed"]
            assert failed["code"] == "differs"
            assert "description" in failed["message"]

    def test_orphan_links_are_dropped(self, library: Library, tmp_path: Path) -> None:
        database = hikaze1(
            tmp_path / "old.db",
            [{"id": 1, "path": "/m/1", "hash_hex": SHA, "tags": ["kept"]}],
            orphans=[(1, 999), (999, 1)],
        )
        report = import_from(library, database)
        assert report["failed"] == []
        assert tags.of_model(library, SHA) == ("kept",)


class TestScanCompletes:
    """What waits becomes a model when a scan finds its path, or a file with its hash."""

    def stage(self, library: Library, tmp_path: Path, **row: Any) -> None:
        words = {"meta": {"description": "kept"}, "tags": ["kept"]}
        database = hikaze2(tmp_path / "old.db", pending=[words | row])
        import_from(library, database)

    def test_by_its_path(self, library: Library, tmp_path: Path) -> None:
        sha256 = write_model(tmp_path / "r/a.safetensors")
        self.stage(library, tmp_path, path=str(tmp_path / "r/a.safetensors"), type="checkpoints")
        scan_roots(library, f"loras={tmp_path}/r")
        assert (model(library, sha256).description, model(library, sha256).type) == ("kept", "loras")
        assert tags.of_model(library, sha256) == ("kept",)
        assert pending.ids(library) == []

    def test_by_the_beginning_of_its_hash_where_it_was_moved_meanwhile(
        self, library: Library, tmp_path: Path
    ) -> None:
        sha256 = write_model(tmp_path / "r/new-name.safetensors")
        size = os.path.getsize(tmp_path / "r/new-name.safetensors")
        self.stage(library, tmp_path, path="C:\\old.safetensors", sha256=sha256[:10].upper(), size_bytes=size)
        scan_roots(library, f"loras={tmp_path}/r")
        assert tags.of_model(library, sha256) == ("kept",)
        assert pending.ids(library) == []

    def test_but_not_by_a_hash_of_a_file_of_another_size(self, library: Library, tmp_path: Path) -> None:
        sha256 = write_model(tmp_path / "r/a.safetensors")
        self.stage(library, tmp_path, path="C:\\old.safetensors", sha256=sha256[:10], size_bytes=5)
        scan_roots(library, f"loras={tmp_path}/r")
        assert tags.of_model(library, sha256) == ()
        assert waiting(library).tags == ("kept",)

    def test_two_rows_of_one_path_that_disagree_both_stay(self, library: Library, tmp_path: Path) -> None:
        """Promise 1: neither of two descriptions is dropped."""
        sha256 = write_model(tmp_path / "r/a.safetensors")
        path = str(tmp_path / "r/a.safetensors")
        put_model(library, sha256, description="mine")
        database = hikaze2(
            tmp_path / "old.db",
            [{"path": path, "sha256": sha256, "meta": {"description": "theirs"}}],
            pending=[{"path": path, "meta": {"description": "another"}}],
        )
        import_from(library, database, code=3)
        scan_roots(library, f"loras={tmp_path}/r")
        assert {entry.description for entry in pending.at_path(library, path)} == {"theirs", "another"}
        assert model(library, sha256).description == "mine"

    def test_a_path_scanned_before_needs_no_other_scan(self, library: Library, tmp_path: Path) -> None:
        sha256 = write_model(tmp_path / "r/a.safetensors")
        scan_roots(library, f"loras={tmp_path}/r")
        self.stage(library, tmp_path, path=str(tmp_path / "r/a.safetensors"))
        assert model(library, sha256).description == "kept"

    def test_what_was_typed_about_a_row_comes_along_when_it_is_completed(
        self, library: Library, tmp_path: Path
    ) -> None:
        """Promise 1, where the next import of the same database is what completes it."""
        path = tmp_path / "r/a.safetensors"
        self.stage(library, tmp_path, path=str(path))
        update(library, [Target(pending_id=waiting(library).id)], parse_edit(text={"notes": "typed"}))
        sha256 = write_model(path)
        put_model(library, sha256)
        put_files(library, known_file(str(path), sha256))
        import_from(library, str(tmp_path / "old.db"))
        assert (model(library, sha256).notes, model(library, sha256).description) == ("typed", "kept")

    def test_a_scan_confirms_a_model_that_only_a_row_vouched_for(
        self, library: Library, tmp_path: Path
    ) -> None:
        sha256 = write_model(tmp_path / "r/a.safetensors")
        database = hikaze1(
            tmp_path / "old.db",
            [{"path": "C:\\a.safetensors", "hash_hex": sha256, "tags": ["kept"], "size_bytes": 5}],
        )
        import_from(library, database)
        scan_roots(library, f"loras={tmp_path}/r")
        present = [file.path for file in files.of_model(library, sha256) if file.missing_since is None]
        assert present == [str(tmp_path / "r/a.safetensors")]
        assert model(library, sha256).size_bytes == os.path.getsize(present[0])
        assert tags.of_model(library, sha256) == ("kept",)


class TestStaging:
    def test_a_library_that_holds_something_is_backed_up_first(
        self, library: Library, tmp_path: Path
    ) -> None:
        put_model(library, notes="mine")
        before = dump(library.path)
        backup = stage_legacy(library, hikaze1(tmp_path / "old.db", [{"path": "/m/1"}])).backup
        assert backup is not None
        assert dump(backup) == before

    def test_an_empty_library_needs_no_backup(self, library: Library, tmp_path: Path) -> None:
        assert stage_legacy(library, hikaze1(tmp_path / "old.db", [{"path": "/m/1"}])).backup is None

    @pytest.mark.parametrize("content", [b"", b"SQLite format 3\0" + b"\xff" * 200, b"plain text"])
    def test_a_broken_file_leaves_the_library_alone(
        self, library: Library, tmp_path: Path, content: bytes
    ) -> None:
        """Fault 57."""
        put_pending(library, sha256=None)
        before = dump(library.path)
        broken = tmp_path / "broken.db"
        broken.write_bytes(content)
        with pytest.raises(MlibError):
            stage_legacy(library, str(broken))
        assert dump(library.path) == before
        assert not os.path.exists(os.path.join(os.path.dirname(library.path), "backups"))

    def test_all_of_it_is_staged_or_nothing(self, library: Library, tmp_path: Path) -> None:
        """Promise 11, fault 4: one transaction."""
        with library.transaction():
            library.execute(
                "CREATE TRIGGER no_second BEFORE INSERT ON pending_import WHEN NEW.path = '/m/2'"
                " BEGIN SELECT RAISE(ABORT, 'no room'); END"
            )
        database = hikaze1(tmp_path / "old.db", [{"path": "/m/1", "tags": ["t"]}, {"path": "/m/2"}])
        before = dump(library.path)
        with pytest.raises(MlibError, match="no room"):
            stage_legacy(library, database)
        assert dump(library.path) == before

    def test_the_old_database_and_its_folder_stay_as_they_are(self, library: Library, tmp_path: Path) -> None:
        folder = tmp_path / "old"
        folder.mkdir()
        database = hikaze1(folder / "old.db", [{"path": "/m/1", "hash_hex": SHA}])
        before = (Path(database).read_bytes(), os.stat(database).st_mtime_ns)
        import_from(library, database)
        assert (Path(database).read_bytes(), os.stat(database).st_mtime_ns) == before
        assert os.listdir(folder) == ["old.db"]

    def test_it_makes_a_library_where_there_is_none(self, library_path: Path, tmp_path: Path) -> None:
        database = hikaze1(tmp_path / "old.db", [{"path": "/m/1", "hash_hex": SHA}])
        mlib_here("import", "--from", database, library=library_path)
        with open_library(str(library_path), mode="read") as opened:
            assert models.get(opened, SHA) is not None
