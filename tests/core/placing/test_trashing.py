"""Files go to the bin that the FreeDesktop.org Trash specification names, and can be had back from it."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
from tests.libraries import snapshot
from tests.tools import set_age, write_bytes

from mlib.core.disk import trash_dirs
from mlib.core.disk.entries import Directory, rename_reserved
from mlib.core.disk.transfer import step
from mlib.core.disk.trash_dirs import Trashed, bins_for, put_back, trash_together
from mlib.core.disk.walk import Scope, walk
from mlib.core.errors import MlibError
from mlib.core.records import Root

if TYPE_CHECKING:
    from collections.abc import Sequence


@pytest.fixture(autouse=True)
def own_bins(tmp_path: Path, memory_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No bin is made at the top of the machine's disk."""
    real = trash_dirs._make

    def make(path: str) -> None:
        if not path.startswith((str(tmp_path), str(memory_disk.parent))):
            raise PermissionError(13, "permission denied", path)
        real(path)

    monkeypatch.setattr(trash_dirs, "_make", make)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_DATA_HOME": str(tmp_path / "data")}


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    for name in ("a", "b"):
        write_bytes(folder / name, name.encode())
    return folder


def trash(paths: Sequence[Path], environ: dict[str, str], roots: Sequence[Path] = ()) -> list[Trashed]:
    steps = [step(str(path), "trash") for path in paths]
    return trash_together(steps, roots=[str(root) for root in roots], environ=environ)


def described(trashed: Trashed) -> tuple[str, str]:
    """Path and DeletionDate of a description, which must be exactly as the specification has it."""
    match = re.fullmatch(
        r"\[Trash Info\]\nPath=([!-~]+)\nDeletionDate=(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\n",
        Path(trashed.info).read_text("ascii"),
    )
    assert match
    return unquote(match[1], errors="surrogateescape"), match[2]


class TestHomeBin:
    def test_each_lies_there_with_a_description(
        self, here: Path, environ: dict[str, str], tmp_path: Path
    ) -> None:
        done = trash([here / "a", here / "b"], environ)
        assert [each.target for each in done] == [str(tmp_path / f"data/Trash/files/{name}") for name in "ab"]
        assert [described(each)[0] for each in done] == [str(here / name) for name in "ab"]
        assert Path(done[0].target).read_bytes() == b"a"
        assert os.listdir(here) == []
        assert (tmp_path / "data/Trash").stat().st_mode & 0o777 == 0o700

    @pytest.mark.parametrize("name", ["ä ö%\n=.safetensors", os.fsdecode(b"\xff\xfe.ckpt"), "n" * 255])
    def test_any_name_can_be_had_back(self, here: Path, environ: dict[str, str], name: str) -> None:
        write_bytes(here / name, b"content")
        (trashed,) = trash([here / name], environ)
        assert described(trashed)[0] == str(here / name)
        assert put_back(trashed)
        assert (here / name).read_bytes() == b"content"
        assert not Path(trashed.info).exists()

    def test_files_of_one_name_lie_side_by_side(self, here: Path, environ: dict[str, str]) -> None:
        names = []
        for number in range(3):
            write_bytes(here / "m.ckpt", b"%d" % number)
            (trashed,) = trash([here / "m.ckpt"], environ)
            names.append(os.path.basename(trashed.target))
            assert Path(trashed.target).read_bytes() == b"%d" % number
        assert names == ["m.ckpt", "m.2.ckpt", "m.3.ckpt"]

    @pytest.mark.parametrize("left", ["files/a", "info/a.trashinfo"])
    def test_half_of_an_entry_that_somebody_left_is_kept(
        self, here: Path, environ: dict[str, str], tmp_path: Path, left: str
    ) -> None:
        write_bytes(tmp_path / "data/Trash" / left, b"theirs")
        (trashed,) = trash([here / "a"], environ)
        assert os.path.basename(trashed.target) == "a.2"
        assert (tmp_path / "data/Trash" / left).read_bytes() == b"theirs"

    def test_a_link_goes_and_its_target_stays(self, here: Path, environ: dict[str, str]) -> None:
        (here / "link").symlink_to("a")
        (trashed,) = trash([here / "link"], environ)
        assert os.readlink(trashed.target) == "a"
        assert sorted(os.listdir(here)) == ["a", "b"]


