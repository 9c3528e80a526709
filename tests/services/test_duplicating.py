"""Copies are found by their inodes, and made one without ever losing the last."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.faults.machine import mounted
from tests.libraries import known_file, snapshot
from tests.services.files_meant import journal, listing
from tests.services.shelf import SIZE
from tests.tools import set_age, write_bytes, write_model

from mlib.core.disk.entries import temporary_name
from mlib.core.records import Stat
from mlib.services.files import duplicating
from mlib.services.files.duplicating import (
    Copy,
    CopyGroup,
    DuplicatesReport,
    carry_out,
    choose,
    find_duplicates,
    find_same_weights,
    simulate,
)
from mlib.services.files.extra_hashes import digest_models
from mlib.services.files.selection import expect_content

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.shelf import Shelf

    from mlib.services.files.duplicating import Action


Form = Literal["NFC", "NFD"]
FORMS: tuple[Form, Form] = ("NFC", "NFD")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_DATA_HOME": str(tmp_path / "data")}


@pytest.fixture
def copies(shelf: Shelf) -> list[Path]:
    """Three copies of one model, the last the newest and with the longest path, and another model."""
    paths = [shelf.loras / "a.safetensors", shelf.loras / "bb.safetensors", shelf.vae / "deep/c.safetensors"]
    for age, path in zip((3000, 2000, 1000), paths, strict=True):
        write_model(path, "same", age=age)
    write_model(shelf.loras / "other.safetensors")
    shelf.scan()
    return paths


def run(shelf: Shelf, action: Action, environ: dict[str, str], keep: str = "shortest") -> DuplicatesReport:
    choices, left = choose(find_duplicates(shelf.library), keep)
    report = carry_out(shelf.library, choices, action, environ=environ)
    report.left_alone = left
    return report


def codes(report: DuplicatesReport) -> list[tuple[str, str]]:
    return [(os.path.basename(each.path), each.code) for each in report.failed]


def rewrite(path: Path, content: bytes) -> None:
    """Other bytes of the same size and date."""
    status = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


class TestFind:
    def test_copies_are_told_with_what_all_but_one_take(self, shelf: Shelf, copies: list[Path]) -> None:
        (group,) = find_duplicates(shelf.library)
        assert [copy.row.path for copy in group.copies] == [str(path) for path in copies]
        assert group.freeable_bytes == 2 * SIZE

    def test_what_frees_most_comes_first(self, shelf: Shelf, copies: list[Path]) -> None:
        for name in ("d", "e"):
            write_model(shelf.loras / f"{name}.safetensors", "big", size=1000)
        shelf.scan()
        assert [len(group.copies) for group in find_duplicates(shelf.library)] == [2, 3]
        assert len(find_duplicates(shelf.library, [str(shelf.at(copies[0]))])) == 1

    @pytest.mark.parametrize("kind", ["hard", "symbolic"])
    def test_links_are_no_copies(self, shelf: Shelf, kind: str) -> None:
        path, link = shelf.loras / "a.safetensors", shelf.vae / "link.safetensors"
        write_model(path)
        if kind == "hard":
            link.hardlink_to(path)
        else:
            link.symlink_to(path)
        shelf.scan()
        assert find_duplicates(shelf.library) == []

    @pytest.mark.parametrize("what", ["gone", "changed", "a hard link", "a link"])
    def test_what_rows_say_is_looked_at_on_the_disk(
        self, shelf: Shelf, copies: list[Path], what: str
    ) -> None:
        for path in copies[1:]:
            path.unlink()
            if what == "changed":
                write_model(path, "other words")
            elif what == "a hard link":
                path.hardlink_to(copies[0])
            elif what == "a link":
                path.symlink_to(copies[0])
        assert find_duplicates(shelf.library) == []

    def test_what_another_name_keeps_is_not_freed(self, shelf: Shelf, copies: list[Path]) -> None:
        (shelf.loras.parent / "elsewhere").hardlink_to(copies[1])
        choices, _ = choose(find_duplicates(shelf.library), "shortest")
        assert choices[0].freeable_bytes == SIZE

    def test_what_other_names_keep_is_not_told_as_free(self, shelf: Shelf, copies: list[Path]) -> None:
        (shelf.loras.parent / "elsewhere").hardlink_to(copies[1])
        (group,) = find_duplicates(shelf.library)
        assert group.freeable_bytes == 2 * SIZE
        (shelf.loras.parent / "one more").hardlink_to(copies[2])
        (group,) = find_duplicates(shelf.library)
        assert group.freeable_bytes == SIZE
        (shelf.loras.parent / "all of them").hardlink_to(copies[0])
        (group,) = find_duplicates(shelf.library)
        assert group.freeable_bytes == 0

    def test_a_name_that_a_linked_folder_shows_again_is_one_name(
        self, shelf: Shelf, copies: list[Path], tmp_path: Path
    ) -> None:
        shelf.add_root("vae", tmp_path / "again")
        (tmp_path / "again").rmdir()
        (tmp_path / "again").symlink_to(copies[0].parent)
        shelf.scan(roots=[f"vae={tmp_path / 'again'}"])
        (group,) = find_duplicates(shelf.library)
        assert len(group.copies) > 3
        for path in copies:
            (shelf.loras.parent / f"other {path.name}").hardlink_to(path)
        (group,) = find_duplicates(shelf.library)
        assert group.freeable_bytes == 0

    def test_the_same_weights_in_other_files_are_told_where_they_were_hashed(self, shelf: Shelf) -> None:
        from tests.tools import safetensors

        for name in ("a", "b"):
            write_bytes(shelf.loras / f"{name}.safetensors", safetensors("same", metadata={"for": name}))
        write_model(shelf.loras / "other.safetensors")
        shelf.scan()
        digest_models(shelf.library, None)
        (group,) = find_same_weights(shelf.library)
        assert len({copy.row.sha256 for copy in group.copies}) == 2
        assert find_same_weights(shelf.library, ["0" * 64]) == []
        assert find_duplicates(shelf.library) == []


class TestChoose:
    @pytest.mark.parametrize(
        ("keep", "kept"),
        [("newest", [2]), ("oldest", [0]), ("shortest", [0]), ("*/vae/*", [2]), ("*b*", [1])],
    )
    def test_one_way_is_told_by_one_word(
        self, shelf: Shelf, copies: list[Path], keep: str, kept: list[int]
    ) -> None:
        ((choice,), left) = choose(find_duplicates(shelf.library), keep if keep != "*b*" else "*/bb.*")
        assert [copy.row.path for copy in choice.kept] == [str(copies[at]) for at in kept]
        assert (len(choice.gone), left) == (2, [])

    def test_all_that_match_stay(self, shelf: Shelf, copies: list[Path]) -> None:
        ((choice,), _) = choose(find_duplicates(shelf.library), "*/loras/*")
        assert [copy.row.path for copy in choice.gone] == [str(copies[2])]

    def test_a_path_matches_itself_whatever_is_in_it(
        self, shelf: Shelf, copies: list[Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = shelf.loras / "style [v2].safetensors"
        copies[0].rename(path)
        shelf.scan()
        monkeypatch.chdir(shelf.loras)
        for keep in (str(path), path.name):
            ((choice,), _) = choose(find_duplicates(shelf.library), keep)
            assert [copy.row.path for copy in choice.kept] == [str(path)]

    @pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
    def test_both_forms_of_unicode_match(self, shelf: Shelf, copies: list[Path], on_disk: Form) -> None:
        path = shelf.loras / normalize(on_disk, "caf\u00e9 [v2].safetensors")
        copies[0].rename(path)
        shelf.scan()
        for form in FORMS:
            for keep in ("*/caf\u00e9*", str(shelf.loras / "caf\u00e9 [v2].safetensors")):
                ((choice,), left) = choose(find_duplicates(shelf.library), normalize(form, keep))
                assert ([copy.row.path for copy in choice.kept], left) == ([str(path)], [])

    def test_of_two_files_that_differ_by_form_alone_the_one_that_is_named_stays(
        self, shelf: Shelf, copies: list[Path]
    ) -> None:
        twins = [shelf.loras / normalize(form, "caf\u00e9.safetensors") for form in FORMS]
        for twin, copy in zip(twins, copies, strict=False):
            copy.rename(twin)
        shelf.scan()
        for twin in twins:
            ((choice,), _) = choose(find_duplicates(shelf.library), str(twin))
            assert [copy.row.path for copy in choice.kept] == [str(twin)]
        ((choice,), _) = choose(find_duplicates(shelf.library), "*/caf\u00e9*")
        assert {copy.row.path for copy in choice.kept} == set(map(str, twins))

    def test_where_nothing_matches_all_stay(self, shelf: Shelf, copies: list[Path]) -> None:
        choices, left = choose(find_duplicates(shelf.library), "*/nowhere/*")
        assert (choices, len(left)) == ([], 1)
        assert all(path.exists() for path in copies)

    @given(
        st.lists(
            st.tuples(st.integers(1, 4), st.integers(0, 3), st.sampled_from(["x/", "y/", "long/"])),
            min_size=1,
            max_size=8,
        ),
        st.sampled_from(["newest", "oldest", "shortest", "*", "*/x/*", "*nothing*"]),
    )
    def test_whatever_is_chosen_no_inode_goes_that_stays_and_one_stays(
        self, drawn: list[tuple[int, int, str]], keep: str
    ) -> None:
        copies = [
            Copy(known_file(f"/{folder}{n}.safetensors"), Stat(10, mtime, 1, inode), 1)
            for n, (inode, mtime, folder) in enumerate(drawn)
        ]
        choices, left = choose([CopyGroup("k", "n", tuple(copies))], keep)
        for choice in choices:
            assert choice.kept
            assert {copy.inode for copy in choice.kept}.isdisjoint(copy.inode for copy in choice.gone)
            assert {*choice.kept, *choice.gone} <= set(copies)
        assert len(choices) + len(left) <= 1


class TestHardlink:
    def test_all_become_one_file_and_the_next_scan_reads_nothing(
        self, shelf: Shelf, copies: list[Path], environ: dict[str, str]
    ) -> None:
        before = snapshot(shelf.loras.parent)
        report = run(shelf, "hardlink", environ)
        assert (len(report.done), report.failed, report.freed_bytes) == (2, [], 2 * SIZE)
        assert len({path.stat().st_ino for path in copies}) == 1
        assert snapshot(shelf.loras.parent) == before
        assert shelf.told() == {"unchanged": 4}
        assert find_duplicates(shelf.library) == []
        assert [entry["state"] for entry in journal(shelf)] == ["begun", "done"] * 2

    def test_a_rehearsal_tells_the_same_and_does_nothing(
        self, shelf: Shelf, copies: list[Path], environ: dict[str, str]
    ) -> None:
        choices, _ = choose(find_duplicates(shelf.library), "shortest")
        foreseen = simulate(shelf.library, choices, "hardlink", environ=environ)
        assert len({path.stat().st_ino for path in copies}) == 3
        assert run(shelf, "hardlink", environ) == foreseen

    @pytest.mark.parametrize("at", [0, 1])
    def test_bytes_that_rotted_are_linked_to_nothing(
        self, shelf: Shelf, copies: list[Path], environ: dict[str, str], at: int
    ) -> None:
        """The one that stays, or one that goes: the good one is not lost by it."""
        rewrite(copies[at], b"?" * SIZE)
        before = {path: path.stat().st_ino for path in copies}
        report = run(shelf, "hardlink", environ)
        assert codes(report) == [(copies[at].name, "rotten")]
        assert {path: path.stat().st_ino for path in copies} == before

    def test_on_another_disk_there_are_no_hard_links(
        self, shelf: Shelf, environ: dict[str, str], memory_disk: Path
    ) -> None:
        shelf.add_root("checkpoints", memory_disk)
        write_model(memory_disk / "a.safetensors", "same")
        write_model(shelf.loras / "b.safetensors", "same")
        shelf.scan()
        choices, _ = choose(find_duplicates(shelf.library), "shortest")
        assert (
            codes(simulate(shelf.library, choices, "hardlink", environ=environ))[0][1] == "other_file_system"
        )
        assert codes(run(shelf, "hardlink", environ))[0][1] == "other_file_system"

    def test_a_copy_on_another_disk_does_not_keep_those_on_this_one_apart(
        self, shelf: Shelf, copies: list[Path], environ: dict[str, str], memory_disk: Path
    ) -> None:
        """Though it comes first."""
        shelf.add_root("checkpoints", memory_disk)
        write_bytes(memory_disk / "far.safetensors", copies[0].read_bytes())
        shelf.scan()
        choices, _ = choose(find_duplicates(shelf.library), str(copies[0]))
        foreseen = simulate(shelf.library, choices, "hardlink", environ=environ)
        report = carry_out(shelf.library, choices, "hardlink", environ=environ)
        assert report == foreseen
        assert codes(report) == [("far.safetensors", "other_file_system")]
        assert len({path.stat().st_ino for path in copies}) == 1
        assert report.freed_bytes == 2 * SIZE

    def test_permissions_are_not_changed_by_it(
        self, shelf: Shelf, copies: list[Path], environ: dict[str, str]
    ) -> None:
        copies[1].chmod(0o600)
        copies[0].chmod(0o644)
        assert codes(run(shelf, "hardlink", environ)) == [("bb.safetensors", "other_permissions")]
        assert copies[1].stat().st_mode & 0o777 == 0o600

    def test_what_was_written_in_between_is_kept(
        self, shelf: Shelf, copies: list[Path], environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = os.link

        def late(source: str, target: str, **how: Any) -> None:
            real(source, target, **how)
            write_bytes(copies[1], b"somebody's work", age=5)

        monkeypatch.setattr(os, "link", late)
        assert codes(run(shelf, "hardlink", environ)) == [("bb.safetensors", "changed")]
        assert copies[1].read_bytes() == b"somebody's work"
        assert [name for name in os.listdir(shelf.loras) if name.startswith(".")] == []

    def test_what_a_run_that_was_killed_left_is_used_up(
        self, shelf: Shelf, copies: list[Path], environ: dict[str, str]
    ) -> None:
        os.link(copies[0], shelf.loras / temporary_name("link", copies[1].name))
        assert run(shelf, "hardlink", environ).failed == []
        assert listing(shelf.loras) == ["a.safetensors", "bb.safetensors", "other.safetensors"]

    def test_a_last_name_is_not_removed(
        self, shelf: Shelf, copies: list[Path], environ: dict[str, str]
    ) -> None:
        last = shelf.loras / temporary_name("link", copies[1].name)
        write_bytes(last, b"content")
        assert run(shelf, "hardlink", environ).failed == []
        assert last.exists()


class TestNamesOfOneFile:
    def test_all_hard_links_of_a_copy_go(
        self, shelf: Shelf, copies: list[Path], environ: dict[str, str]
    ) -> None:
        copies[1].with_name("bb2.safetensors").hardlink_to(copies[1])
        shelf.scan()
        report = run(shelf, "trash", environ, str(copies[0]))
        assert report.failed == []
        assert listing(shelf.loras) == ["a.safetensors", "other.safetensors"]
        assert report.freed_bytes == 2 * copies[0].stat().st_size


class TestTrash:
    def test_all_but_one_go_with_what_lies_beside_them(
        self, shelf: Shelf, copies: list[Path], environ: dict[str, str], tmp_path: Path
    ) -> None:
        write_bytes(shelf.loras / "bb.png", b"picture")
        report = run(shelf, "trash", environ, "oldest")
        assert (len(report.done), report.failed) == (2, [])
        assert listing(shelf.loras.parent) == ["loras/a.safetensors", "loras/other.safetensors"]
        assert listing(tmp_path / "data/Trash/files") == ["bb.png", "bb.safetensors", "c.safetensors"]
        assert shelf.told() == {"unchanged": 2}
        assert copies[0].exists()

    @pytest.mark.parametrize("at", [0, 1, 2])
    def test_if_one_is_not_what_it_was_the_good_ones_are_not_lost(
        self, shelf: Shelf, copies: list[Path], environ: dict[str, str], at: int
    ) -> None:
        rewrite(copies[at], b"?" * SIZE)
        report = run(shelf, "trash", environ)
        assert codes(report) == [(copies[at].name, "rotten")]
        good = [path for path in copies if path.exists() and path != copies[at]]
        assert good

    def test_folders_of_pictures_stay_and_are_told(
        self, shelf: Shelf, copies: list[Path], environ: dict[str, str]
    ) -> None:
        folder = copies[1].with_suffix("")
        write_bytes(folder / "prompt.txt", b"theirs")
        choices, _ = choose(find_duplicates(shelf.library), "shortest")
        assert simulate(shelf.library, choices, "trash", environ=environ).folders == [str(folder)]
        assert run(shelf, "trash", environ).folders == [str(folder)]
        assert listing(folder) == ["prompt.txt"]

    def test_other_names_of_the_one_that_stays_stay(
        self, shelf: Shelf, copies: list[Path], environ: dict[str, str]
    ) -> None:
        (shelf.vae / "name.safetensors").hardlink_to(copies[0])
        shelf.scan()
        run(shelf, "trash", environ)
        assert (shelf.vae / "name.safetensors").exists()
        assert not copies[1].exists()

    def test_if_the_one_that_stays_goes_meanwhile_the_others_stay(
        self, shelf: Shelf, copies: list[Path], environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def late(row: Any, **how: Any) -> Any:
            found = expect_content(row, **how)
            if row.path == str(copies[1]):
                copies[0].unlink()
            return found

        monkeypatch.setattr("mlib.services.files.duplicating.expect_content", late)
        assert len(run(shelf, "trash", environ).failed) == 1
        assert copies[1].exists()
        assert copies[2].exists()

    def test_a_copy_that_a_linked_folder_shows_twice_goes_once(
        self, shelf: Shelf, copies: list[Path], environ: dict[str, str]
    ) -> None:
        link = shelf.loras.with_name("linked")
        link.symlink_to(shelf.loras)
        shelf.add_root("loras", link)
        report = run(shelf, "trash", environ, keep=f"{shelf.vae}/*")
        assert (len(report.done), report.failed) == (2, [])
        assert copies[2].exists()
        assert shelf.told() == {"unchanged": 2}

    @pytest.mark.faults
    def test_a_file_that_two_mounts_show_comes_back_from_the_trash(
        self, shelf: Shelf, memory_disk: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As the last resort, where nothing tells that they are one."""
        upper, merged, lower, work = (memory_disk / name for name in ("upper", "merged", "lower", "work"))
        for folder in (merged, lower, work):
            folder.mkdir()
        write_model(upper / "loras/a.safetensors")
        write_bytes(upper / "loras/a.png", b"picture")
        layers = f"lowerdir={lower},upperdir={upper},workdir={work}"
        with mounted("-t", "overlay", "-o", layers, "overlay", at=merged):
            for folder in (upper, merged):
                shelf.add_root("loras", folder / "loras")
            assert find_duplicates(shelf.library) == []
            monkeypatch.setattr(duplicating, "is_one_file", lambda _path, _other: False)
            report = run(shelf, "trash", environ, keep=f"{upper}/*")
            assert codes(report) == [("a.safetensors", "same_file")]
            assert (report.done, report.freed_bytes) == ([], 0)
            assert listing(upper / "loras") == listing(merged / "loras") == ["a.png", "a.safetensors"]
            assert shelf.told() == {"unchanged": 2}
        assert journal(shelf)[-1]["state"] == "undone"

    def test_an_edit_after_the_question_is_seen(
        self, shelf: Shelf, copies: list[Path], environ: dict[str, str]
    ) -> None:
        choices, _ = choose(find_duplicates(shelf.library), "shortest")
        write_model(copies[1], "new words")
        set_age(copies[2], 5)
        report = carry_out(shelf.library, choices, "trash", environ=environ)
        assert codes(report) == [("bb.safetensors", "changed")]
        assert copies[1].exists()


@pytest.mark.parametrize("action", ["trash", "hardlink"])
def test_two_plans_that_keep_opposite_copies_never_take_both(
    shelf: Shelf, copies: list[Path], environ: dict[str, str], action: Action
) -> None:
    """Each was made before the other was carried out, as by two commands at once."""
    plans = [choose(find_duplicates(shelf.library), keep)[0] for keep in ("newest", "oldest")]
    for plan in plans:
        carry_out(shelf.library, plan, action, environ=environ)
    assert any(path.exists() for path in copies)
    assert shelf.scan().hashed_bytes == 0
