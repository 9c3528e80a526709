"""A file gets another name, and never one that is in use."""

from __future__ import annotations

import errno
import os
import re
from typing import TYPE_CHECKING

import pytest

from mlib.core.disk import entries, system
from mlib.core.disk.compare import stat_of
from mlib.core.disk.entries import Directory, Folders, HeldInode, content_of, lock, temporary_name
from mlib.core.errors import MlibError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def rename_new(source: str, target: str) -> None:
    with Folders() as folders:
        entries.rename_new(*folders.split(source), *folders.split(target))


def is_other_spelling(source: str, target: str) -> bool:
    with Folders() as folders:
        return entries.is_other_spelling(*folders.split(source), *folders.split(target))


@pytest.fixture(params=["renameat2", "link"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the file system does it: with an exclusive rename, or without one."""
    if request.param == "link":
        monkeypatch.setattr(system, "renameat2", lambda: None)
    return str(request.param)


@pytest.mark.usefixtures("way")
class TestBothWays:
    def test_the_file_is_the_same_under_its_new_name(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"content")
        inode = (tmp_path / "a").stat().st_ino
        rename_new(str(tmp_path / "a"), str(tmp_path / "b"))
        assert os.listdir(tmp_path) in (["b"], ["b", "home"], ["home", "b"])
        assert (tmp_path / "b").stat().st_ino == inode

    @pytest.mark.parametrize("there", ["file", "directory", "link", "broken link", "the same file"])
    def test_whatever_has_the_name_keeps_it(self, tmp_path: Path, there: str) -> None:
        source, target = tmp_path / "a", tmp_path / "b"
        source.write_bytes(b"content")
        if there == "file":
            target.write_bytes(b"other")
        elif there == "directory":
            target.mkdir()
        elif there == "the same file":
            target.hardlink_to(source)
        else:
            target.symlink_to(source if there == "link" else "nowhere")
        before = target.lstat()
        with pytest.raises(FileExistsError):
            rename_new(str(source), str(target))
        assert source.read_bytes() == b"content"
        assert os.path.samestat(before, target.lstat())

    def test_a_link_goes_and_not_what_it_leads_to(self, tmp_path: Path) -> None:
        (tmp_path / "model").write_bytes(b"content")
        (tmp_path / "a").symlink_to("model")
        rename_new(str(tmp_path / "a"), str(tmp_path / "b"))
        assert (tmp_path / "b").readlink().name == "model"
        assert (tmp_path / "model").read_bytes() == b"content"

    def test_another_file_system_is_told(self, tmp_path: Path, memory_disk: Path) -> None:
        (tmp_path / "a").write_bytes(b"content")
        with pytest.raises(OSError, match="ross-device") as caught:
            rename_new(str(tmp_path / "a"), str(memory_disk / "a"))
        assert caught.value.errno == errno.EXDEV
        assert list(memory_disk.iterdir()) == []


def test_without_a_safe_way_nothing_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(system, "renameat2", lambda: None)
    monkeypatch.setattr(os, "link", no_links)
    (tmp_path / "a").write_bytes(b"content")
    with pytest.raises(OSError, match="risk of overwriting"):
        rename_new(str(tmp_path / "a"), str(tmp_path / "b"))
    assert (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()


class TestOtherSpelling:
    """Case-insensitive directories are seldom at hand: what one lists is told by hand."""

    def test_two_hard_links_are_two_names(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"")
        (tmp_path / "A").hardlink_to(tmp_path / "a")
        assert not is_other_spelling(str(tmp_path / "a"), str(tmp_path / "A"))

    def test_a_free_name_is_another_name(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"")
        assert not is_other_spelling(str(tmp_path / "a"), str(tmp_path / "A"))

    def test_one_entry_seen_under_both_is_one_name(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "a").write_bytes(b"")
        (tmp_path / "A").hardlink_to(tmp_path / "a")
        monkeypatch.setattr(os, "listdir", lambda _directory: ["a"])
        assert is_other_spelling(str(tmp_path / "a"), str(tmp_path / "A"))
        assert not is_other_spelling(str(tmp_path / "a"), str(tmp_path / "a"))


class TestWhatIsLookedAt:
    """What is moved, replaced or removed is the file that was looked at, or it stays."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Iterator[Directory]:
        (tmp_path / "models").mkdir()
        (tmp_path / "models" / "a").write_bytes(b"content")
        with Directory(str(tmp_path / "models")) as directory:
            yield directory

    def test_a_file_that_somebody_writes_to_is_not_removed(self, folder: Directory) -> None:
        was = stat_of(folder.stat("a"))
        with open(folder.path_of("a"), "r+b") as writer:
            with pytest.raises(MlibError) as caught:
                entries.remove(folder, "a", was=was)
            assert caught.value.code == "changed"
            writer.write(b"theirs!")
        assert os.listdir(folder.path) == ["a"]
        assert content_of(folder, "a") == b"theirs!"

    @pytest.mark.parametrize("way", ["exchange", "steps"])
    def test_nor_replaced(self, folder: Directory, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
        if way == "steps":
            monkeypatch.setattr(system, "renameat2", lambda: None)
        was = stat_of(folder.stat("a"))
        temporary, descriptor = entries.make_temporary(folder, "partial", "a")
        os.write(descriptor, b"ours")
        with open(folder.path_of("a"), "r+b") as writer:
            with pytest.raises(MlibError) as caught:
                entries.replace(folder, temporary, "a", was=was)
            assert caught.value.code == "changed"
            writer.write(b"theirs!")
        os.close(descriptor)
        assert os.listdir(folder.path) == ["a"]
        assert content_of(folder, "a") == b"theirs!"

    @pytest.mark.parametrize("way", ["exchange", "steps"])
    def test_what_was_looked_at_is_replaced(
        self, folder: Directory, way: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if way == "steps":
            monkeypatch.setattr(system, "renameat2", lambda: None)
        temporary, descriptor = entries.make_temporary(folder, "partial", "a")
        os.write(descriptor, b"ours")
        entries.replace(folder, temporary, "a", was=stat_of(folder.stat("a")))
        os.close(descriptor)
        assert os.listdir(folder.path) == ["a"]
        assert content_of(folder, "a") == b"ours"

    def test_a_file_that_somebody_writes_to_moves_with_its_writer(self, folder: Directory) -> None:
        with open(folder.path_of("a"), "r+b") as writer:
            entries.move(folder, "a", folder, "b", was=stat_of(folder.stat("a")))
            writer.write(b"theirs!")
        assert content_of(folder, "b") == b"theirs!"

    def test_what_is_put_back_never_takes_a_name_that_is_in_use(
        self, folder: Directory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Two other programs at once: what one had put there stays aside, and is told."""

        def looks_at_another(_file: HeldInode, directory: Directory, _name: str) -> bool:
            with open(directory.path_of("a"), "xb") as file:
                file.write(b"newest")
            return False

        monkeypatch.setattr(HeldInode, "stood_still", looks_at_another)
        with pytest.raises(MlibError) as caught:
            entries.remove(folder, "a", was=stat_of(folder.stat("a")))
        assert caught.value.code == "half_moved"
        (aside,) = (name for name in os.listdir(folder.path) if name != "a")
        assert aside in caught.value.message
        assert (content_of(folder, "a"), content_of(folder, aside)) == (b"newest", b"content")


def test_temporary_names_are_never_two_times_the_same_and_end_in_what_they_are_for() -> None:
    names = {temporary_name("partial", "n" * 255) for _ in range(1000)}
    assert len(names) == 1000
    assert all(re.fullmatch(r"\.mlib-[0-9a-f]{16}-[0-9a-f]{16}\.partial", name) for name in names)


def test_a_temporary_file_that_is_swept_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept: list[str] = []

    def late(descriptor: int) -> bool:
        if not swept:
            (left,) = tmp_path.glob(".mlib-*")
            left.unlink()
            swept.append(left.name)
        return lock(descriptor)

    monkeypatch.setattr(entries, "lock", late)
    with Directory(str(tmp_path)) as directory:
        name, descriptor = entries.make_temporary(directory, "copy", "a")
        assert [name] == [each.name for each in tmp_path.glob(".mlib-*")] != swept
        os.close(descriptor)
