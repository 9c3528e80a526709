"""Export and import: a library is taken over whole, twice is once, and nothing typed is lost."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.libraries import BEFORE, OTHER, SHA, THIRD, known_file, put_files, put_model, put_pending
from tests.services.shelf import Shelf
from tests.tools import write_model

from mlib.core.errors import MlibError, Refused
from mlib.core.formats.header import Finding
from mlib.core.records import Content, OtherHashes, Root
from mlib.db import contents, files, models, pending, roots, sidecars, tags
from mlib.db.exports import is_export
from mlib.db.library import open_library
from mlib.services.exporting import ExportCount, as_lines, as_table
from mlib.services.importing.from_exports import ExportReport, check_export, import_export
from mlib.services.importing.importer import ConflictStrategy, ImportReport, import_pending
from mlib.services.importing.staging import parse_path_map
from mlib.services.resolving import Target

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlib.db.library import Library

USAGE = '{"trigger_words": ["a b"], "alpha": 16.0}'


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Library]:
    """A second library, empty."""
    with open_library(str(tmp_path / "other" / "library.db"), mode="create") as opened:
        yield opened


def exported(library: Library, *targets: Target) -> str:
    """All lines of an export."""
    return "\n".join(as_lines(library, list(targets) or None, count=ExportCount())) + "\n"


def written(library: Library, folder: Path, *targets: Target) -> Path:
    """An export as a file."""
    path = folder / "export.jsonl"
    path.write_text(exported(library, *targets))
    return path


def take_over(
    library: Library, path: Path, *, strategy: str = "report", moves: Sequence[str] = ()
) -> tuple[ExportReport, ImportReport]:
    """What `mlib import --from` does."""
    taken = import_export(
        library,
        str(path),
        strategy=ConflictStrategy(strategy),
        moves=[parse_path_map(text) for text in moves],
        keep_backup=False,
    )
    return taken, taken.imported


def fill(library: Library) -> None:
    """A library with one of everything."""
    with library.transaction():
        roots.remember(
            library, [Root("loras", "/m/loras", "user"), Root("vae", "/m/vae", "extra:/m/x.yaml", True)]
        )
    [loras, vae] = roots.all_roots(library)
    meta_json = '{"a":1.10,"big":123456789012345678901234567890,"n":{"s":[1e400,"\\ud800"]}}'
    put_model(
        library, SHA, name="My own", notes="line\nline \u202e", tags_=["Ärger", "x, y"], meta_json=meta_json
    )
    put_model(library, OTHER, tags_=["x, y"])
    put_model(library, THIRD, type="vae")
    with library.transaction():
        model = models.get(library, OTHER)
        assert model is not None
        models.put(library, [model._replace(description="from a sidecar", updated_at=BEFORE + 5)])
        contents.put(
            library,
            Content(
                SHA,
                "safetensors",
                "lora",
                "SD 1.5",
                ("one", "two"),
                '{"trigger_words": ["a b"], "alpha": 16.0}',
            ),
            header=b"packed",
            findings=[Finding("trailing_data", "1 byte", serious=False)],
        )
        contents.put_hashes(library, SHA, OtherHashes(autov3="ab" * 32, crc32="deadbeef"))
    put_files(
        library,
        known_file("/m/loras/a.safetensors", root_id=loras.id),
        known_file("/m/loras/sub/b\udcff.safetensors", root_id=loras.id, missing_since=BEFORE + 7),
        known_file("/m/loras/c.safetensors", OTHER, root_id=loras.id),
        known_file(
            "/n/word.safetensors", OTHER, stat=None, hashed_at=None, xxh3=None, racy=True, missing_since=1
        ),
        known_file("/m/vae/d.safetensors", THIRD, root_id=vae.id),
    )
    with library.transaction():
        sidecars.put_filled(library, "/m/loras", "c.safetensors", OTHER, ["description", "tags"])
    put_pending(library, "/m/loras/e.safetensors", sha256="d4" * 32, notes="waiting", tags_=["x, y"])
    put_pending(library, "/old/f.safetensors", sha256=None, claimed_hash="0123456789", meta_json='{"q":1}')


def test_an_export_of_what_was_taken_over_equals_the_export(
    library: Library, other: Library, tmp_path: Path
) -> None:
    fill(library)
    first = exported(library)
    taken, report = take_over(other, written(library, tmp_path))
    assert (taken.bad, report.conflict, report.failed) == ([], [], [])
    assert exported(other) == first


def test_twice_is_the_same_as_once(library: Library, other: Library, tmp_path: Path) -> None:
    fill(library)
    path = written(library, tmp_path)
    take_over(other, path)
    once = exported(other)
    taken, report = take_over(other, path)
    assert [each.change for each in report.success] == ["unchanged"] * 3
    assert taken.bad == []
    assert exported(other) == once


def test_the_bytes_do_not_depend_on_when_or_in_what_order_things_came(
    library: Library, other: Library, tmp_path: Path
) -> None:
    fill(library)
    header, *lines = exported(library).splitlines()
    path = tmp_path / "shuffled.jsonl"
    path.write_text("\n".join([header, *reversed(lines)]) + "\n")
    take_over(other, path)
    assert exported(other) == exported(library)


def test_another_library_is_taken_over_like_its_export(library: Library, other: Library) -> None:
    fill(library)
    expected = exported(library)
    before = Path(library.path).read_bytes()
    take_over(other, Path(library.path))
    assert exported(other) == expected
    assert Path(library.path).read_bytes() == before


def test_what_was_present_elsewhere_is_missing_here_until_a_scan_finds_it(
    shelf: Shelf, other: Library, tmp_path: Path
) -> None:
    sha256 = write_model(shelf.loras / "a.safetensors")
    shelf.scan()
    shelf.edit(sha256, notes="mine", tag=("keep",))
    take_over(other, written(shelf.library, tmp_path))
    there = Shelf(other, shelf.loras, shelf.vae)
    assert there.places(sha256) == {str(shelf.loras / "a.safetensors"): False}
    told = there.told()
    assert told["restored"] if "restored" in told else told["scanned"]
    assert there.places(sha256) == {str(shelf.loras / "a.safetensors"): True}
    assert there.user_data(sha256) == shelf.user_data(sha256)
    assert exported(other) == exported(shelf.library)


class TestMerging:
    """A model that is known on both sides."""

    def start(self, library: Library, other: Library, folder: Path) -> Path:
        put_model(library, notes="theirs", description="said", tags_=["theirs"], meta_json='{"a":1,"b":2}')
        put_model(other, notes="ours", tags_=["ours"], meta_json='{"a":9}')
        return written(library, folder)

    def told(self, library: Library) -> dict[str, Any]:
        lines = [json.loads(line) for line in exported(library).splitlines()[1:]]
        model = next(line for line in lines if "files" in line)
        return {name: model[name] for name in ("notes", "description", "tags", "meta")}

    def test_report_leaves_the_conflict_pending(
        self, library: Library, other: Library, tmp_path: Path
    ) -> None:
        path = self.start(library, other, tmp_path)
        before = self.told(other)
        _, report = take_over(other, path)
        assert [each.differs for each in report.conflict] == [
            ("description", "notes", "tags", "meta.a", "meta.b")
        ]
        assert self.told(other) == before
        waiting = pending.ids(other)
        _, again = take_over(other, path)
        assert pending.ids(other) == waiting
        assert len(again.conflict) == 1
        assert import_pending(other, waiting, strategy=ConflictStrategy.MERGE, keep_backup=False).success
        assert self.told(other)["notes"] == "ours"

    def test_merge_fills_and_unites(self, library: Library, other: Library, tmp_path: Path) -> None:
        take_over(other, self.start(library, other, tmp_path), strategy="merge")
        assert self.told(other) == {
            "notes": "ours", "description": "said", "tags": ["ours", "theirs"], "meta": {"a": 9, "b": 2},
        }  # fmt: skip

    def test_override_believes_the_export(self, library: Library, other: Library, tmp_path: Path) -> None:
        take_over(other, self.start(library, other, tmp_path), strategy="override")
        assert self.told(other) == {
            "notes": "theirs", "description": "said", "tags": ["theirs"], "meta": {"a": 1, "b": 2},
        }  # fmt: skip

    @pytest.mark.parametrize("strategy", ["ignore", "delete"])
    def test_ignore_and_delete_leave_the_model(
        self, library: Library, other: Library, tmp_path: Path, strategy: str
    ) -> None:
        path = self.start(library, other, tmp_path)
        before = self.told(other)
        take_over(other, path, strategy=strategy)
        assert self.told(other) == before

    def test_empty_never_replaces(self, library: Library, other: Library, tmp_path: Path) -> None:
        put_model(library)
        put_model(other, notes="ours", tags_=["ours"], meta_json='{"a":9}')
        before = self.told(other)
        _, report = take_over(other, written(library, tmp_path), strategy="override")
        assert [each.change for each in report.success] == ["unchanged"]
        assert self.told(other) == before

    def test_what_sidecars_gave_there_is_no_conflict_here(
        self, library: Library, other: Library, tmp_path: Path
    ) -> None:
        fill(library)
        put_model(other, OTHER, tags_=["ours"], notes="ours")
        _, report = take_over(other, written(library, tmp_path, Target(sha256=OTHER)))
        assert report.conflict == []
        assert tags.of_model(other, OTHER) == ("ours",)

    @pytest.mark.parametrize(
        ("strategy", "notes", "description"),
        [("override", "second", "said"), ("merge", "first", "said"), ("ignore", "first", "")],
    )
    def test_a_model_that_two_lines_speak_of_is_imported_twice(
        self, other: Library, tmp_path: Path, strategy: str, notes: str, description: str
    ) -> None:
        """As in exports of two machines, one behind the other."""
        first = {"sha256": SHA, "notes": "first", "edited": ["notes"], "files": [{"path": "/a/x"}]}
        second = {"sha256": SHA, "notes": "second", "edited": ["notes", "description"], "description": "said"}
        path = tmp_path / "export.jsonl"
        path.write_text("\n".join(map(json.dumps, [{"format": "mlib-export", "version": 1}, first, second])))
        _, report = take_over(other, path, strategy=strategy)
        assert len(report.success) + len(report.ignored) == 2
        assert (self.told(other)["notes"], self.told(other)["description"]) == (notes, description)


class TestPlaces:
    """Paths of another machine."""

    def test_two_folders_may_become_one(self, library: Library, other: Library, tmp_path: Path) -> None:
        with library.transaction():
            roots.remember(library, [Root("loras", "/a/l", "user"), Root("vae", "/b/l", "user")])
        put_model(library)
        put_files(library, known_file("/a/l/x.pt"), known_file("/b/l/x.pt"), known_file("/b/l/y.pt"))
        taken, report = take_over(other, written(library, tmp_path), moves=["/a=/new", "/b=/new"])
        assert [(root.type, root.path) for root in taken.roots] == [("loras", "/new/l")]
        assert len(report.success) == 1
        assert [row.path for row in files.of_model(other, SHA)] == ["/new/l/x.pt", "/new/l/y.pt"]

    def test_paths_move_where_they_are_mapped(self, library: Library, other: Library, tmp_path: Path) -> None:
        fill(library)
        taken, _ = take_over(other, written(library, tmp_path), moves=["/m=/new", "/m/vae=/else"])
        assert [root.path for root in taken.roots] == ["/new/loras", "/else"]
        assert [root.origin for root in taken.roots] == ["user", "extra:/new/x.yaml"]
        found = {row.path: row.root_id for sha in (SHA, THIRD) for row in files.of_model(other, sha)}
        loras, vae = (root.id for root in roots.all_roots(other))
        assert found == {
            "/new/loras/a.safetensors": loras,
            "/new/loras/sub/b\udcff.safetensors": loras,
            "/else/d.safetensors": vae,
        }

    def test_a_prefix_ends_at_a_directory(self) -> None:
        from mlib.services.importing.staging import map_path

        moves = [parse_path_map("/m=/new")]
        assert map_path("/models/a", moves) == "/models/a"
        assert map_path("/m", moves) == "/new"
        assert map_path(r"C:\m\l\a.pt", [parse_path_map(r"C:\m=/new")]) == "/new/l/a.pt"

    def test_a_library_with_folders_of_its_own_keeps_to_them(
        self, library: Library, other: Library, tmp_path: Path
    ) -> None:
        fill(library)
        with other.transaction():
            roots.remember(other, [Root("loras", "/here/loras", "user")])
        taken, _ = take_over(other, written(library, tmp_path), moves=["/m=/here"])
        assert taken.roots == []
        assert [root.path for root in roots.all_roots(other)] == ["/here/loras"]
        [row, *_] = files.at_path(other, "/here/loras/a.safetensors")
        assert row.root_id == roots.all_roots(other)[0].id

    def test_what_is_present_here_stays_present(self, shelf: Shelf, library: Library, tmp_path: Path) -> None:
        sha256 = write_model(shelf.loras / "a.safetensors")
        shelf.scan()
        shelf.edit(sha256, notes="mine")
        path = written(library, tmp_path)
        take_over(library, path)
        assert shelf.places(sha256) == {str(shelf.loras / "a.safetensors"): True}
        assert shelf.told() == {"unchanged": 1}

    def test_a_staged_file_keeps_what_was_seen_of_it(
        self, shelf: Shelf, other: Library, tmp_path: Path
    ) -> None:
        sha256 = write_model(shelf.loras / "a.safetensors")
        shelf.scan(stage=True)
        put_model(other, sha256, notes="theirs")
        put_files(other, known_file(str(shelf.loras / "a.safetensors"), sha256))
        take_over(shelf.library, written(other, tmp_path))
        assert shelf.places(sha256) == {str(shelf.loras / "a.safetensors"): True}
        assert shelf.told() == {"unchanged": 1}


class TestBadInput:
    """Nothing that a file says can do more than fail."""

    def test_a_broken_line_fails_alone(self, library: Library, other: Library, tmp_path: Path) -> None:
        fill(library)
        header, *lines = exported(library).splitlines()
        bad = [
            "{", "[]", "null", "{}", '{"sha256":"xyz"}', '{"sha256":5}', "\udcff\udcfe",
            json.dumps({"sha256": SHA, "name": "a\0b"}), json.dumps({"sha256": SHA, "notes": "\ud800"}),
            json.dumps({"sha256": SHA, "size_bytes": 2**63}), json.dumps({"sha256": SHA, "size_bytes": -1}),
            json.dumps({"sha256": SHA, "size_bytes": 1.5}), json.dumps({"sha256": SHA, "meta": [1]}),
            json.dumps({"sha256": SHA, "tags": ["x" * 300]}), json.dumps({"sha256": SHA, "tags": "x"}),
            json.dumps({"sha256": SHA, "files": [{"path": "a/\0"}]}),
            json.dumps({"sha256": SHA, "files": [7]}),
            json.dumps({"sha256": SHA, "files": [{"path": "/x/"}]}),
            json.dumps({"sha256": SHA, "hashes": {"crc32": "x"}}),
            json.dumps({"sha256": SHA, "content": {"usage": {"dtypes": [1]}}}), "[" * 100_000,
            json.dumps({"sha256": SHA, "meta": {"a": json.loads("[" * 300 + "]" * 300)}}),
            json.dumps({"pending": True}), json.dumps({"sha256": SHA, "findings": [{}]}),
        ]  # fmt: skip
        path = tmp_path / "export.jsonl"
        path.write_bytes("\n".join([header, *bad, *lines]).encode("utf-8", "surrogateescape"))
        taken, report = take_over(other, path)
        assert len(taken.bad) == len(bad)
        assert {each.code for each in taken.bad} == {"bad_line", "line_too_long"}
        assert taken.bad[0].message.startswith("line 2: ")
        assert len(report.success) == 3
        assert exported(other) == exported(library)

    def test_a_line_without_end_costs_no_memory(
        self, library: Library, other: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from mlib.db import exports

        monkeypatch.setattr(exports, "LINE_LIMIT", 10_000)
        fill(library)
        header, *lines = exported(library).splitlines()
        path = tmp_path / "export.jsonl"
        path.write_text("\n".join([header, "x" * 35_000, *lines]))
        taken, report = take_over(other, path)
        assert [each.code for each in taken.bad] == ["line_too_long"]
        assert len(report.success) == 3

    def test_an_export_that_was_cut_off_is_taken_and_told_of(
        self, library: Library, other: Library, tmp_path: Path
    ) -> None:
        """At a line's end no line of it is broken."""
        fill(library)
        header, *lines = exported(library).splitlines(keepends=True)
        path = tmp_path / "export.jsonl"
        for kept in range(len(lines) + 1):
            path.write_text("".join([header, *lines[:kept], "\n"]))
            taken, _ = take_over(other, path)
            ends = f"the export ends after {kept} of {len(lines)} records"
            cut = [("cut_off", f"{ends}: make it, or copy it, again")]
            assert [(each.code, each.message) for each in taken.bad] == (cut if kept < len(lines) else [])
        path.write_text("".join([header, *lines[:-1], "broken\n"]))
        assert [each.code for each in take_over(other, path)[0].bad] == ["bad_line"]

    def test_some_of_a_library_are_counted_as_such(
        self, library: Library, other: Library, tmp_path: Path
    ) -> None:
        fill(library)
        sha256 = models.all_ids(library)[0]
        targets = [Target(sha256=sha256), Target(sha256=sha256), Target(pending_id=pending.ids(library)[0])]
        path = written(library, tmp_path, *targets)
        assert json.loads(path.read_text().splitlines()[0])["records"] == 2
        assert take_over(other, path)[0].bad == []

    def test_no_pictures_come_in_with_what_waits(self, other: Library, tmp_path: Path) -> None:
        picture = "data:image/png;base64," + "iVBORw0KGgoAAAANSUhEUgAA" * 200
        told = {"sha256": SHA, "path": "/m/x.pt", "meta": {"images": [picture], "cover": picture, "n": 1}}
        header = {"format": "mlib-export", "version": 1}
        path = tmp_path / "export.jsonl"
        path.write_text("\n".join(map(json.dumps, [header, {**told, "pending": True}, told])))
        take_over(other, path)
        assert "iVBORw0KGgo" not in exported(other)
        assert exported(other).count('"n":1') == 2

    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("", "unknown_export"),
            ("{}\n", "unknown_export"),
            ('{"format":"mlib-export"}\n', "unknown_export"),
            ('{"format":"mlib-export","version":1,"roots":[{"type":"loras","path":"/"}]}', "unknown_export"),
            (
                '{"format":"mlib-export","version":1,"roots":[{"type":"loras","path":"rel"}]}',
                "unknown_export",
            ),
            ('{"format":"mlib-export","version":1,"records":"many"}', "unknown_export"),
            ('{"format":"mlib-export","version":99,"records":"many"}\n', "export_too_new"),
        ],
    )
    def test_a_header_that_is_none_is_refused_before_anything_is_done(
        self, other: Library, tmp_path: Path, text: str, code: str
    ) -> None:
        path = tmp_path / "export.jsonl"
        path.write_text(text)
        before = exported(other)
        for action in (lambda: check_export(str(path)), lambda: take_over(other, path)):
            with pytest.raises(MlibError) as caught:
                action()
            assert caught.value.code == code
            assert isinstance(caught.value, Refused) == (code == "export_too_new")
        assert exported(other) == before

    def test_a_fifo_is_not_waited_for(self, other: Library, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        assert not is_export(str(tmp_path / "fifo"))
        with pytest.raises(MlibError) as caught:
            take_over(other, tmp_path / "fifo")
        assert caught.value.code == "not_a_file"

    def test_a_damaged_library_is_refused_before_anything_is_done(
        self, library: Library, other: Library
    ) -> None:
        fill(library)
        library.close()
        content = bytearray(Path(library.path).read_bytes())
        content[8192:20000] = b"\xff" * (20000 - 8192)
        Path(library.path).write_bytes(content)
        before = exported(other)
        with pytest.raises(MlibError):
            take_over(other, Path(library.path))
        assert exported(other) == before


def test_a_table_is_safe_to_open_in_a_spreadsheet(library: Library) -> None:
    put_model(library, name="=cmd()", notes='two\nlines, "quoted"\x1b[2J', description="@x", tags_=["a", "b"])
    lines = "\n".join(as_table(library, None, count=ExportCount()))
    import csv
    import io

    [titles, row] = csv.reader(io.StringIO(lines))
    told = dict(zip(titles, row, strict=True))
    assert (told["name"], told["description"]) == ("'=cmd()", "'@x")
    assert told["notes"] == 'two\nlines, "quoted"\\x1b[2J'
    assert (told["tags"], told["files"], told["size_bytes"]) == ("a, b", "0", "")
