"""The commands that check, move and remove files: documents, questions, exit codes."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.inprocess import mlib_here
from tests.libraries import dump, scan_roots, snapshot
from tests.shells import words_of
from tests.tools import mlib, write_bytes, write_model

if TYPE_CHECKING:
    from mlib.db.library import Library

VERIFY = {
    "checked",
    "ok",
    "changed",
    "rotten",
    "gone",
    "unreadable",
    "damaged",
    "skipped",
    "offline_roots",
    "offline_files",
    "bytes_read",
    "seconds",
}
TRASH = {"trashed", "failed", "size_bytes", "dry_run"}
MOVE = {"moved", "failed", "copied_bytes", "dry_run"}
DUPLICATES = {"groups", "freeable_bytes", "action", "done", "left_alone", "failed", "freed_bytes", "dry_run"}


@pytest.fixture
def loras(tmp_path: Path) -> Path:
    return tmp_path / "loras"


@pytest.fixture
def path(library: Library, loras: Path) -> Path:
    """A library with a model that has a preview, another one, and two copies of a third."""
    write_model(loras / "a.safetensors")
    write_bytes(loras / "a.png", b"picture")
    write_model(loras / "b.safetensors")
    for name in ("copy-1", "copy-two"):
        write_model(loras / f"{name}.safetensors", "copied")
    (loras / "sub").mkdir()
    scan_roots(library, f"loras={loras}")
    return Path(library.path)


class TestVerify:
    def test_a_document(self, path: Path, loras: Path) -> None:
        done = mlib_here("verify", "--deep", "--json", library=path).json
        assert done.keys() >= VERIFY
        assert (done["checked"], done["ok"], done["rotten"]) == (4, 4, [])
        (loras / "a.safetensors").unlink()
        done = mlib_here("verify", "--json", library=path, code=3).json
        assert [each["path"] for each in done["gone"]] == [str(loras / "a.safetensors")]

    def test_rows_and_a_summary(self, path: Path, loras: Path) -> None:
        (loras / "a.safetensors").unlink()
        done = mlib_here("verify", library=path, code=3)
        assert done.out.split("\t")[::2] == ["gone", str(loras / "a.safetensors")]
        assert done.err == "4 files checked: 3 ok, 1 gone\n"
        sha256 = mlib_here("verify", "-q", library=path, code=3).out
        assert len(sha256) == 65

    def test_what_is_offline_is_counted_and_worth_a_look(self, path: Path, loras: Path) -> None:
        loras.rename(loras.with_name("away"))
        done = mlib_here("verify", "--json", library=path, code=3).json
        assert (done["checked"], done["gone"]) == (0, [])
        assert (done["offline_roots"], done["offline_files"]) == ([str(loras)], 4)
        quiet = mlib_here("verify", "-q", library=path, code=3)
        assert (quiet.out, quiet.err) == ("", f"offline: {loras}: 4 files could not be checked\n")

    def test_a_dry_run_reads_and_notes_nothing(self, path: Path) -> None:
        before = dump(path)
        foreseen = mlib_here("verify", "--deep", "-n", "--json", library=path).json
        assert dump(path) == before
        done = mlib_here("verify", "--deep", "--json", library=path).json
        assert dump(path) != before
        assert (foreseen.pop("dry_run"), done.pop("dry_run")) == (True, False)
        del foreseen["seconds"], done["seconds"]
        assert done == foreseen

    def test_only_some(self, path: Path) -> None:
        assert mlib_here("verify", "a.safetensors", "--json", library=path).json["checked"] == 1
        assert mlib_here("verify", "--query", "copy", "--json", library=path).json["checked"] == 2
        assert mlib_here("verify", "--older-than", "1d", "--json", library=path).json["skipped"] == 4

    @pytest.mark.parametrize(
        ("words", "code"),
        [
            (["--max-rate", "fast"], "bad_rate"),
            (["--max-rate", "0"], "bad_rate"),
            (["--older-than", "x"], "bad_span"),
        ],
    )
    def test_a_wrong_word_is_wrong_usage(self, path: Path, words: list[str], code: str) -> None:
        assert mlib_here("verify", *words, "--json", library=path, code=2).error["code"] == code


class TestTrash:
    def test_a_document_that_a_dry_run_gives_too(self, path: Path, loras: Path) -> None:
        before = snapshot(loras)
        foreseen = mlib_here("trash", "a.safetensors", "-n", "--json", library=path).json
        assert snapshot(loras) == before
        done = mlib_here("trash", "a.safetensors", "--yes", "--json", library=path).json
        assert done.keys() >= TRASH
        assert (foreseen.pop("dry_run"), done.pop("dry_run")) == (True, False)
        assert done == foreseen
        (trashed,) = done["trashed"]
        assert [each["path"] for each in trashed["companions"]] == [str(loras / "a.png")]
        assert os.path.exists(trashed["trashed_to"])
        assert sorted(os.listdir(loras)) == [
            "b.safetensors",
            "copy-1.safetensors",
            "copy-two.safetensors",
            "sub",
        ]

    def test_without_a_word_from_anybody_nothing_goes(self, path: Path, loras: Path) -> None:
        before = snapshot(loras)
        done = mlib_here("trash", "a.safetensors", "--json", library=path, code=4)
        assert done.error["code"] == "needs_yes"
        assert snapshot(loras) == before

    def test_ids_from_a_query(self, path: Path, loras: Path) -> None:
        done = mlib_here("trash", "--query", "copy", "-y", "-q", library=path)
        assert len(done.out) == 65
        assert sorted(os.listdir(loras)) == ["a.png", "a.safetensors", "b.safetensors", "sub"]

    def test_a_query_that_finds_nothing_is_no_error(self, path: Path) -> None:
        assert mlib_here("trash", "--query", "nonesuch", "--json", library=path).json["trashed"] == []

    def test_what_cannot_go_is_told(self, path: Path, loras: Path) -> None:
        write_model(loras / "a.safetensors", "new words")
        done = mlib_here("trash", "a.safetensors", "b.safetensors", "-y", "--json", library=path, code=3).json
        assert [each["code"] for each in done["failed"]] == ["changed"]
        assert len(done["trashed"]) == 1

    def test_nothing_named_is_wrong_usage(self, path: Path) -> None:
        assert mlib_here("trash", "--json", library=path, code=2).error["code"] == "no_models"

    def test_of_a_path_only_that_file_goes(self, path: Path, loras: Path) -> None:
        mlib_here("trash", loras / "copy-two.safetensors", "-y", library=path)
        assert (loras / "copy-1.safetensors").exists()


class TestMove:
    def test_a_document_that_a_dry_run_gives_too(self, path: Path, loras: Path) -> None:
        foreseen = mlib_here("mv", "a.safetensors", loras / "sub", "-n", "--json", library=path).json
        assert (loras / "a.safetensors").exists()
        done = mlib_here("mv", "a.safetensors", loras / "sub", "--json", library=path).json
        assert done.keys() >= MOVE
        assert (foreseen.pop("dry_run"), done.pop("dry_run")) == (True, False)
        assert done == foreseen
        assert sorted(os.listdir(loras / "sub")) == ["a.png", "a.safetensors"]

    def test_rows_tell_from_where_to_where(self, path: Path, loras: Path) -> None:
        done = mlib_here("mv", loras / "b.safetensors", loras / "c.safetensors", library=path)
        assert done.out == f"moved\t{loras}/b.safetensors\t{loras}/c.safetensors\n"
        assert mlib_here("mv", "c.safetensors", loras, library=path).err.startswith("already there")

    def test_many_by_a_query(self, path: Path, loras: Path) -> None:
        done = mlib_here("mv", "--query", "safetensors -copy", loras / "sub", "-q", library=path)
        assert len(done.out.split()) == len(os.listdir(loras / "sub")) - 1

    def test_outside_of_all_folders_a_note_is_given(self, path: Path, tmp_path: Path) -> None:
        (tmp_path / "away").mkdir()
        assert "outside" in mlib_here("mv", "a.safetensors", tmp_path / "away", library=path).err

    @pytest.mark.parametrize(
        ("words", "code", "exit_code"),
        [
            (["a.safetensors"], "no_models", 2),
            (["nobody", "sub"], "model_not_found", 5),
            (["a.safetensors", "nowhere/"], "no_such_directory", 5),
            (["copy-1.safetensors", "{}/b.safetensors"], "several_files", 5),
            (["{}/copy-1.safetensors", "{}/b.safetensors"], "exists", 1),
        ],
    )
    def test_what_cannot_be_is_an_error(
        self, path: Path, loras: Path, words: list[str], code: str, exit_code: int
    ) -> None:
        before = snapshot(loras)
        named = [word.format(loras) for word in words]
        assert mlib_here("mv", *named, "--json", library=path, code=exit_code).error["code"] == code
        assert snapshot(loras) == before

    def test_rename(self, path: Path, loras: Path) -> None:
        done = mlib_here("rename", "a.safetensors", "new", "--json", library=path).json
        assert done["moved"][0]["path"] == str(loras / "new.safetensors")
        assert (loras / "new.png").exists()
        assert (
            mlib_here("rename", "new.safetensors", "x/y", "--json", library=path, code=2).error["code"]
            == "bad_name"
        )


class TestDuplicates:
    def test_a_document(self, path: Path) -> None:
        done = mlib_here("duplicates", "--json", library=path).json
        assert done.keys() >= DUPLICATES
        (group,) = done["groups"]
        assert group["freeable_bytes"] == group["size_bytes"] == done["freeable_bytes"]
        assert mlib_here("duplicates", "-q", library=path).out.strip() == group["sha256"]
        assert len(mlib_here("duplicates", library=path).out.splitlines()) == 2
        assert mlib_here("duplicates", "a.safetensors", "--json", library=path).json["groups"] == []
        assert mlib_here("duplicates", "--same-weights", "--json", library=path).json["groups"] == []

    @pytest.mark.parametrize("action", ["--hardlink", "--trash"])
    def test_a_deed_that_a_dry_run_foresees(self, path: Path, loras: Path, action: str) -> None:
        words = ("duplicates", action, "--keep", "shortest")
        foreseen: dict[str, Any] = mlib_here(*words, "-n", "--json", library=path).json
        assert mlib_here(*words, "--json", library=path, code=4).error["code"] == "needs_yes"
        assert (loras / "copy-1.safetensors").stat().st_nlink == 1
        done = mlib_here(*words, "-y", "--json", library=path).json
        assert done["freed_bytes"] == foreseen["freed_bytes"] > 0
        assert [each["path"] for each in done["done"]] == [str(loras / "copy-two.safetensors")]
        assert mlib_here("duplicates", "--json", library=path).json["groups"] == []
        assert mlib_here("scan", "--json", library=path).json["hashed_bytes"] == 0

    def test_a_dry_run_names_the_places_in_the_trash_and_the_links(
        self, path: Path, loras: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
        for name in ("x", "y"):
            write_model(loras / name / "copy-two.safetensors", "copied")
        (loras / "sub" / "link.safetensors").symlink_to("../x/copy-two.safetensors")
        mlib_here("scan", library=path)
        words = ("duplicates", "--trash", "--keep", "shortest", "--json")
        foreseen = mlib_here(*words, "-n", library=path).json
        done = mlib_here(*words, "-y", library=path).json
        assert len({each["to"] for each in done["done"]}) == 3
        assert all(os.path.exists(each["to"]) for each in done["done"])
        assert foreseen["done"] == done["done"]
        link = str(loras / "sub" / "link.safetensors")
        assert foreseen["dangling_links"] == done["dangling_links"] == [link]

    def test_a_pattern_that_matches_nothing_leaves_all(self, path: Path, loras: Path) -> None:
        done = mlib_here("duplicates", "--trash", "--keep", "*/none/*", "--json", library=path).json
        assert len(done["left_alone"]) == 1
        assert (loras / "copy-two.safetensors").exists()

    @pytest.mark.parametrize(
        ("words", "code"),
        [
            (["--trash"], "keep_what"),
            (["--trash", "--hardlink", "--keep", "newest"], "two_deeds"),
            (["--keep", "newest"], "nothing_to_do"),
            (["--same-weights", "--trash", "--keep", "newest"], "only_a_list"),
        ],
    )
    def test_half_an_order_is_wrong_usage(self, path: Path, words: list[str], code: str) -> None:
        assert mlib_here("duplicates", *words, "-y", "--json", library=path, code=2).error["code"] == code


@pytest.mark.parametrize("words", [("trash", "-y"), ("mv", "."), ("hash",)])
def test_that_nothing_was_found_is_said(path: Path, words: tuple[str, ...]) -> None:
    done = mlib_here(*words, "--query", "nonsense", library=path)
    assert (done.out, done.err) == ("", "no files found\n")


@pytest.mark.parametrize(
    "words", [("mv", "a", "sub"), ("rename", "a", "new"), ("trash", "a"), ("duplicates", "--trash")]
)
def test_folders_of_pictures_that_stay_are_told(path: Path, loras: Path, words: tuple[str, ...]) -> None:
    model = loras / ("copy-two" if words[0] == "duplicates" else "a")
    write_bytes(model / "prompt.txt", b"theirs")
    places = {"a": str(loras / "a.safetensors"), "sub": str(loras / "sub")}
    line = [places.get(word, word) for word in words]
    line += ["-y"] if words[0] in ("trash", "duplicates") else []
    line += ["--keep", "shortest"] if words[0] == "duplicates" else []
    document = mlib_here(*line, "-n", "--json", library=path).json
    found = [each["left_folders"] for each in document.get("moved", document.get("trashed", [document]))]
    assert found == [[str(model)]]
    told = mlib_here(*line, "-n", library=path).err
    assert f"would leave a folder of the model in place: {model}" in told
    assert f"left a folder of the model in place: {model}" in mlib_here(*line, library=path).err
    assert (model / "prompt.txt").exists()


@pytest.mark.parametrize("together", [True, False])
def test_what_is_left_for_a_sibling_is_told_if_it_stays(path: Path, loras: Path, together: bool) -> None:
    write_model(loras / "a.ckpt", "sibling")
    mlib_here("scan", library=path, code=None)
    siblings = ["a.safetensors", "a.ckpt"][: 1 + together]
    told = mlib_here("mv", *siblings, loras / "sub", library=path).err
    left = f"kept for another model of the same name: {loras / 'a.png'}\n"
    assert told == ("" if together else left)


def test_a_problem_names_its_file_once(path: Path, loras: Path) -> None:
    (loras / "a.safetensors").unlink()
    told = mlib_here("trash", "a.safetensors", "-y", library=path, code=3).err
    assert told == f"problem: it is not there any more: {loras / 'a.safetensors'}\n"


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("mv", "a.safetensors", "b.safetensors", "sub"), "a"),
        (("trash", "a.safetensors", "b.safetensors", "-y"), "a"),
        (("duplicates", "--trash", "--keep", "shortest", "-y"), "copy-two"),
        (("duplicates", "--hardlink", "--keep", "shortest", "-y"), "copy-two"),
    ],
)
def test_quiet_tells_what_was_done_and_what_failed(
    path: Path, loras: Path, words: tuple[str, ...], name: str
) -> None:
    for copy in ("x", "y"):
        write_model(loras / f"{copy}.safetensors", "twice")
    mlib_here("scan", library=path)
    rotten = loras / f"{name}.safetensors"
    status = rotten.stat()
    rotten.write_bytes(b"\1" * status.st_size)
    if words[0] == "duplicates":
        os.utime(rotten, ns=(status.st_atime_ns, status.st_mtime_ns))
    done = mlib(*words, "-q", library=path, cwd=loras, code=3)
    assert len(done.out.split()) == 1
    assert done.err.count("problem: ") == 1
    assert str(rotten) in done.err


#: As root, permissions mean something only without these capabilities.
WITHOUT_RIGHTS = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()


@pytest.mark.parametrize("what", ["file", "folder"])
@pytest.mark.parametrize(
    "words",
    [
        ("trash", "a.safetensors", "-y"),
        ("mv", "a.safetensors", "sub"),
        ("rename", "a.safetensors", "b2"),
        ("duplicates", "--trash", "--keep", "newest", "-y"),
        ("duplicates", "--hardlink", "--keep", "newest", "-y"),
    ],
)
def test_where_the_library_could_not_be_told_no_file_is_touched(
    path: Path, loras: Path, what: str, words: tuple[str, ...]
) -> None:
    mlib_here("mv", "b.safetensors", loras / "sub", library=path)  # so that there is a journal of files
    path.with_name("library.db-journal").unlink()  # and none of SQLite's
    before = snapshot(loras)
    barred = path if what == "file" else path.parent
    mode = barred.stat().st_mode
    barred.chmod(mode & ~0o222)
    try:
        done = mlib(*words, "--json", library=path, prefix=WITHOUT_RIGHTS, cwd=loras, code=1)
    finally:
        barred.chmod(mode)
    assert done.error["code"] in ("library_read_only", "library_unreadable")
    assert snapshot(loras) == before


@pytest.mark.parametrize("command", ["mv", "rename", "trash"])
def test_what_cannot_be_looked_at_is_not_called_gone(path: Path, loras: Path, command: str) -> None:
    target = {"mv": [str(path.parent)], "rename": ["z"], "trash": ["-y"]}[command]
    loras.chmod(0)
    try:
        done = mlib(command, "a.safetensors", *target, library=path, prefix=WITHOUT_RIGHTS, code=None)
    finally:
        loras.chmod(0o755)
    assert done.code in (1, 3)
    assert "permission denied" in done.err


@pytest.mark.parametrize("name", ["\x1b[31mred", os.fsdecode(b"\xff\xfe")])
def test_names_that_are_no_text_are_moved_and_never_reach_a_terminal_raw(
    library: Library, loras: Path, name: str
) -> None:
    write_model(loras / f"{name}.safetensors", "seed")
    write_bytes(loras / f"{name}.png", b"picture")
    (loras / "sub").mkdir()
    scan_roots(library, f"loras={loras}")
    path = Path(library.path)
    (sha256,) = mlib_here("list", "-q", library=path).out.split()
    done = mlib_here("mv", sha256, loras / "sub", library=path)
    assert b"\x1b" not in done.stdout
    assert sorted(os.listdir(loras / "sub")) == sorted([f"{name}.png", f"{name}.safetensors"])
    mlib_here("rename", sha256, "plain", library=path)
    assert sorted(os.listdir(loras / "sub")) == ["plain.png", "plain.safetensors"]
    assert b"\x1b" not in mlib_here("trash", sha256, "-y", "--json", library=path).stdout
    assert os.listdir(loras / "sub") == []


class TestLinks:
    """A link of the library to a file that goes leads nowhere: it is told, and nothing is refused."""

    @pytest.fixture
    def links(self, path: Path, loras: Path) -> list[str]:
        """A link to a model in another folder, and a link to that link."""
        (loras / "sub" / "first.safetensors").symlink_to("../b.safetensors")
        (loras / "sub" / "second.safetensors").symlink_to("first.safetensors")
        mlib_here("scan", library=path)
        return [str(loras / "sub" / f"{name}.safetensors") for name in ("first", "second")]

    @pytest.mark.parametrize("command", ["mv", "rename", "trash"])
    def test_of_a_file_that_goes(
        self,
        path: Path,
        loras: Path,
        links: list[str],
        command: str,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
        more = {"mv": str(loras / "c.safetensors"), "rename": "c", "trash": "-y"}[command]
        words = [command, str(loras / "b.safetensors"), more]
        key = "trashed" if command == "trash" else "moved"
        rehearsed = mlib_here(*words, "-n", library=path)
        assert rehearsed.err == "".join(f"would leave a dangling link: {link}\n" for link in links)
        (told,) = mlib_here(*words, "-n", "--json", library=path).json[key]
        assert told["dangling_links"] == links
        done = mlib_here(*words, library=path)
        assert done.err == "".join(f"left a dangling link: {link}\n" for link in links)

    def test_in_a_document_and_to_a_link(self, path: Path, loras: Path, links: list[str]) -> None:
        (told,) = mlib_here("mv", links[0], loras / "l.safetensors", "--json", library=path).json["moved"]
        assert told["dangling_links"] == links[1:]
        (told,) = mlib_here("rename", loras / "b.safetensors", "c", "--json", library=path).json["moved"]
        assert told["dangling_links"] == [str(loras / "l.safetensors")]

    def test_of_a_link_that_goes_the_file_with_the_bytes_is_named(
        self, path: Path, loras: Path, links: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """As in a Hugging Face cache: nothing is freed by it."""
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
        real = str(loras / "b.safetensors")
        told = mlib_here("trash", links[1], "-n", library=path).err
        assert told == f"would trash only the link; the file it points to stays: {real}\n"
        refused = mlib_here("trash", links[1], library=path, code=4).err
        assert "move 1 link to a file that stays (" in refused
        (done,) = mlib_here("trash", links[1], "-y", "--json", library=path).json["trashed"]
        assert done["bytes_at"] == real
        assert mlib_here("trash", links[0], "-y", library=path).err == told.replace("would trash", "trashed")
        assert os.path.exists(real)

    def test_links_that_go_too_are_none(
        self, path: Path, links: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
        for words in (["-n"], ["-y"]):
            told = mlib_here("trash", "b.safetensors", *words, "--json", library=path).json["trashed"]
            assert [each["dangling_links"] for each in told] == [[], [], []]
            assert {each["path"] for each in told} > set(links)


class TestUndo:
    """Files are not taken back, and nothing else is taken for them."""

    def test_of_a_move_names_the_way_back_and_touches_no_words(self, path: Path, loras: Path) -> None:
        mlib_here("update", "a.safetensors", "--notes", "typed", library=path)
        mlib_here("mv", "a.safetensors", loras / "sub" / "it's new.safetensors", library=path)
        refused = mlib_here("undo", "--json", library=path, code=4)
        assert refused.out == ""
        assert refused.error["code"] == "files_are_not_undone"
        assert refused.error["message"].startswith("the last command was `mv`")
        first, second = refused.error["hint"].split("; ")
        assert mlib_here("show", "a.safetensors", "--field", "notes", library=path, code=5).out == ""
        words = shlex.split(first.removeprefix("`").partition("` moves it back")[0])
        assert words[0] == "mlib"
        mlib_here(*words[1:], library=path)
        assert mlib_here("show", loras / "a.safetensors", "--field", "notes", library=path).out == "typed\n"
        assert second.startswith("`mlib undo 1` takes back what came before: update a.safetensors")
        mlib_here("undo", "1", library=path)
        assert mlib_here("show", loras / "a.safetensors", "--field", "notes", library=path).out == "\n"

    def test_of_the_trash_names_the_file_in_it(
        self, path: Path, loras: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
        mlib_here("trash", "a.safetensors", "--yes", library=path)
        hint = mlib_here("undo", "--json", library=path, code=4).error["hint"]
        assert str(tmp_path / "data/Trash/files/a.safetensors") in hint
        assert str(loras / "a.safetensors") in hint
        assert hint.endswith(f"run `mlib scan --library {path}`")
        mlib_here("duplicates", "--hardlink", "--keep", "shortest", "--yes", library=path)
        assert "several names" in mlib_here("undo", "--json", library=path, code=4).error["hint"]

    def test_of_the_trash_names_the_folder_of_a_file_that_lay_in_none_that_is_known(
        self, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
        (tmp_path / "other").mkdir()
        mlib_here("mv", "a.safetensors", tmp_path / "other", library=path)
        mlib_here("trash", "a.safetensors", "--yes", library=path)
        hint = mlib_here("undo", "--json", library=path, code=4).error["hint"]
        (tmp_path / "data/Trash/files/a.safetensors").rename(tmp_path / "other" / "a.safetensors")
        mlib_here(*words_of(hint.partition("`")[2].partition("`")[0])[1:])
        shown = mlib_here("show", "a.safetensors", "--field", "path", library=path).out
        assert shown == f"{tmp_path / 'other' / 'a.safetensors'}\n"

    def test_of_a_move_whose_file_went_on_does_not_speak_of_the_trash(self, path: Path, loras: Path) -> None:
        mlib_here("mv", "a.safetensors", loras / "sub", library=path)
        (loras / "sub" / "a.safetensors").unlink()
        mlib_here("scan", library=path)
        hint = mlib_here("undo", "--json", library=path, code=4).error["hint"]
        assert "trash" not in hint
        assert f"{loras / 'sub' / 'a.safetensors'} and is not known there now" in hint

    def test_of_several_files_says_where_the_others_are_told(self, path: Path, loras: Path) -> None:
        for stem in ("x", "y", "z"):
            write_model(loras / f"{stem}.safetensors")
        mlib_here("scan", library=path)
        mlib_here("mv", *(f"{stem}.safetensors" for stem in "xyz"), loras / "sub", library=path)
        hint = mlib_here("undo", "--json", library=path, code=4).error["hint"]
        assert hint.endswith(
            f"moves it back (and likewise the 2 models before it, which {path}.files.jsonl lists)"
        )

    def test_of_a_name_with_a_line_break_names_a_command_that_works(self, path: Path, loras: Path) -> None:
        mlib_here("mv", "a.safetensors", loras / "sub" / "it's\n50% -n\udcff.safetensors", library=path)
        (hint,) = (
            line
            for line in mlib_here("undo", library=path, code=4).err.splitlines()
            if line.startswith("hint")
        )
        command = hint.removeprefix("hint: `").partition("` moves it back")[0]
        mlib_here(*words_of(command)[1:])
        assert (loras / "a.safetensors").exists()

    def test_goes_on_where_something_was_typed_since(self, path: Path, loras: Path) -> None:
        mlib_here("mv", "a.safetensors", loras / "sub", library=path)
        mlib_here("update", "a.safetensors", "--notes", "typed", library=path)
        mlib_here("undo", library=path)
        assert mlib_here("undo", "--json", library=path, code=5).error["code"] == "nothing_to_undo"

    def test_a_journal_that_somebody_wrote_into_does_no_harm(self, path: Path) -> None:
        mlib_here("update", "a.safetensors", "--notes", "typed", library=path)
        lines = [{"id": "x", "state": "begun", "moves": 5}, {"id": "x", "state": "done"}, [], 7]
        Path(f"{path}.files.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n{cut")
        mlib_here("undo", library=path)


class TestTrashAgain:
    """A command that was killed is ended by the same command."""

    @pytest.fixture(autouse=True)
    def home(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))

    @pytest.mark.parametrize("is_path", [False, True])
    def test_what_went_before_is_told_and_the_rest_goes(
        self, path: Path, loras: Path, tmp_path: Path, is_path: bool
    ) -> None:
        refs = [str(loras / name) if is_path else name for name in ("a.safetensors", "b.safetensors")]
        mlib_here("trash", refs[0], "-y", library=path)
        done = mlib_here("trash", *refs, "-y", library=path)
        there = tmp_path / "data/Trash/files"
        assert done.err == f"already in the trash: {loras}/a.safetensors: {there}/a.safetensors\n"
        assert done.out == f"trashed\t{loras}/b.safetensors\t{there}/b.safetensors\n"
        again = mlib_here("trash", *refs, "-y", "--json", library=path).json
        assert again["trashed"] == []
        assert [each["trashed_to"] for each in again["already_trashed"]] == [
            f"{there}/{name}.safetensors" for name in "ab"
        ]

    def test_what_is_in_no_trash_is_an_error_as_before(self, path: Path, loras: Path, tmp_path: Path) -> None:
        mlib_here("trash", "a.safetensors", "-y", library=path)
        (tmp_path / "data/Trash/files/a.safetensors").unlink()
        mlib_here("trash", "a.safetensors", "b.safetensors", "-y", library=path, code=5)
        assert (loras / "b.safetensors").exists()

    def test_a_description_that_a_kill_left_is_used_up(self, path: Path, loras: Path, tmp_path: Path) -> None:
        infos = tmp_path / "data/Trash/info"
        mlib_here("trash", "a.safetensors", "-y", library=path)
        (tmp_path / "data/Trash/files/a.safetensors").rename(loras / "a.safetensors")
        mlib_here("scan", library=path)
        mlib_here("trash", "a.safetensors", "-y", library=path)
        assert sorted(os.listdir(infos)) == ["a.png.trashinfo", "a.safetensors.trashinfo"]
