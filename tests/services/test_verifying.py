"""What became of the files: sound, edited, rotten, damaged, gone, unreadable. Nothing is changed by it."""

from __future__ import annotations

import os
import struct
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.libraries import dump, known_file, put_files, put_model
from tests.services.files_meant import meant
from tests.services.shelf import SIZE, unplug
from tests.tools import set_age, write_bytes, write_model

from mlib.core.disk import uncached as core_verifying
from mlib.core.disk.storage import DiskTraits
from mlib.core.disk.uncached import Reread, reread
from mlib.core.events import FileStored
from mlib.db import files
from mlib.services.files.verifying import VerifyReport, VerifyRequest, verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.services.shelf import Shelf

#: A regular file whose first byte cannot be read, even by root.
UNREADABLE = "/proc/self/mem"


@pytest.fixture
def model(shelf: Shelf) -> Path:
    """One of two models."""
    path = shelf.loras / "a.safetensors"
    write_model(path)
    write_model(shelf.loras / "sound.safetensors")
    shelf.scan()
    return path


def run(shelf: Shelf, *refs: str | Path, **how: Any) -> VerifyReport:
    chosen = meant(shelf, *refs) if refs else None
    return verify(shelf.library, VerifyRequest(meant=chosen, **how))


def bad(report: VerifyReport) -> list[tuple[str, str]]:
    return [(each.state, os.path.basename(each.path)) for each in report.bad]


def rewrite(path: Path, content: bytes) -> None:
    """Other bytes in the same inode with the same date: what a disk does that forgets."""
    status = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def rot(path: Path, at: int = -1) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    rewrite(path, bytes(content))


@pytest.mark.parametrize("deep", [False, True])
class TestBothWays:
    def test_sound_files_are_ok_and_nothing_is_changed(self, shelf: Shelf, model: Path, deep: bool) -> None:
        before = {name: rows for name, rows in dump(shelf.library.path).items() if name != "verified"}
        report = run(shelf, deep=deep)
        assert (report.checked, report.ok, report.bad, report.skipped) == (2, 2, [], 0)
        assert report.bytes_read == (2 * SIZE if deep else 0)
        after = {name: rows for name, rows in dump(shelf.library.path).items() if name != "verified"}
        assert after == before
        assert shelf.at(model)

    def test_an_edit_is_told_as_one(self, shelf: Shelf, model: Path, deep: bool) -> None:
        write_model(model, "other", size=65)
        set_age(shelf.loras / "sound.safetensors", 60)
        report = run(shelf, deep=deep)
        assert bad(report) == [("changed", "a.safetensors"), ("changed", "sound.safetensors")]
        assert ["size" in report.bad[0].message, "date" in report.bad[1].message] == [True, True]
        assert report.bytes_read == 0

    @pytest.mark.parametrize("leaves", ["nothing", "an empty folder"])
    def test_on_a_disk_that_is_off_nothing_is_gone(
        self, shelf: Shelf, model: Path, deep: bool, leaves: str
    ) -> None:
        write_model(shelf.vae / "here.safetensors")
        shelf.scan()
        unplug(shelf.loras)
        if leaves == "an empty folder":
            shelf.loras.mkdir()
        report = run(shelf, deep=deep)
        assert (report.checked, report.ok, bad(report)) == (1, 1, [])
        assert report.offline == {str(model.parent): 2}

    def test_a_file_or_its_folder_may_be_gone_and_is_not_marked_missing(
        self, shelf: Shelf, model: Path, deep: bool
    ) -> None:
        write_model(shelf.vae / "sub" / "b.safetensors")
        write_model(shelf.vae / "sound.safetensors")
        shelf.scan()
        model.unlink()
        (shelf.vae / "sub").rename(shelf.loras.parent / "away")
        report = run(shelf, deep=deep)
        assert bad(report) == [("gone", "a.safetensors"), ("gone", "b.safetensors")]
        assert "folder" in report.bad[1].message
        assert shelf.at(model)

    @pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
    def test_what_is_no_file_any_more_is_gone(
        self, shelf: Shelf, model: Path, make: Callable[[Path], None], deep: bool
    ) -> None:
        model.unlink()
        make(model)
        report = run(shelf, deep=deep)
        assert bad(report) == [("gone", "a.safetensors")]

    def test_only_what_is_named_is_checked(self, shelf: Shelf, model: Path, deep: bool) -> None:
        model.unlink()
        report = run(shelf, shelf.loras / "sound.safetensors", deep=deep)
        assert (report.checked, report.bad) == (1, [])

    def test_an_empty_library_has_nothing_to_check(self, shelf: Shelf, deep: bool) -> None:
        assert run(shelf, deep=deep).checked == 0


