"""Reading older managers' databases: usable rows come out word for word, and nothing in them can hurt."""

from __future__ import annotations

import math
import os
import random
import re
import shutil
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.legacy_databases import (
    CREATED_AT,
    HIKAZE1_SCHEMA,
    HIKAZE2_SCHEMA,
    RawText,
    hikaze1,
    hikaze2,
)

from mlib.core.errors import MlibError
from mlib.db.legacy import BadRow, LegacyDatabase, LegacyRow, read_legacy

SHA = "0123456789abcdef" * 4
OTHER = "fedcba9876543210" * 4
#: Takes half a minute or so, in one call that SQLite cannot interrupt.
STUCK = "instr(zeroblob(2000000), zeroblob(200000) || 'x')"
ENDLESS_VIEW = (
    "CREATE VIEW models(id, path, hash_hex, extra_json) AS"
    " WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i, '/a', '', '' FROM n"
)
REFUSALS = {
    "corrupt_database",
    "database_too_big",
    "not_a_database",
    "own_library",
    "unknown_database",
}
# The tables of both managers with every constraint gone, to hold what the real ones would refuse.
LOOSE1, LOOSE2 = (
    re.sub(r"( TEXT| INTEGER)( NOT NULL| UNIQUE)*(?=[,\n])| UNIQUE| NOT NULL|CREATE INDEX.*", "", schema)
    for schema in (HIKAZE1_SCHEMA, HIKAZE2_SCHEMA)
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with nothing in it but what the test puts there."""
    made = tmp_path / "folder"
    made.mkdir()
    return made


def one(found: LegacyDatabase) -> LegacyRow:
    assert not found.bad
    (row,) = found.rows
    return row


def only_bad(found: LegacyDatabase) -> BadRow:
    assert not found.rows
    (bad,) = found.bad
    return bad


def refusal(path: str, **options: Any) -> MlibError:
    with pytest.raises(MlibError) as caught:
        read_legacy(path, **options)
    return caught.value


def sqlite_file(path: Path, sql: str) -> str:
    with closing(sqlite3.connect(path)) as db:
        db.executescript(sql)
    return str(path)


class TestHikaze1:
    def test_an_ordinary_row_comes_out_word_for_word(self, folder: Path) -> None:
        path = hikaze1(
            folder / "x.sqlite3",
            [
                {
                    "path": "D:\\ComfyUI\\models\\loras\\char\\mira_v1.safetensors",
                    "hash_hex": SHA,
                    "type": "loras",
                    "size_bytes": 37861176,
                    "extra": {"description": "角色 LoRA ✨", "images": ["/media/a.png"]},
                    "tags": ["sd15", "角色", "o'brien", "50%"],
                }
            ],
        )
        found = read_legacy(path)
        assert found.kind == "hikaze1"
        assert one(found) == LegacyRow(
            path="D:\\ComfyUI\\models\\loras\\char\\mira_v1.safetensors",
            sha=SHA,
            name="mira_v1.safetensors",
            type="loras",
            size_bytes=37861176,
            created_at=CREATED_AT,
            meta_texts=('{"description": "角色 LoRA ✨", "images": ["/media/a.png"]}',),
            tags=("sd15", "角色", "o'brien", "50%"),
            pending=False,
            row="models 1",
        )

    def test_rows_come_by_id(self, folder: Path) -> None:
        path = hikaze1(folder / "x", [{"id": n, "path": f"/{n}"} for n in (17, 3, -4, 2**63 - 1, 40)])
        assert [row.row for row in read_legacy(path).rows] == [
            "models -4",
            "models 3",
            "models 17",
            "models 40",
            f"models {2**63 - 1}",
        ]

    @pytest.mark.parametrize(
        "sha", ["", "a48e459e02", SHA.upper(), "z" * 64, f" {SHA} ", "../" * 21 + "x", "x" * 200]
    )
    def test_a_hash_of_any_shape_is_kept_as_found(self, folder: Path, sha: str) -> None:
        assert one(read_legacy(hikaze1(folder / "x", [{"path": "/a", "hash_hex": sha}]))).sha == sha

    def test_an_endless_hash_is_cut(self, folder: Path) -> None:
        found = read_legacy(hikaze1(folder / "x", [{"path": "/a", "hash_hex": "a" * 5000}]))
        assert one(found).sha == "a" * 200

    @pytest.mark.parametrize(
        "text", ['{"description": "cut off, "images": [', "null", "[1]", '"note"', "\x00", "[" * 5000]
    )
    def test_json_of_any_kind_is_kept_unparsed(self, folder: Path, text: str) -> None:
        row = one(read_legacy(hikaze1(folder / "x", [{"path": "/a", "extra": text}])))
        assert row.meta_texts == (text,)

    def test_both_json_columns_come_in_order_and_empty_ones_are_left_out(self, folder: Path) -> None:
        path = hikaze1(
            folder / "x",
            [
                {"path": "/both", "meta": {"a": 1}, "extra": {"b": 2}},
                {"path": "/none", "meta": None, "extra": None},
                {"path": "/empty", "meta": "", "extra": " \n"},
                {"path": "/second", "meta": "", "extra": {"b": 2}},
            ],
        )
        assert [row.meta_texts for row in read_legacy(path).rows] == [
            ('{"a": 1}', '{"b": 2}'),
            (),
            (),
            ('{"b": 2}',),
        ]

    def test_a_large_cell_is_no_trouble(self, folder: Path) -> None:
        text = '{"images": ["data:image/png;base64,' + "iVBOR" * 1_000_000 + '"]}'
        assert one(read_legacy(hikaze1(folder / "x", [{"path": "/a", "extra": text}]))).meta_texts == (text,)

    def test_unset_fields_are_empty(self, folder: Path) -> None:
        rows = [{"path": "", "name": None, "type": "", "size_bytes": None, "created_at": 0}]
        row = one(read_legacy(hikaze1(folder / "x", rows)))
        assert (row.path, row.name, row.type, row.size_bytes, row.created_at) == ("", "", "", None, None)

    def test_copies_and_spellings_of_one_file_stay_apart(self, folder: Path) -> None:
        paths = [
            "D:\\loras\\a.safetensors",
            "d:/loras/a.safetensors",
            "D:\\LORAS\\A.safetensors",
            "/l/a.safetensors",
        ]
        path = hikaze1(folder / "x", [{"path": path, "hash_hex": SHA} for path in paths])
        assert [row.path for row in read_legacy(path).rows] == paths

    def test_tables_and_columns_that_may_be_missing_are_not_missed(self, folder: Path) -> None:
        path = sqlite_file(
            folder / "x",
            "CREATE TABLE Models (extra_json, Hash_Hex, surplus, path, id INTEGER PRIMARY KEY);"
            f"INSERT INTO models VALUES ('{{}}', '{SHA}', 'ignored', '/a', 5)",
        )
        row = one(read_legacy(path))
        assert row == LegacyRow(
            path="/a",
            sha=SHA,
            name="",
            type="",
            size_bytes=None,
            created_at=None,
            meta_texts=("{}",),
            tags=(),
            pending=False,
            row="models 5",
        )

    def test_an_empty_database_of_the_manager_has_no_rows(self, folder: Path) -> None:
        assert read_legacy(hikaze1(folder / "x")) == LegacyDatabase("hikaze1", (), ())


class TestHikaze2:
    def test_models_come_before_pending_imports(self, folder: Path) -> None:
        path = hikaze2(
            folder / "x.db",
            [
                {
                    "path": "D:\\m\\b.safetensors",
                    "sha256": SHA,
                    "meta": {"description": "B"},
                    "tags": ["flux", "Flux"],
                },
                {"path": "D:\\m\\a.safetensors", "sha256": OTHER, "size_bytes": 7},
            ],
            pending=[
                {"id": 13, "path": "/m/c.ckpt", "sha256": "", "meta": {"images": []}, "tags": ["flux"]},
                {"id": 4, "path": "/m/d.ckpt", "sha256": SHA[:10], "name": "", "type": None, "created_at": 0},
            ],
        )
        found = read_legacy(path)
        assert found.kind == "hikaze2"
        assert found.bad == ()
        assert [(row.row, row.pending) for row in found.rows] == [
            ("models 1", False),
            ("models 2", False),
            ("pending_import 4", True),
            ("pending_import 13", True),
        ]
        first, second, fourth, third = found.rows
        assert first == LegacyRow(
            path="D:\\m\\b.safetensors",
            sha=SHA,
            name="b.safetensors",
            type="loras",
            size_bytes=1000,
            created_at=CREATED_AT,
            meta_texts=('{"description": "B"}',),
            tags=("flux", "Flux"),
            pending=False,
            row="models 1",
        )
        assert (second.sha, second.size_bytes, second.meta_texts, second.tags) == (OTHER, 7, (), ())
        assert (third.sha, third.meta_texts, third.tags) == ("", ('{"images": []}',), ("flux",))
        assert (fourth.sha, fourth.name, fourth.type, fourth.created_at) == (SHA[:10], "", "", None)

    def test_rows_without_a_key_or_with_twin_keys_all_come_out(self, folder: Path) -> None:
        path = hikaze2(
            folder / "x",
            [
                {"path": "/null", "sha256": None, "tags": ["lost"]},
                {"path": "/null2", "sha256": None},
                {"path": "/lower", "sha256": SHA, "tags": ["low"]},
                {"path": "/upper", "sha256": SHA.upper(), "tags": ["up"]},
                {"path": "/lower", "sha256": OTHER},
            ],
            pending=[{"path": "/lower", "sha256": SHA}],
        )
        assert [(row.path, row.sha, row.tags) for row in read_legacy(path).rows] == [
            ("/null", "", ()),
            ("/null2", "", ()),
            ("/lower", SHA, ("low",)),
            ("/upper", SHA.upper(), ("up",)),
            ("/lower", OTHER, ()),
            ("/lower", SHA, ()),
        ]

    def test_only_models_is_needed(self, folder: Path) -> None:
        drops = "".join(
            f"DROP TABLE {name};"
            for name in ("tags", "model_tags", "pending_model_tags", "pending_import", "db_meta")
        )
        found = read_legacy(hikaze2(folder / "x", [{"path": "/a", "sha256": SHA, "tags": ["t"]}], sql=drops))
        assert found.kind == "hikaze2"
        assert one(found).tags == ()


class TestTags:
    def test_names_follow_the_ids_of_the_old_database(self, folder: Path) -> None:
        path = hikaze1(
            folder / "x",
            [{"path": "/a", "tags": ["style", "sdxl"]}, {"path": "/b", "tags": ["sdxl"]}, {"path": "/c"}],
            tag_ids={"style": 40, "sdxl": 1},
        )
        assert [row.tags for row in read_legacy(path).rows] == [("sdxl", "style"), ("sdxl",), ()]

    def test_a_pending_import_and_a_model_do_not_share_tags_by_number(self, folder: Path) -> None:
        path = hikaze2(
            folder / "x",
            [{"path": "/a", "sha256": "1", "tags": ["model"]}],
            pending=[{"id": 1, "path": "/b", "tags": ["other"]}],
        )
        assert [row.tags for row in read_legacy(path).rows] == [("model",), ("other",)]

    def test_links_that_lead_nowhere_are_dropped(self, folder: Path) -> None:
        path = hikaze1(folder / "x", [{"path": "/a", "tags": ["t"]}], orphans=[(1, 99), (77, 1), (77, 99)])
        assert one(read_legacy(path)).tags == ("t",)
        path = hikaze2(
            folder / "y", [{"path": "/a", "sha256": SHA, "tags": ["t"]}], orphans=[(OTHER, 1), (SHA, 9)]
        )
        assert one(read_legacy(path)).tags == ("t",)

    def test_double_links_and_nameless_tags_do_not_show(self, folder: Path) -> None:
        path = hikaze1(
            folder / "x",
            [{"path": "/a", "tags": ["t", ""]}],
            schema=LOOSE1.replace("PRIMARY KEY (model_id, tag_id)", "CHECK (1)"),
            orphans=[(1, 1), (1, 50)],
            sql="INSERT INTO tags VALUES (50, 't', 0, 0), (51, NULL, 0, 0)",
        )
        assert one(read_legacy(path)).tags == ("t",)

    def test_a_tag_that_is_no_text_is_one_bad_row_and_costs_nothing_else(self, folder: Path) -> None:
        found = read_legacy(
            hikaze1(folder / "x", [{"path": "/a", "tags": ["good", RawText(b"\xff\xfe"), b"blob \xc3\xa9"]}])
        )
        assert found.rows[0].tags == ("good", "blob é")
        assert [(bad.row, bad.code) for bad in found.bad] == [("tags 2", "bad_text")]


class TestOddCells:
    @pytest.mark.parametrize(
        ("stored", "read"),
        [
            (CREATED_AT, CREATED_AT),
            (1_725_600_000, CREATED_AT),
            (1_725_600_000.5, CREATED_AT),
            ("1725600000", CREATED_AT),
            (b"1725600000000", CREATED_AT),
            (10**11, 10**11),
            (0, None),
            (-1, None),
            (10**11 - 1, None),
            (CREATED_AT * 1000, None),
            (2**63 - 1, None),
            (math.inf, None),
            (-math.inf, None),
            ("2024-09-06", None),
            ("9" * 10_000, None),
            ("", None),
            (None, None),
        ],
    )
    def test_a_time_is_milliseconds_or_nothing(self, folder: Path, stored: object, read: int | None) -> None:
        path = hikaze1(folder / "x", [{"path": "/a", "created_at": stored}], schema=LOOSE1)
        assert one(read_legacy(path)).created_at == read

    @pytest.mark.parametrize(
        ("stored", "read"),
        [
            (0, 0),
            (6938040682, 6938040682),
            ("12", 12),
            (12.0, 12),
            (-5, None),
            (1e300, None),
            (math.inf, None),
            ("1 GB", None),
            (b"\xff", None),
            (None, None),
        ],
    )
    def test_a_size_is_a_number_or_nothing(self, folder: Path, stored: object, read: int | None) -> None:
        path = hikaze1(folder / "x", [{"path": "/a", "size_bytes": stored}], schema=LOOSE1)
        assert one(read_legacy(path)).size_bytes == read

    def test_blobs_and_numbers_are_read_as_text_where_they_can_be(self, folder: Path) -> None:
        row: dict[str, Any] = {
            "path": "/é".encode(),
            "hash_hex": SHA.encode(),
            "name": 5,
            "type": 1.5,
            "extra": b'{"a": "\xc3\xa9"}',
            "meta": 7,
        }
        found = one(read_legacy(hikaze1(folder / "x", [row], schema=LOOSE1)))
        assert (found.path, found.sha, found.name, found.type) == ("/é", SHA, "5", "1.5")
        assert found.meta_texts == ("7", '{"a": "é"}')

    @pytest.mark.parametrize("kind", [bytes, RawText])
    @pytest.mark.parametrize("column", ["hash_hex", "name", "type", "meta", "extra"])
    def test_text_that_is_no_utf8_is_one_bad_row(self, folder: Path, column: str, kind: type[bytes]) -> None:
        rows: list[dict[str, Any]] = [
            {"path": "/a"},
            {"path": "/bad", column: kind(b"caf\xe9")},
            {"path": "/c"},
        ]
        found = read_legacy(hikaze1(folder / "x", rows))
        assert [row.path for row in found.rows] == ["/a", "/c"]
        (bad,) = found.bad
        assert (bad.row, bad.path, bad.code) == ("models 2", "/bad", "bad_text")
        assert bad.message

    def test_a_path_that_is_no_utf8_is_the_name_a_file_may_have(self, folder: Path) -> None:
        name = b"/models/caf\xe9.safetensors"
        for kind in (bytes, RawText):
            row = one(read_legacy(hikaze1(folder / kind.__name__, [{"path": kind(name)}])))
            assert row.path == os.fsdecode(name)

    def test_a_path_no_file_can_have_is_one_bad_row(self, folder: Path) -> None:
        rows = [{"path": "/a\0b"}, {"path": "/" + "x" * 40_000}, {"path": "/good"}]
        found = read_legacy(hikaze1(folder / "x", rows))
        assert [row.path for row in found.rows] == ["/good"]
        assert [(bad.row, bad.code) for bad in found.bad] == [
            ("models 1", "bad_path"),
            ("models 2", "bad_path"),
        ]
        assert len(found.bad[1].path) < 1000

    def test_null_where_the_table_forbids_it_does_not_condemn_the_file(self, folder: Path) -> None:
        path = hikaze1(
            folder / "x",
            [{"path": None, "type": None, "hash_hex": None}, {"path": "/b"}],
            schema=HIKAZE1_SCHEMA.replace(" NOT NULL", ""),
            sql="PRAGMA writable_schema=ON;"
            "UPDATE sqlite_master SET sql = replace(sql, 'type TEXT', 'type TEXT NOT NULL')"
            " WHERE name = 'models'",
        )
        with closing(sqlite3.connect(path)) as db:
            assert db.execute("PRAGMA quick_check").fetchone() == ("NULL value in models.type",)
        assert [(row.path, row.sha, row.type) for row in read_legacy(path).rows] == [
            ("", "", ""),
            ("/b", "", "loras"),
        ]

    def test_utf16_databases_read_alike(self, folder: Path) -> None:
        path = hikaze1(
            folder / "x",
            [{"path": "/é🎨", "tags": ["中文"]}],
            schema="PRAGMA encoding='UTF-16le';" + HIKAZE1_SCHEMA,
        )
        assert one(read_legacy(path)).path == "/é🎨"
        assert one(read_legacy(path)).tags == ("中文",)

    def test_cells_over_the_limit_cost_only_their_rows(self, folder: Path) -> None:
        path = hikaze1(folder / "x", [{"path": f"/{n}", "tags": ["t"]} for n in range(1, 7)])
        with closing(sqlite3.connect(path)) as db:
            big = "CAST(zeroblob(64 * 1024 * 1024 + 1) AS TEXT)"
            db.execute(f"UPDATE models SET extra_json = {big} WHERE id = 2")
            db.execute(f"UPDATE models SET type = {big} WHERE id IN (4, 6)")
            db.commit()
        found = read_legacy(path)
        assert [(row.path, row.tags) for row in found.rows] == [
            ("/1", ("t",)),
            ("/3", ("t",)),
            ("/5", ("t",)),
        ]
        assert [(bad.row, bad.path, bad.code) for bad in found.bad] == [
            ("models 2", "/2", "value_too_big"),
            ("models 4", "/4", "value_too_big"),
            ("models 6", "/6", "value_too_big"),
        ]

    def test_a_tag_and_a_path_over_the_limit_are_bad_rows(self, folder: Path) -> None:
        path = hikaze1(folder / "x", [{"path": "/a", "tags": ["t", "u"]}, {"path": "/b"}])
        with closing(sqlite3.connect(path)) as db:
            big = "CAST(zeroblob(64 * 1024 * 1024 + 1) AS TEXT)"
            db.execute("DROP INDEX idx_models_path")
            db.execute(f"UPDATE tags SET name = {big} WHERE name = 't'")
            db.execute(f"UPDATE models SET path = {big} WHERE id = 1")
            db.commit()
        found = read_legacy(path)
        assert [row.path for row in found.rows] == ["/b"]
        assert [(bad.row, bad.path, bad.code) for bad in found.bad] == [
            ("tags 1", "", "value_too_big"),
            ("models 1", "", "value_too_big"),
        ]

    cells = st.one_of(
        st.none(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(),
        st.text(st.characters(exclude_categories=["Cs"])),
        st.binary(),
        st.builds(RawText, st.binary()),
    )
    row = st.fixed_dictionaries(
        {"path": cells},
        optional=dict.fromkeys(
            ("hash_hex", "name", "type", "size_bytes", "created_at", "meta", "extra"), cells
        ),
    )

    @settings(max_examples=60, deadline=None)
    @given(rows=st.lists(row, max_size=8))
    def test_any_cells_give_one_row_or_one_bad_row_each(self, rows: list[dict[str, Any]]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            found = read_legacy(hikaze1(os.path.join(folder, "x"), rows, schema=LOOSE1))
        names = [row.row for row in found.rows] + [bad.row for bad in found.bad]
        assert sorted(names) == sorted(f"models {n + 1}" for n in range(len(rows)))
        for row in found.rows:
            assert "\0" not in row.path
            os.fsencode(row.path)
            for text in (row.sha, row.name, row.type, *row.meta_texts, *row.tags):
                text.encode()
            assert row.created_at is None or 0 < row.created_at < 2**42
            assert row.size_bytes is None or row.size_bytes >= 0


class TestRecognition:
    def test_an_empty_file_is_an_empty_database(self, folder: Path) -> None:
        (folder / "x").touch()
        error = refusal(str(folder / "x"))
        assert (error.code, "it has no tables" in error.message) == ("unknown_database", True)

    def test_a_strangers_database_is_named_by_its_tables(self, folder: Path) -> None:
        path = sqlite_file(folder / "x", "CREATE TABLE bookmarks (url); CREATE TABLE visits (at)")
        error = refusal(path)
        assert error.code == "unknown_database"
        assert "bookmarks, visits" in error.message

    def test_a_models_table_of_another_kind_is_named_by_its_columns(self, folder: Path) -> None:
        path = sqlite_file(folder / "x", "CREATE TABLE models (id, dir_path, hash_algo)")
        assert "dir_path, hash_algo, id" in refusal(path).message
        columns = ", ".join(f"column_{n:03}" for n in range(300))
        assert len(refusal(sqlite_file(folder / "y", f"CREATE TABLE models ({columns})")).message) < 600

    def test_our_own_library_is_no_older_manager(self, folder: Path) -> None:
        path = hikaze2(folder / "x", [{"path": "/a"}], sql=f"PRAGMA application_id={0x6D6C6962}")
        error = refusal(path)
        assert error.code == "own_library"
        assert error.hint is not None

    @pytest.mark.parametrize(
        "sql",
        [
            "DROP TABLE pending_import; CREATE VIEW pending_import AS SELECT 1 AS id, '/a' AS path",
            "DROP TABLE tags; CREATE VIEW tags AS SELECT 1 AS id, 'x' AS name",
            "DROP TABLE model_tags; CREATE TABLE model_tags (something, other)",
            "DROP TABLE model_tags; CREATE VIRTUAL TABLE model_tags USING fts4(model_hash, tag_id)",
        ],
    )
    def test_a_part_that_is_not_what_it_should_be_is_not_passed_over(self, folder: Path, sql: str) -> None:
        assert (
            refusal(hikaze2(folder / "x", [{"path": "/a", "sha256": SHA}], sql=sql)).code
            == "unknown_database"
        )

    def test_columns_named_like_the_row_number_do_no_harm(self, folder: Path) -> None:
        path = hikaze1(
            folder / "x",
            [{"path": "/a"}, {"path": "/b"}],
            sql="ALTER TABLE models ADD COLUMN rowid TEXT DEFAULT 'no'; ALTER TABLE models ADD COLUMN oid",
        )
        assert [row.row for row in read_legacy(path).rows] == ["models 1", "models 2"]

    def test_a_table_without_row_numbers_is_not_one_of_theirs(self, folder: Path) -> None:
        schema = HIKAZE2_SCHEMA.replace(
            "meta_json TEXT\n);\nCREATE INDEX", "meta_json TEXT\n) WITHOUT ROWID;\nCREATE INDEX"
        )
        path = hikaze2(folder / "x", [{"path": "/a", "sha256": SHA}], schema=schema)
        assert refusal(path).code == "unknown_database"


class TestHostile:
    """Promise 8: nothing in the file is executed, and nothing it claims is believed."""

    @pytest.mark.parametrize(
        "sql",
        [
            ENDLESS_VIEW,
            "CREATE VIEW models(id, path, hash_hex, extra_json) AS SELECT 1, '/a', '', zeroblob(900000000)",
            "CREATE VIRTUAL TABLE models USING fts4(id, path, hash_hex, extra_json)",
            f"CREATE TABLE models (id, path, hash_hex, extra_json AS ({STUCK}))",
            f"CREATE TABLE models (id, path, hash_hex, extra_json NOT NULL AS ({STUCK}))",
        ],
    )
    def test_what_would_be_computed_is_not_a_table_of_models(self, folder: Path, sql: str) -> None:
        started = time.monotonic()
        assert refusal(sqlite_file(folder / "x", sql)).code == "unknown_database"
        assert time.monotonic() - started < 5

    @pytest.mark.parametrize(
        "trap",
        [
            ", trap TEXT AS (zeroblob(900000000))",
            ", trap TEXT NOT NULL AS (zeroblob(900000000))",
            f" CHECK ({STUCK} >= 0)",
        ],
    )
    @pytest.mark.parametrize("copied", [False, True])
    def test_computed_columns_and_conditions_beside_the_data_are_not_computed(
        self, folder: Path, trap: str, copied: bool
    ) -> None:
        path = hikaze1(
            folder / "x",
            [{"path": "/a"}],
            sql="CREATE TRIGGER t AFTER INSERT ON models BEGIN SELECT zeroblob(900000000); END;"
            "PRAGMA writable_schema=ON;"
            "UPDATE sqlite_master SET sql = replace(sql, 'extra_json TEXT', 'extra_json TEXT"
            + trap.replace("'", "''")
            + "') WHERE name = 'models';",
        )
        if copied:  # SQLite leaves CHECK alone in a read-only file, not in a copy it may write
            Path(path + "-journal").write_bytes(b"\0" * 512)
        started = time.monotonic()
        assert one(read_legacy(path)).path == "/a"
        assert time.monotonic() - started < 5

    def test_a_schema_that_lies_about_a_view_is_refused(self, folder: Path) -> None:
        path = sqlite_file(
            folder / "x",
            "CREATE TABLE models (id, path, hash_hex, extra_json);"
            "CREATE VIEW other AS SELECT 1 AS id, '/a' AS path, '' AS hash_hex, 'v' AS extra_json;"
            "PRAGMA writable_schema=ON;"
            "UPDATE sqlite_master SET sql = replace(sql, 'other', 'models') WHERE name = 'other';"
            "UPDATE sqlite_master SET sql = replace(sql, 'models', 'other') WHERE name = 'models';",
        )
        assert refusal(path).code == "corrupt_database"

    def test_too_much_text_is_refused(self, folder: Path) -> None:
        path = hikaze1(folder / "x", [{"path": f"/{n}", "extra": "x" * 10_000} for n in range(100)])
        assert refusal(path, text_limit=500_000).code == "database_too_big"
        assert len(read_legacy(path, text_limit=2_000_000).rows) == 100

    def test_the_deadline_holds(self, folder: Path) -> None:
        path = hikaze1(folder / "x", [{"path": f"/{n}"} for n in range(2000)])
        assert refusal(path, deadline_seconds=0).code == "database_too_slow"
        assert len(read_legacy(path).rows) == 2000


class TestBroken:
    """Promise 9's kin: a broken file is one clear error, whatever is broken, and stays as it was."""

    @pytest.mark.parametrize("fraction", [0.0001, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.99999])
    def test_a_truncated_database_is_refused(self, folder: Path, fraction: float) -> None:
        path = hikaze1(
            folder / "x", [{"path": f"/{n}", "extra": "x" * 900, "tags": ["t"]} for n in range(300)]
        )
        os.truncate(path, int(os.path.getsize(path) * fraction))
        assert refusal(path).code in {"corrupt_database", "not_a_database"}

    def test_a_page_of_rubbish_is_refused(self, folder: Path) -> None:
        path = hikaze1(folder / "x", [{"path": f"/{n}", "extra": "x" * 900} for n in range(300)])
        pages = os.path.getsize(path) // 4096
        with open(path, "r+b") as file:
            file.seek((pages // 2) * 4096)
            file.write(random.Random(1).randbytes(4096))
        error = refusal(path)
        assert error.code == "corrupt_database"
        assert "\n" not in error.message

    @pytest.mark.parametrize("seed", range(5))
    def test_flipped_bytes_read_or_are_refused(self, folder: Path, seed: int) -> None:
        """Promise 9: 500 damaged files in all, not one traceback."""
        rows = [
            {"path": f"/{n}", "sha256": f"{n:064x}", "meta": {"description": "d" * n}, "tags": ["t"]}
            for n in range(9)
        ]
        if seed % 2:
            good = hikaze2(folder / "good", rows, pending=[{"path": "/p", "tags": ["t"]}])
        else:
            good = hikaze1(
                folder / "good", [{"path": f"/{n}", "extra": "e" * n, "tags": ["t"]} for n in range(9)]
            )
        original = Path(good).read_bytes()
        dice = random.Random(seed)
        # Most of the file is empty space: damage what is used.
        used = [place for place, byte in enumerate(original) if byte] + list(range(100))
        outcomes: dict[str, int] = {}
        for number in range(100):
            damaged = bytearray(original)
            for _ in range(dice.choice([1, 1, 2, 8])):
                damaged[dice.choice(used)] ^= dice.randrange(1, 256)
            target = folder / f"damaged{number}"
            target.write_bytes(damaged)
            try:
                read_legacy(str(target))
                outcome = "read"
            except MlibError as error:
                outcome = error.code
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
            assert target.read_bytes() == damaged
            target.unlink()
            assert os.listdir(folder) == ["good"]
        assert set(outcomes) <= REFUSALS | {"read"}
        assert outcomes["read"]
        assert outcomes["corrupt_database"]


class TestUntouched:
    def test_rows_still_in_the_wal_are_read_and_nothing_is_changed(self, folder: Path) -> None:
        (folder / "left").mkdir()
        path = hikaze1(folder / "live", [{"path": "/old"}], sql="PRAGMA journal_mode=wal")
        with closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA wal_autocheckpoint=0")
            db.execute("INSERT INTO models (path, type, hash_hex, created_at) VALUES ('/new', 't', '', 1)")
            db.commit()
            for name in ("live", "live-wal"):
                shutil.copy(folder / name, folder / "left")
        before = {path.name: path.read_bytes() for path in (folder / "left").iterdir()}
        assert b"/new" not in before["live"]
        assert [row.path for row in read_legacy(str(folder / "left" / "live")).rows] == ["/old", "/new"]
        assert {path.name: path.read_bytes() for path in (folder / "left").iterdir()} == before

    def test_a_name_full_of_special_characters_is_fine(self, folder: Path) -> None:
        (folder / "50% of #1?").mkdir()
        path = hikaze1(folder / "50% of #1?" / 'it\'s "the" one&mode=rwc.db', [{"path": "/a"}])
        assert one(read_legacy(path)).path == "/a"
        assert len(os.listdir(folder / "50% of #1?")) == 1

    def test_what_is_no_file_is_refused(self, folder: Path) -> None:
        assert refusal(str(folder)).code == "not_a_file"
        assert refusal(str(folder / "gone")).code == "no_such_file"
