"""Files move together: all arrive, or all stay."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from tests.libraries import snapshot
from tests.tools import set_age, write_bytes

from mlib.core.disk.entries import Directory, rename_new, temporary_name
from mlib.core.disk.transfer import Step, move_together, step
from mlib.core.errors import MlibError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@pytest.fixture(params=["same", "other"])
def there(request: pytest.FixtureRequest, tmp_path: Path, memory_disk: Path) -> Path:
    """A folder on the same file system, or on another one."""
    folder = tmp_path / "there" if request.param == "same" else memory_disk / "there"
    folder.mkdir()
    return folder


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Three files."""
    folder = tmp_path / "here"
    for name in ("a", "b", "c"):
        write_bytes(folder / name, name.encode() * 3_000_000)
    return folder


def steps(here: Path, there: Path, names: Sequence[str] = ("a", "b", "c")) -> list[Step]:
    return [step(str(here / name), str(there / name)) for name in names]


def code(wanted: Sequence[Step]) -> str:
    with pytest.raises(MlibError) as caught:
        move_together(wanted)
    return caught.value.code


def test_all_arrive_with_their_bytes_times_and_modes(here: Path, there: Path) -> None:
    (here / "a").chmod(0o640)
    before = {name: (here / name).stat() for name in "abc"}
    content = {name: (here / name).read_bytes() for name in "abc"}
    move_together(steps(here, there))
    assert os.listdir(here) == []
    assert sorted(os.listdir(there)) == ["a", "b", "c"]
    for name in "abc":
        now = (there / name).stat()
        assert (there / name).read_bytes() == content[name]
        assert (now.st_mtime_ns, now.st_mode) == (before[name].st_mtime_ns, before[name].st_mode)


@pytest.mark.parametrize("taken", ["a", "b", "c"])
def test_if_one_name_is_taken_all_stay(here: Path, there: Path, taken: str) -> None:
    (there / taken).write_bytes(b"mine")
    before = snapshot(here), snapshot(there)
    assert code(steps(here, there)) == "exists"
    assert (snapshot(here), snapshot(there)) == before


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_if_one_changed_since_all_stay(here: Path, there: Path, name: str) -> None:
    wanted = steps(here, there)
    set_age(here / name, 5)
    before = snapshot(here), snapshot(there)
    assert code(wanted) == "changed"
    assert (snapshot(here), snapshot(there)) == before


def test_if_one_is_gone_all_stay(here: Path, there: Path) -> None:
    wanted = steps(here, there)
    (here / "c").unlink()
    assert code(wanted) == "gone"
    assert sorted(os.listdir(here)) == ["a", "b"]
    assert os.listdir(there) == []


def test_if_it_is_interrupted_all_stay(here: Path, there: Path) -> None:
    """Right after a name was given, before anything has noted that."""

    def interrupted(source: Directory, name: str, target: Directory, new_name: str) -> None:
        rename_new(source, name, target, new_name)
        if (target.path, new_name) == (str(there), "b"):
            raise KeyboardInterrupt

    before = snapshot(here)
    with pytest.raises(KeyboardInterrupt):
        move_together(steps(here, there), rename=interrupted)
    assert snapshot(here) == before
    assert os.listdir(there) == []


def test_a_link_leads_where_it_led(here: Path, there: Path) -> None:
    (here / "link").symlink_to("a")
    (here / "absolute").symlink_to(here / "b")
    move_together(steps(here, there, ["link", "absolute"]))
    assert (there / "link").resolve() == here / "a"
    assert (there / "absolute").resolve() == here / "b"
    assert sorted(os.listdir(here)) == ["a", "b", "c"]


def test_a_link_and_a_file_go_together(here: Path, there: Path) -> None:
    (here / "link").symlink_to("a")
    (there / "b").write_bytes(b"mine")
    assert code(steps(here, there, ["link", "b"])) == "exists"
    assert (here / "link").resolve() == here / "a"
    (there / "b").unlink()
    move_together(steps(here, there, ["link", "b"]))
    assert (sorted(os.listdir(here)), sorted(os.listdir(there))) == (["a", "c"], ["b", "link"])


def test_a_name_that_is_taken_costs_no_copy(here: Path, there: Path) -> None:
    (there / "a").write_bytes(b"mine")
    copied: list[int] = []
    with pytest.raises(MlibError) as caught:
        move_together(steps(here, there), advance=copied.append)
    assert (caught.value.code, copied) == ("exists", [])