class TestGlance:
    def test_another_file_of_the_same_size_and_date_is_told(self, shelf: Shelf, model: Path) -> None:
        """Somebody put a copy from a backup in its place: only its bytes can tell."""
        content, status = model.read_bytes(), model.stat()
        (shelf.loras / "new").write_bytes(content)
        os.utime(shelf.loras / "new", ns=(status.st_atime_ns, status.st_mtime_ns))
        (shelf.loras / "new").rename(model)
        assert bad(run(shelf)) == [("changed", "a.safetensors")]
        assert bad(run(shelf, deep=True)) == []

    def test_a_header_that_rotted_is_damage(self, shelf: Shelf, model: Path) -> None:
        rewrite(model, struct.pack("<Q", 2**40) + model.read_bytes()[8:])
        assert bad(run(shelf)) == [("damaged", "a.safetensors")]

    def test_no_byte_of_the_weights_is_read(self, shelf: Shelf, model: Path) -> None:
        rot(model)
        assert bad(run(shelf)) == []

    def test_what_may_run_code_is_no_damage(self, shelf: Shelf) -> None:
        write_bytes(
            shelf.loras / "p.pt", b"\x80\x02cposix\nsystem\nq\x00X\x02\x00\x00\x00lsq\x01\x85q\x02Rq\x03."
        )
        shelf.scan()
        assert bad(run(shelf)) == []