class TestOtherBins:
    def test_on_another_file_system_its_own_bin_is_used(
        self, memory_disk: Path, environ: dict[str, str]
    ) -> None:
        write_bytes(memory_disk / "a", b"a")
        (trashed,) = trash([memory_disk / "a"], environ, roots=[memory_disk])
        top = f"/dev/shm/.Trash-{os.getuid()}"
        assert trashed.target.startswith(f"{top}/files/a")
        assert described(trashed)[0] == os.path.relpath(memory_disk / "a", "/dev/shm")
        assert put_back(trashed)
        for directory in (f"{top}/files", f"{top}/info", top):
            with suppress(OSError):  # somebody else's rubbish may lie there
                os.rmdir(directory)

    def test_a_shared_bin_must_be_sticky_and_no_link(self, here: Path) -> None:
        folder = here / ".Trash"
        folder.mkdir()
        assert not trash_dirs._is_shared_bin(str(folder))
        folder.chmod(0o1777)
        assert trash_dirs._is_shared_bin(str(folder))
        folder.rename(here / "elsewhere")
        folder.symlink_to("elsewhere")
        assert not trash_dirs._is_shared_bin(str(folder))

    def test_where_no_bin_of_the_system_can_be_used_the_root_gets_one_that_scans_pass_over(
        self, here: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = trash_dirs._make

        def unwritable(path: str) -> None:
            if not path.endswith(".mlib-trash"):
                raise PermissionError(13, "permission denied", path)
            real(path)

        monkeypatch.setattr(trash_dirs, "_make", unwritable)
        for name in ("gone.ckpt", "kept.ckpt"):
            write_bytes(here / name, b"content")
        (trashed,) = trash([here / "gone.ckpt"], environ, roots=[here.parent, here])
        assert trashed.target == str(here / ".mlib-trash/files/gone.ckpt")
        root = Root("loras", str(here), "user")
        listed = [name for listing in walk([Scope(root, root.path)], roots=[root]) for name in listing.files]
        assert listed == ["kept.ckpt"]

    def test_a_bin_that_a_scan_would_look_into_is_not_used(
        self, here: Path, tmp_path: Path, environ: dict[str, str]
    ) -> None:
        first = next(bins_for(str(here / "a"), roots=[str(tmp_path)], environ=environ))
        assert first.path != str(tmp_path / "data/Trash")

    def test_a_bin_that_is_a_link_is_not_used(
        self, here: Path, tmp_path: Path, environ: dict[str, str]
    ) -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "data/Trash").symlink_to(tmp_path / "elsewhere")
        (trashed,) = trash([here / "a"], environ, roots=[here])
        assert str(tmp_path / "data") not in trashed.target
        assert os.listdir(tmp_path / "elsewhere") == []
        assert put_back(trashed)


class TestNothingByHalves:
    def test_if_one_cannot_go_none_goes(self, here: Path, environ: dict[str, str]) -> None:
        steps = [step(str(here / name), "trash") for name in "ab"]
        set_age(here / "b", 5)
        before = snapshot(here)
        with pytest.raises(MlibError) as caught:
            trash_together(steps, roots=(), environ=environ)
        assert (caught.value.code, snapshot(here)) == ("changed", before)

    def test_if_one_is_gone_none_goes(self, here: Path, environ: dict[str, str]) -> None:
        steps = [step(str(here / name), "trash") for name in "ab"]
        (here / "b").unlink()
        with pytest.raises(MlibError) as caught:
            trash_together(steps, roots=(), environ=environ)
        assert (caught.value.code, os.listdir(here)) == ("gone", ["a"])

    def test_what_was_put_in_its_place_in_the_very_moment_is_put_back(
        self, here: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def late(source: Directory, name: str, target: Directory, new_name: str) -> None:
            if name == "a":
                write_bytes(here / "new", b"somebody's work")
                (here / "new").rename(here / "a")
            rename_reserved(source, name, target, new_name)

        monkeypatch.setattr("mlib.core.disk.trash_dirs.rename_reserved", late)
        with pytest.raises(MlibError) as caught:
            trash([here / "a"], environ)
        assert caught.value.code == "changed"
        assert (here / "a").read_bytes() == b"somebody's work"

    def test_where_every_bin_refuses_the_file_stays(
        self, here: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def unwritable(path: str) -> None:
            raise PermissionError(13, "permission denied", path)

        monkeypatch.setattr(trash_dirs, "_make", unwritable)
        with pytest.raises(MlibError) as caught:
            trash([here / "a"], environ)
        assert (caught.value.code, (here / "a").read_bytes()) == ("cannot_trash", b"a")