def test_a_link_goes_only_once_the_new_one_is_on_the_disk(
    here: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "link").symlink_to("a")
    synced: list[tuple[bool, bool]] = []

    def watched(_directory: Directory) -> None:
        synced.append((os.path.lexists(there / "link"), os.path.lexists(here / "link")))

    monkeypatch.setattr(Directory, "sync", watched)
    move_together(steps(here, there, ["link"]))
    assert synced[0] == (True, True)


def test_a_directory_is_no_step(tmp_path: Path) -> None:
    with pytest.raises(MlibError) as caught:
        step(str(tmp_path), str(tmp_path / "b"))
    assert caught.value.code == "not_a_file"


class TestCopies:
    """To another file system."""

    def test_bytes_that_are_not_the_ones_wanted_stay(self, here: Path, memory_disk: Path) -> None:
        (wanted,) = steps(here, memory_disk, ["a"])
        assert code([wanted._replace(sha256="0" * 64)]) == "rotten"
        assert (os.listdir(memory_disk), sorted(os.listdir(here))) == ([], ["a", "b", "c"])

    def test_a_disk_that_gives_back_other_bytes_gets_nothing(
        self, here: Path, memory_disk: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = os.fsync

        def forgetful(descriptor: int) -> None:
            real(descriptor)
            if os.readlink(f"/proc/self/fd/{descriptor}").endswith(".copy"):
                os.pwrite(descriptor, b"?", 1_000_000)

        monkeypatch.setattr(os, "fsync", forgetful)
        assert code(steps(here, memory_disk, ["a"])) == "copy_differs"
        assert (os.listdir(memory_disk), sorted(os.listdir(here))) == ([], ["a", "b", "c"])

    def test_an_original_that_grows_faster_than_it_is_copied_stays(
        self, here: Path, memory_disk: Path
    ) -> None:
        copied: list[int] = []

        def advance(size: int) -> None:
            copied.append(size)
            assert len(copied) < 100, "it goes on for ever"
            with (here / "a").open("ab") as file:
                file.write(b"x" * 2 * size)

        with pytest.raises(MlibError) as caught:
            move_together(steps(here, memory_disk, ["a"]), advance=advance)
        assert caught.value.code == "changed"
        assert (os.listdir(memory_disk), sorted(os.listdir(here))) == ([], ["a", "b", "c"])

    def test_what_a_copy_that_was_cut_off_left_goes(self, here: Path, memory_disk: Path) -> None:
        left = memory_disk / temporary_name("copy", "a")
        left.write_bytes(b"x" * 20_000_000)
        other = memory_disk / temporary_name("copy", "b")
        other.write_bytes(b"x")
        move_together(steps(here, memory_disk, ["a"]))
        assert sorted(os.listdir(memory_disk)) == sorted(["a", other.name])
        assert (memory_disk / "a").read_bytes() == b"a" * 3_000_000

    def test_two_at_once_do_not_copy_to_one_name(self, here: Path, memory_disk: Path) -> None:
        import fcntl

        with (memory_disk / temporary_name("copy", "a")).open("wb") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            other.write(b"theirs")
            other.flush()
            assert code(steps(here, memory_disk, ["a"])) == "busy"
        assert (memory_disk / os.path.basename(other.name)).read_bytes() == b"theirs"

    def test_an_original_that_changed_in_the_end_is_kept_beside_the_copy(
        self, here: Path, memory_disk: Path
    ) -> None:
        def written_to(source: Directory, name: str, target: Directory, new_name: str) -> None:
            rename_new(source, name, target, new_name)
            if new_name == "a":
                (here / "a").write_bytes(b"new words")

        with pytest.raises(MlibError) as caught:
            move_together(steps(here, memory_disk, ["a"]), rename=written_to)
        assert caught.value.code == "half_moved"
        assert (here / "a").read_bytes() == b"new words"
        assert (memory_disk / "a").read_bytes() == b"a" * 3_000_000

    def test_the_longest_name_there_can_be_has_a_temporary_one(self, here: Path, memory_disk: Path) -> None:
        name = "n" * 255
        (here / "a").rename(here / name)
        move_together(steps(here, memory_disk, [name]))
        assert os.listdir(memory_disk) == [name]
