"""What a scan finds wrong with content, wherever that lies, and with places, for as long as it lies there."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest
from tests.inprocess import mlib_here
from tests.libraries import make_older
from tests.model_files import safetensors
from tests.tools import set_age, write_bytes
from tests.troubled_files import TROUBLED, Troubled

from mlib.core import inspection
from mlib.db import contents, models, pending
from mlib.services.describing import detail
from mlib.services.importing.importer import import_pending
from mlib.services.resolving import Target

if TYPE_CHECKING:
    from tests.services.shelf import Shelf

    from mlib.core.records import Problem
    from mlib.services.scanning.request import ScanReport

TAKEN_IN = [each for each in TROUBLED if each.taken_in]
LEFT_ALONE = [each for each in TROUBLED if not each.taken_in]


def lora(seed: str = "a", **metadata: str) -> bytes:
    """A LoRA for nothing known, whose content depends on `seed`."""
    return safetensors({"x.lora_down.weight": 8, "x.lora_up.weight": 8}, metadata={"seed": seed, **metadata})


def told(report: ScanReport) -> set[tuple[str, str]]:
    """The file name and code of each finding of a scan."""
    return {(os.path.basename(path), finding.code) for path, finding in report.findings}


def kept(shelf: Shelf, sha256: str) -> list[tuple[str | None, str]]:
    """What `show` would tell: the path that a finding is about, or None, and its code."""
    return [(path, finding.code) for path, finding in detail(shelf.library, Target(sha256=sha256)).findings]


def dumped(shelf: Shelf, table: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(shelf.library.path)) as db:
        return db.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()


class TestContent:
    def test_is_told_of_each_further_file(self, shelf: Shelf) -> None:
        page = b"<!DOCTYPE html><html><title>401 Unauthorized</title></html>"
        for name in ("a.safetensors", "b.safetensors"):
            write_bytes(shelf.loras / name, page)
            assert told(shelf.scan()) >= {(name, "html_page")}
            assert told(shelf.scan()) == set()
        write_bytes(shelf.loras / "c.safetensors", lora())
        shelf.scan()
        write_bytes(shelf.loras / "c.safetensors", page)
        assert ("c.safetensors", "html_page") in told(shelf.scan())
        (shelf.loras / "a.safetensors").rename(shelf.loras / "d.safetensors")
        assert "html_page" not in {code for _, code in told(shelf.scan())}

    @pytest.mark.parametrize("file", TAKEN_IN, ids=lambda file: file.name)
    def test_is_told_by_the_scan_and_kept(self, shelf: Shelf, file: Troubled) -> None:
        sha256 = write_bytes(shelf.loras / file.name, file.content)
        report = shelf.scan()
        (found,) = report.findings
        assert found[0] == str(shelf.loras / file.name)
        assert (found[1].code, found[1].serious) == (file.code, file.serious)
        assert report.problems == []
        about = str(shelf.loras / file.name) if file.code in inspection.PLACE_CODES else None
        assert kept(shelf, sha256) == [(about, file.code)]

    @pytest.mark.parametrize("file", LEFT_ALONE, ids=lambda file: file.name)
    def test_of_what_may_still_be_downloaded_is_nobodys_business(self, shelf: Shelf, file: Troubled) -> None:
        write_bytes(shelf.loras / file.name, file.content)
        report = shelf.scan()
        assert [problem.code for problem in report.skipped] == ["unfinished"]
        assert report.findings == []
        assert dumped(shelf, "contents") == dumped(shelf, "findings") == []

    def test_is_told_once(self, shelf: Shelf) -> None:
        write_bytes(shelf.loras / "page.safetensors", b"<html>")
        assert len(shelf.scan().findings) == 1
        assert shelf.scan().findings == []

    def test_stays_wherever_it_moves(self, shelf: Shelf) -> None:
        sha256 = write_bytes(shelf.loras / "page.safetensors", b"<html>")
        shelf.scan()
        (shelf.loras / "page.safetensors").rename(shelf.vae / "other.safetensors")
        assert shelf.told() == {"moved": 1}
        assert kept(shelf, sha256) == [(None, "html_page")]

    def test_stays_while_it_is_missing(self, shelf: Shelf) -> None:
        sha256 = write_bytes(shelf.loras / "page.safetensors", b"<html>")
        write_bytes(shelf.loras / "other.safetensors", lora())
        shelf.scan()
        (shelf.loras / "page.safetensors").unlink()
        assert shelf.told()["missing"] == 1
        assert kept(shelf, sha256) == [(None, "html_page")]

    def test_of_a_file_that_was_replaced_stays_with_the_old_content(self, shelf: Shelf) -> None:
        path = shelf.loras / "a.safetensors"
        old = write_bytes(path, b"<html>")
        shelf.scan()
        new = write_bytes(path, lora(), age=1800)
        report = shelf.scan()
        assert (report.counts["replaced"], report.findings) == (1, [])
        assert kept(shelf, new) == []
        assert kept(shelf, old) == [(None, "html_page")]

    def test_a_wrong_one_that_was_replaced_by_a_wrong_one(self, shelf: Shelf) -> None:
        path = shelf.loras / "a.ckpt"
        write_bytes(path, lora())
        shelf.scan()
        new = write_bytes(path, b"<html>", age=1800)
        assert told(shelf.scan()) == {("a.ckpt", "html_page")}
        assert kept(shelf, new) == [(None, "html_page")]

    def test_of_two_copies_is_told_of_each_where_it_is_serious(self, shelf: Shelf) -> None:
        for name in ("a.safetensors", "b.safetensors"):
            write_bytes(shelf.loras / name, b"<html>")
        assert told(shelf.scan()) == {("a.safetensors", "html_page"), ("b.safetensors", "html_page")}

    def test_the_serious_come_first(self, shelf: Shelf) -> None:
        sha256 = write_bytes(shelf.loras / "a.ckpt", safetensors({"a": 3}) + b"more")
        hole = write_bytes(
            shelf.loras / "hole.ckpt", next(f.content for f in TROUBLED if f.code == "bad_header")
        )
        shelf.scan()
        assert [code for _, code in kept(shelf, sha256)] == ["trailing_data", "wrong_extension"]
        assert [code for _, code in kept(shelf, hole)] == ["bad_header", "wrong_extension"]

    def test_with_stage_is_kept_for_the_pending_import_and_then_for_the_model(self, shelf: Shelf) -> None:
        sha256 = write_bytes(shelf.loras / "runs.ckpt", TAKEN_IN[-2].content)
        assert told(shelf.scan(stage=True)) == {("runs.ckpt", "may_run_code")}
        (pending_id,) = pending.ids(shelf.library)
        waiting = detail(shelf.library, Target(pending_id=pending_id))
        assert [finding.code for _, finding in waiting.findings] == ["may_run_code"]
        assert waiting.content is not None
        assert told(shelf.scan()) == set()
        assert kept(shelf, sha256) == [(None, "may_run_code")]

    def test_a_reader_that_fails_costs_one_file_its_inspection_and_no_more(
        self, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_args: object, **_more: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr("mlib.core.disk.hashing.inspect", broken)
        monkeypatch.setattr("mlib.core.inspection.inspect", broken)
        sha256 = write_bytes(shelf.loras / "a.safetensors", lora())
        report = shelf.scan()
        assert report.counts["added"] == 1
        assert [problem.code for problem in report.problems] == ["not_inspected"]
        assert "ZeroDivisionError" in report.problems[0].message
        assert detail(shelf.library, Target(sha256=sha256)).content is None


class TestPlace:
    """`wrong_extension` and `misplaced` come and go with the place."""

    @pytest.fixture
    def mira(self, shelf: Shelf) -> str:
        sha256 = write_bytes(shelf.loras / "mira.safetensors", lora())
        assert shelf.scan().findings == []
        return sha256

    def test_is_found_in_the_wrong_folder_and_gone_when_it_is_moved_back(
        self, shelf: Shelf, mira: str
    ) -> None:
        right, wrong = shelf.loras / "mira.safetensors", shelf.vae / "mira.safetensors"
        right.rename(wrong)
        assert told(shelf.scan()) == {("mira.safetensors", "misplaced")}
        assert kept(shelf, mira) == [(str(wrong), "misplaced")]
        wrong.rename(right)
        assert told(shelf.scan()) == set()
        assert kept(shelf, mira) == []

    def test_is_found_under_the_wrong_name_and_gone_when_it_is_renamed(self, shelf: Shelf, mira: str) -> None:
        (shelf.loras / "mira.safetensors").rename(shelf.loras / "mira.ckpt")
        assert told(shelf.scan()) == {("mira.ckpt", "wrong_extension")}
        assert kept(shelf, mira) == [(str(shelf.loras / "mira.ckpt"), "wrong_extension")]
        (shelf.loras / "mira.ckpt").rename(shelf.loras / "mira2.safetensors")
        assert told(shelf.scan()) == set()
        assert kept(shelf, mira) == []

    def test_of_two_copies_is_about_the_one_that_lies_wrong(self, shelf: Shelf, mira: str) -> None:
        copy = shelf.vae / "copy.safetensors"
        write_bytes(copy, lora())
        assert told(shelf.scan()) == {("copy.safetensors", "misplaced")}
        assert kept(shelf, mira) == [(str(copy), "misplaced")]
        copy.unlink()
        shelf.scan(accept_missing=True)
        assert kept(shelf, mira) == []

    @pytest.mark.usefixtures("mira")
    def test_of_a_hard_link_is_found_without_reading(self, shelf: Shelf) -> None:
        os.link(shelf.loras / "mira.safetensors", shelf.vae / "link.safetensors")
        report = shelf.scan()
        assert told(report) == {("link.safetensors", "misplaced")}
        assert report.hashed_bytes == 0

    def test_of_a_missing_file_is_not_shown_and_comes_back_with_it(
        self, shelf: Shelf, mira: str, tmp_path: Path
    ) -> None:
        (shelf.loras / "mira.safetensors").rename(shelf.vae / "mira.safetensors")
        shelf.scan()
        (shelf.vae / "mira.safetensors").rename(tmp_path / "away")
        shelf.scan(accept_missing=True)
        assert kept(shelf, mira) == []
        (tmp_path / "away").rename(shelf.vae / "mira.safetensors")
        shelf.scan()
        assert kept(shelf, mira) == [(str(shelf.vae / "mira.safetensors"), "misplaced")]

    def test_of_a_file_that_was_replaced_is_lost(self, shelf: Shelf, mira: str) -> None:
        path = shelf.loras / "mira.ckpt"
        (shelf.loras / "mira.safetensors").rename(path)
        shelf.scan()
        new = write_bytes(path, b"nothing known", age=1800)
        assert shelf.scan().findings == []
        assert kept(shelf, new) == kept(shelf, mira) == []

    def test_is_judged_by_the_kind_that_the_header_shows(self, shelf: Shelf) -> None:
        write_bytes(shelf.loras / "unknown.safetensors", safetensors({"a": 3}))
        write_bytes(shelf.vae / "unknown.safetensors", safetensors({"b": 3}))
        assert shelf.scan().findings == []

    def test_follows_the_type_of_its_folder(self, shelf: Shelf, mira: str) -> None:
        """A folder that was said to be of one type, and then of another."""
        shelf.scan(roots=[f"vae={shelf.loras}"])
        assert kept(shelf, mira) == [(str(shelf.loras / "mira.safetensors"), "misplaced")]
        shelf.scan(roots=[f"loras={shelf.loras}"])
        assert kept(shelf, mira) == []

    def test_in_a_folder_within_a_folder_of_another_type(self, shelf: Shelf, mira: str) -> None:
        inner = shelf.vae / "loras"
        inner.mkdir()
        (shelf.loras / "mira.safetensors").rename(inner / "mira.safetensors")
        shelf.scan()
        assert kept(shelf, mira) == [(str(inner / "mira.safetensors"), "misplaced")]
        shelf.add_root("loras", inner)
        assert kept(shelf, mira) == []

    def test_with_a_name_that_is_no_utf8(self, shelf: Shelf, mira: str) -> None:
        path = shelf.vae / os.fsdecode(b"\xff\x1b.safetensors")
        (shelf.loras / "mira.safetensors").rename(path)
        shelf.scan()
        assert kept(shelf, mira) == [(str(path), "misplaced")]

    def test_of_a_pending_import_is_shown_while_it_waits(self, shelf: Shelf) -> None:
        wrong = shelf.vae / "mira.safetensors"
        sha256 = write_bytes(wrong, lora())
        shelf.scan(stage=True)
        (pending_id,) = pending.ids(shelf.library)
        ((path, finding),) = detail(shelf.library, Target(pending_id=pending_id)).findings
        assert (path, finding.code) == (str(wrong), "misplaced")
        import_pending(shelf.library)
        assert kept(shelf, sha256) == [(str(wrong), "misplaced")]


class TestBaseModel:
    SAYS_SDXL = MappingProxyType({"ss_base_model_version": "sdxl_base_v1-0"})

    def base(self, shelf: Shelf, sha256: str) -> str:
        model = models.get(shelf.library, sha256)
        assert model is not None
        return model.base_model

    @pytest.fixture
    def sdxl(self, shelf: Shelf) -> str:
        sha256 = write_bytes(shelf.loras / "a.safetensors", lora(**self.SAYS_SDXL))
        shelf.scan()
        return sha256

    def test_that_nobody_typed_is_what_the_header_shows(self, shelf: Shelf, sdxl: str) -> None:
        assert self.base(shelf, sdxl) == "SDXL"
        assert shelf.user_data(sdxl)[0] == {}

    @pytest.mark.parametrize("typed", ["SD 1.5", "SDXL"])
    def test_that_a_person_typed_stays(self, shelf: Shelf, sdxl: str, typed: str, tmp_path: Path) -> None:
        shelf.edit(sdxl, base_model=typed)
        shelf.scan(reinspect=True)
        assert self.base(shelf, sdxl) == typed
        shelf.scan(rehash=True)
        assert self.base(shelf, sdxl) == typed
        (shelf.loras / "a.safetensors").rename(tmp_path / "away")
        shelf.scan(accept_missing=True)
        (tmp_path / "away").rename(shelf.vae / "b.safetensors")
        shelf.scan()
        assert self.base(shelf, sdxl) == typed

    def test_that_a_person_took_back_is_again_what_the_header_shows(self, shelf: Shelf, sdxl: str) -> None:
        shelf.edit(sdxl, base_model="mine")
        shelf.edit(sdxl, base_model="")
        shelf.scan(reinspect=True)
        assert self.base(shelf, sdxl) == "SDXL"

    def test_follows_better_rules_where_nobody_typed_it(
        self, shelf: Shelf, sdxl: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        judged_as(monkeypatch, base_model="Pony")
        shelf.scan()
        assert self.base(shelf, sdxl) == "SDXL"
        shelf.scan(reinspect=True)
        assert self.base(shelf, sdxl) == "Pony"

    def test_typed_about_a_pending_import_stays(self, shelf: Shelf) -> None:
        content = lora("b", **self.SAYS_SDXL)
        path = shelf.loras / "b.safetensors"
        sha256 = write_bytes(path, content)
        shelf.scan(stage=True)
        (pending_id,) = pending.ids(shelf.library)
        from mlib.services.updating import parse_edit, update

        update(shelf.library, [Target(pending_id=pending_id)], parse_edit(text={"base_model": "mine"}))
        shelf.scan()
        assert self.base(shelf, sha256) == "mine"

    def test_of_a_pending_import_is_filled_when_it_becomes_a_model(self, shelf: Shelf) -> None:
        sha256 = write_bytes(shelf.loras / "b.safetensors", lora("b", **self.SAYS_SDXL))
        shelf.scan(stage=True)
        shelf.scan()
        assert self.base(shelf, sha256) == "SDXL"


def judged_as(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Let later rules come to another conclusion."""
    real = inspection.conclude

    def conclude(header: Any) -> Any:
        return real(header)._replace(**changes)

    monkeypatch.setattr("mlib.core.inspection.conclude", conclude)
    monkeypatch.setattr("mlib.services.scanning.reinspection.conclude", conclude)