class TestDeep:
    def test_a_file_that_cannot_be_read_is_told(self, shelf: Shelf) -> None:
        sha256 = put_model(shelf.library)
        put_files(shelf.library, known_file(UNREADABLE, sha256, stat=None))
        assert bad(run(shelf, deep=True)) == [("unreadable", "mem")]

    @pytest.mark.parametrize("at", [0, 40, -1])
    def test_rot_is_told_apart_from_an_edit(self, shelf: Shelf, model: Path, at: int) -> None:
        rot(model, at)
        report = run(shelf, deep=True)
        assert bad(report) == [("rotten", "a.safetensors")]
        assert report.bytes_read == 3 * SIZE  # what is doubted is read twice

    def test_where_no_quick_hash_is_known_the_slow_one_decides(self, shelf: Shelf, model: Path) -> None:
        with shelf.library.transaction():
            shelf.library.execute("UPDATE files SET xxh3 = NULL", [])
        assert bad(run(shelf, deep=True)) == []
        rot(model)
        assert bad(run(shelf, deep=True)) == [("rotten", "a.safetensors")]

    def test_a_quick_hash_that_is_wrong_accuses_no_file(self, shelf: Shelf, model: Path) -> None:
        with shelf.library.transaction():
            shelf.library.execute("UPDATE files SET xxh3 = ? WHERE name = ?", ["0" * 32, model.name])
        report = run(shelf, deep=True)
        assert [(each.state, "twice" in each.message) for each in report.bad] == [("unreadable", True)]

    def test_a_cable_that_errs_once_is_told_as_that(
        self, shelf: Shelf, model: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        erred: list[str] = []

        def err_once(path: str, **how: Any) -> Reread | None:
            found = reread(path, **how)
            if found and path == str(model) and not erred:
                erred.append(path)
                return found._replace(digests=dict.fromkeys(found.digests, "0"))
            return found

        monkeypatch.setattr(core_verifying, "reread", err_once)
        assert bad(run(shelf, deep=True)) == [("unreadable", "a.safetensors")]

    def test_hard_links_are_read_once(self, shelf: Shelf, model: Path) -> None:
        (shelf.vae / "link.safetensors").hardlink_to(model)
        shelf.scan()
        report = run(shelf, deep=True)
        assert (report.checked, report.ok, report.bytes_read) == (3, 3, 2 * SIZE)
        rot(model)
        assert bad(run(shelf, deep=True)) == [("rotten", "a.safetensors"), ("rotten", "link.safetensors")]

    def test_of_two_hard_links_one_may_have_been_replaced(self, shelf: Shelf, model: Path) -> None:
        (shelf.vae / "link.safetensors").hardlink_to(model)
        shelf.scan()
        (shelf.vae / "link.safetensors").unlink()
        write_model(shelf.vae / "link.safetensors", "other", age=60)
        assert bad(run(shelf, deep=True)) == [("changed", "link.safetensors")]

    def test_a_file_that_was_hashed_too_soon_has_no_date_that_proves_rot(self, shelf: Shelf) -> None:
        path = shelf.loras / "a.safetensors"
        write_model(path, age=-3600)
        shelf.scan()
        rot(path)
        assert bad(run(shelf, deep=True)) == [("changed", "a.safetensors")]

    def test_a_limit_is_kept(self, shelf: Shelf, model: Path) -> None:
        write_bytes(shelf.loras / "big.pt", os.urandom(4 << 20))
        shelf.scan()
        started = time.monotonic()
        report = run(shelf, deep=True, max_rate=8 << 20)
        assert report.bytes_read > 4 << 20
        assert time.monotonic() - started > 0.4
        assert model.exists()


class TestOlderThan:
    HOUR = 3_600_000

    def test_what_was_read_since_is_skipped(self, shelf: Shelf, model: Path) -> None:
        with shelf.library.transaction():  # the scan was long ago
            shelf.library.execute("UPDATE files SET hashed_at = 1000", [])
        assert run(shelf, model, deep=True, unread_for=self.HOUR).checked == 1
        report = run(shelf, deep=True, unread_for=self.HOUR)
        assert (report.checked, report.skipped) == (1, 1)
        assert run(shelf, deep=True, unread_for=self.HOUR).checked == 0
        assert run(shelf, deep=True, unread_for=0).checked == 2

    def test_a_scan_reads_files_whole_too(self, shelf: Shelf, model: Path) -> None:
        assert run(shelf, deep=True, unread_for=self.HOUR).skipped == 2
        assert model.exists()

    def test_what_is_not_sound_is_checked_again(self, shelf: Shelf, model: Path) -> None:
        with shelf.library.transaction():
            shelf.library.execute("UPDATE files SET hashed_at = 1000", [])
        rot(model)
        for _ in range(2):
            assert bad(run(shelf, deep=True, unread_for=self.HOUR)) == [("rotten", "a.safetensors")]

    def test_a_glance_is_no_reading(self, shelf: Shelf, model: Path) -> None:
        run(shelf)
        assert dump(shelf.library.path)["verified"] == []
        assert model.exists()

    def test_those_that_were_not_read_for_the_longest_time_come_first(
        self, shelf: Shelf, model: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            "mlib.core.disk.readers.storage_of", lambda _device: DiskTraits(1, keeps_inodes=True)
        )
        with shelf.library.transaction():
            shelf.library.execute(
                "UPDATE files SET hashed_at = CASE WHEN name LIKE 's%' THEN 1 ELSE 2 END", []
            )
        stored: list[str] = []
        verify(
            shelf.library,
            VerifyRequest(deep=True),
            emit=lambda event: stored.append(event.path) if isinstance(event, FileStored) else None,
        )
        assert [os.path.basename(path) for path in stored] == ["sound.safetensors", model.name]

    def test_what_is_forgotten_is_forgotten_here_too(self, shelf: Shelf, model: Path) -> None:
        run(shelf, deep=True)
        (row,) = files.at_path(shelf.library, str(model))
        with shelf.library.transaction():
            files.remove(shelf.library, row)
        assert len(dump(shelf.library.path)["verified"]) == 1


def test_what_was_done_when_it_is_interrupted_is_kept(
    shelf: Shelf, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlib.services.files.verifying.FLUSH_FILES", 1)

    def stop(event: object) -> None:
        if isinstance(event, FileStored):
            raise KeyboardInterrupt

    report = verify(shelf.library, VerifyRequest(deep=True), emit=stop)
    assert isinstance(report.interrupted, KeyboardInterrupt)
    assert len(dump(shelf.library.path)["verified"]) >= 1
    assert model.exists()