class TestReinspect:
    @pytest.fixture
    def opened(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The paths of all model files that are opened for reading, whoever does."""
        paths: list[str] = []
        real = os.open

        def watched(path: Any, *args: Any, **more: Any) -> int:
            if str(path).endswith((".safetensors", ".ckpt")):
                paths.append(str(path))
            return real(path, *args, **more)

        monkeypatch.setattr("mlib.core.disk.storage.os.open", watched)
        return paths

    def test_judges_from_kept_headers_and_opens_no_file(
        self, shelf: Shelf, opened: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sha256 = write_bytes(shelf.loras / "a.safetensors", lora())
        shelf.scan()
        assert opened == [str(shelf.loras / "a.safetensors")]
        opened.clear()
        judged_as(monkeypatch, kind="vae", base_model="SDXL", evidence=("because",))
        report = shelf.scan(reinspect=True)
        assert opened == []
        content = contents.get(shelf.library, sha256)
        assert content is not None
        assert (content.kind, content.base_model, content.evidence) == ("vae", "SDXL", ("because",))
        assert told(report) == {("a.safetensors", "misplaced")}
        assert kept(shelf, sha256) == [(str(shelf.loras / "a.safetensors"), "misplaced")]

    def test_a_finding_that_better_rules_do_not_share_is_gone(
        self, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sha256 = write_bytes(shelf.vae / "a.safetensors", lora())
        shelf.scan()
        assert len(kept(shelf, sha256)) == 1
        judged_as(monkeypatch, kind="vae")
        assert told(shelf.scan(reinspect=True)) == set()
        assert kept(shelf, sha256) == []

    def test_reads_where_no_header_is_kept(self, shelf: Shelf, opened: list[str]) -> None:
        sha256 = write_bytes(shelf.loras / "a.safetensors", lora())
        shelf.scan()
        forget(shelf, "headers")
        opened.clear()
        shelf.scan(reinspect=True)
        assert opened == [str(shelf.loras / "a.safetensors")]
        assert contents.header(shelf.library, sha256) is not None

    @pytest.mark.parametrize("packed", [b"", b"nonsense", b"x\x9c\x03\x00\x00\x00\x00\x01"])
    def test_reads_where_the_kept_header_is_damaged(
        self, shelf: Shelf, opened: list[str], packed: bytes
    ) -> None:
        sha256 = write_bytes(shelf.loras / "a.safetensors", lora())
        shelf.scan()
        with shelf.library.transaction():
            shelf.library.execute("UPDATE headers SET header = ?", [packed])
        opened.clear()
        shelf.scan(reinspect=True)
        assert opened == [str(shelf.loras / "a.safetensors")]
        assert contents.header(shelf.library, sha256) != packed

    def test_gives_a_library_made_before_there_were_contents_everything(
        self, shelf: Shelf, opened: list[str]
    ) -> None:
        right = write_bytes(shelf.loras / "a.safetensors", lora("a", ss_base_model_version="sdxl_base_v1-0"))
        wrong = write_bytes(shelf.vae / "b.ckpt", lora("b"))
        shelf.scan()
        told_before = {table: dumped(shelf, table) for table in ("contents", "findings", "headers", "models")}
        forget(shelf, "contents", "findings", "headers")
        with shelf.library.transaction():
            shelf.library.execute("UPDATE models SET base_model = ''", [])
        assert detail(shelf.library, Target(sha256=right)).content is None
        shelf.scan()
        opened.clear()
        report = shelf.scan(reinspect=True)
        assert sorted(opened) == [str(shelf.loras / "a.safetensors"), str(shelf.vae / "b.ckpt")]
        assert told(report) == {("b.ckpt", "misplaced"), ("b.ckpt", "wrong_extension")}
        assert {code for _, code in kept(shelf, wrong)} == {"misplaced", "wrong_extension"}
        assert {table: dumped(shelf, table) for table in told_before} == told_before

    def test_gives_it_to_a_real_library_of_that_time_too(self, tmp_path: Path, library_path: Path) -> None:
        """One whose steps end before `m003_contents`: opening it makes the tables, a bare scan fills none."""
        right = write_bytes(tmp_path / "l/a.safetensors", lora("a", ss_base_model_version="sdxl_base_v1-0"))
        write_bytes(tmp_path / "v/b.safetensors", lora("b"))
        mlib_here(
            "scan", "--root", f"loras={tmp_path}/l", "--root", f"vae={tmp_path}/v", library=library_path
        )
        new = mlib_here("show", right, "--json", library=library_path).json
        make_older(library_path, last="m002_strip_image_payloads")
        with closing(sqlite3.connect(library_path)) as db:
            db.execute("UPDATE models SET base_model = ''")
            db.commit()
        assert mlib_here("scan", "--json", library=library_path).json["findings"] == []
        assert mlib_here("show", right, "--json", library=library_path).json["kind"] is None
        report = mlib_here("scan", "--reinspect", "--json", library=library_path).json
        assert [(Path(each["path"]).name, each["code"]) for each in report["findings"]] == [
            ("b.safetensors", "misplaced")
        ]
        assert mlib_here("show", right, "--json", library=library_path).json == new

    def test_leaves_alone_a_file_that_changed_since(self, shelf: Shelf) -> None:
        sha256 = write_bytes(shelf.loras / "a.safetensors", lora())
        shelf.scan()
        forget(shelf, "contents", "headers")
        set_age(shelf.loras / "a.safetensors", 60)
        from mlib.services.scanning.headers import inspected_now

        (row,) = rows_of(shelf, sha256)
        problems: list[Problem] = []
        assert inspected_now(row, problems) is None
        assert problems == []

    def test_of_a_part_judges_that_part(self, shelf: Shelf) -> None:
        one = write_bytes(shelf.loras / "sub" / "a.safetensors", lora("a"))
        other = write_bytes(shelf.loras / "b.safetensors", lora("b"))
        shelf.scan()
        for paths in ([str(shelf.loras / "sub")], [str(shelf.loras / "sub" / "a.safetensors")]):
            forget(shelf, "contents")
            shelf.scan(paths=paths, reinspect=True)
            assert contents.get(shelf.library, one) is not None
            assert contents.get(shelf.library, other) is None

    def test_in_a_dry_run_writes_nothing(self, shelf: Shelf) -> None:
        write_bytes(shelf.loras / "a.safetensors", lora())
        shelf.scan()
        forget(shelf, "contents", "headers")
        before = Path(shelf.library.path).read_bytes()
        shelf.scan(reinspect=True, dry_run=True)
        assert Path(shelf.library.path).read_bytes() == before

    def test_changes_nothing_where_the_rules_are_the_same(self, shelf: Shelf) -> None:
        write_bytes(shelf.vae / "a.ckpt", lora())
        write_bytes(shelf.loras / "page.safetensors", b"<html>")
        shelf.scan()
        tables = ("contents", "findings", "headers", "models", "files")
        before = {table: dumped(shelf, table) for table in tables}
        shelf.scan(reinspect=True)
        assert {table: dumped(shelf, table) for table in tables} == before

    def test_what_a_person_typed_stays(self, shelf: Shelf) -> None:
        sha256 = write_bytes(shelf.loras / "a.safetensors", lora())
        shelf.scan()
        shelf.edit(sha256, name="Mira", notes="mine", type="vae", tag=("x",), put=("a.b=1",))
        before = shelf.user_data(sha256)
        shelf.scan(reinspect=True)
        assert shelf.user_data(sha256) == before

    def test_of_a_missing_file_keeps_what_is_known(self, shelf: Shelf) -> None:
        sha256 = write_bytes(shelf.loras / "a.safetensors", lora())
        write_bytes(shelf.loras / "b.safetensors", lora("b"))
        shelf.scan()
        (shelf.loras / "a.safetensors").unlink()
        shelf.scan(reinspect=True)
        shelf.scan(reinspect=True)
        assert contents.get(shelf.library, sha256) is not None
        assert contents.header(shelf.library, sha256) is not None


def forget(shelf: Shelf, *tables: str) -> None:
    """What a library made before there were these tables has in them: nothing."""
    with shelf.library.transaction():
        for table in tables:
            shelf.library.execute(f"DELETE FROM {table}", [])


def rows_of(shelf: Shelf, sha256: str) -> list[Any]:
    from mlib.db import files

    return files.of_model(shelf.library, sha256)


class TestExitCode:
    """A cron job learns of a web page that was saved as a model, once."""

    PAGE = b"<!DOCTYPE html><html><body>Please log in</body></html>"

    @pytest.mark.parametrize("options", [(), ("-q",), ("--json",), ("--stage",)])
    def test_of_a_serious_finding_is_3_while_it_is_new(
        self, tmp_path: Path, library_path: Path, options: tuple[str, ...]
    ) -> None:
        write_bytes(tmp_path / "l" / "page.safetensors", self.PAGE)
        first = mlib_here("scan", "--root", f"loras={tmp_path}/l", *options, library=library_path, code=3)
        if options != ("--json",):
            assert f"serious: {tmp_path}/l/page.safetensors: " in first.err
        for again in ((), ("--rehash",), ("--reinspect",)):
            assert "page.safetensors" not in mlib_here("scan", *again, *options, library=library_path).err

    def test_of_another_finding_is_0(self, tmp_path: Path, library_path: Path) -> None:
        write_bytes(tmp_path / "v" / "lora.safetensors", lora())
        done = mlib_here("scan", "--root", f"vae={tmp_path}/v", library=library_path)
        assert "finding: " in done.err

    def test_every_serious_one_is_told(self, tmp_path: Path, library_path: Path) -> None:
        for number in range(30):
            write_bytes(tmp_path / "l" / f"{number}.safetensors", self.PAGE + bytes([number]))
        done = mlib_here("scan", "-q", "--root", f"loras={tmp_path}/l", library=library_path, code=3)
        assert done.err.count("serious: ") == 30
