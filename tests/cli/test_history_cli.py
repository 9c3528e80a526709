"""`log`, `undo`, `tags`, `pending`, `missing`, `prune`, `forget` and `roots` as they are typed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.inprocess import mlib_here
from tests.libraries import BEFORE, OTHER, SHA, dump, known_file, put_files, put_model, put_pending

if TYPE_CHECKING:
    from mlib.db.library import Library


@pytest.fixture
def path(library: Library) -> Path:
    put_model(library, SHA, name="one", notes="old", tags_=["a", "b"])
    put_model(library, OTHER, name="two")
    put_files(library, known_file("/m/gone", SHA, missing_since=BEFORE), known_file("/m/here", OTHER))
    put_pending(library, "/m/none", sha256=None, name="waits")
    put_pending(library, "/m/theirs", sha256=SHA, notes="theirs")
    return Path(library.path)


def test_a_command_is_told_in_the_words_it_was_typed_with(path: Path) -> None:
    mlib_here("update", "one", "--tag", "c d", "--notes", "x", "--json", library=path)
    mlib_here("import", "--from", "/home/me/no/such.db", library=path, code=None)
    (told,) = mlib_here("log", "--json", library=path).json
    assert (told["command"], told["undone"], told["undoes"]) == (
        "update one --notes x --tag 'c d'",
        False,
        None,
    )
    assert {"sha256": SHA, "name": "one", "field": "tags", "before": None, "after": "c d"} in told["changes"]


def test_what_was_forgotten_is_found_in_the_log(path: Path) -> None:
    """The recipe for cron mails exactly these hashes."""
    mlib_here("update", "one", "--notes", "mine", library=path)
    mlib_here("forget", SHA, "pending:1", "-y", library=path)
    for ref in (SHA, SHA[:6].upper(), "pending:1"):
        newest = mlib_here("log", ref, "--json", library=path).json[0]
        assert newest["command"] == f"forget {SHA} pending:1"
        assert {change.get("sha256") for change in newest["changes"]} == {None if ":" in ref else SHA}
    assert "old -> mine" in mlib_here("log", SHA[:8], "two", library=path).out
    for ref in ("pending:99", "ffff", SHA[:3], "nothing"):
        mlib_here("log", ref, library=path, code=5)


def test_undo_and_log_in_a_pipe(path: Path) -> None:
    mlib_here("update", "one", "--notes", "new", library=path)
    rehearsed = mlib_here("undo", "-n", "--json", library=path).json
    done = mlib_here("undo", "--json", library=path).json
    assert (rehearsed.pop("dry_run"), done.pop("dry_run")) == (True, False)
    assert rehearsed == done
    assert mlib_here("show", "one", "--field", "notes", library=path).out == "old\n"
    lines = mlib_here("log", "one", library=path).out.splitlines()
    assert [line.split("\t")[-2:] for line in lines] == [["notes", "new -> old"], ["notes", "old -> new"]]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["undo"], 5),
        (["undo", "9"], 5),
        (["undo", "9" * 30], 2),
        (["tags", "delete", "a"], 4),
        (["tags", "rename", "none", "x"], 5),
        (["prune", "--missing-for", "1d", "--yes"], 4),
        (["prune", "--missing-for", "soon"], 2),
        (["prune"], 2),
        (["forget", "one"], 4),
        (["forget"], 2),
        (["forget", "nobody", "--yes"], 5),
        (["roots", "remove", "nowhere"], 5),
        (["roots", "add", "/no/such/folder"], 5),
    ],
    ids=str,
)
def test_what_is_refused_changes_nothing(path: Path, words: list[str], code: int) -> None:
    before = dump(path)
    result = mlib_here(*words, "--json", library=path, code=None)
    assert (result.code, result.out) == (code, "")
    assert result.error["code"]
    assert dump(path) == before


@pytest.mark.parametrize("options", [[], ["--force"], ["--yes"]], ids=str)
def test_where_too_much_would_be_forgotten_nobody_is_asked_in_vain(path: Path, options: list[str]) -> None:
    done = mlib_here("prune", "--missing-for", "1d", *options, "--json", library=path, code=4)
    assert done.error["code"] == "too_many"


@pytest.mark.parametrize(
    "words",
    [
        ["tags", "delete", "a"],
        ["tags", "rename", "a", "z"],
        ["prune", "--missing-for", "1d"],
        ["forget", "one", "pending:1"],
    ],
    ids=" ".join,
)
def test_a_rehearsal_changes_nothing_and_undo_takes_the_deed_back(path: Path, words: list[str]) -> None:
    before = dump(path)
    rehearsed = mlib_here(*words, "-n", "--json", library=path).json
    assert dump(path) == before
    force = ["--yes", "--force"] if words[0] == "prune" else ["--yes"] if words[1] != "rename" else []
    done = mlib_here(*words, *force, "--json", library=path).json
    for document in (rehearsed, done):
        document.pop("backup", None)
        document.pop("dry_run")
    assert rehearsed == done
    mlib_here("undo", library=path)
    after = dump(path)
    for table in ("models", "files", "pending_import", "model_meta"):
        assert after[table] == before[table] or words[0] == "tags", table
    assert len(after["model_tags"]) == len(before["model_tags"])


@pytest.mark.parametrize(
    ("words", "action"),
    [
        (["rename", "a", "z"], "would rename\ta\tz\t1 model\n"),
        (["rename", "a", "B"], "would merge\ta\tB\t1 model\n"),
        (["delete", "a"], "would delete\ta\t1 model\n"),
    ],
)
def test_a_rehearsal_is_told_as_one(path: Path, words: list[str], action: str) -> None:
    assert mlib_here("tags", *words, "-n", library=path).out == action


def test_what_waits_is_told_with_its_reason(path: Path) -> None:
    found = mlib_here("pending", "--json", library=path).json
    assert [(each["id"], each["reason"], each["model"], each["differs"]) for each in found] == [
        (1, "path_not_found", None, []),
        (2, "conflict", "one", ["notes"]),
    ]
    assert mlib_here("pending", "-q", library=path).out == "pending:1\npending:2\n"
    assert "conflict: notes" in mlib_here("pending", library=path).out


def test_what_is_gone_is_told(path: Path) -> None:
    (found,) = mlib_here("missing", "--json", library=path).json
    assert (found["sha256"], found["path"], found["offline"]) == (SHA, "/m/gone", False)
    assert mlib_here("missing", "-q", library=path).out == f"{SHA}\n"
    assert mlib_here("missing", library=path).out.split("\t")[0] == SHA


@pytest.mark.parametrize("words", [["tags"], ["pending"], ["missing"], ["roots"], ["log"]], ids=" ".join)
def test_nothing_to_say_is_a_document_too(library: Library, words: list[str]) -> None:
    here = Path(library.path)
    assert mlib_here(*words, "--json", library=here).json == []
    assert mlib_here(*words, library=here).out == ""


def test_roots_are_listed_added_and_removed(path: Path, tmp_path: Path) -> None:
    added = mlib_here("roots", "add", f"loras={tmp_path}", "--json", library=path).json
    assert [root["path"] for root in added["added"]] == [str(tmp_path)]
    (root,) = mlib_here("roots", "--json", library=path).json
    assert (root["type"], root["state"], root["files"]) == ("loras", "present", 0)
    assert mlib_here("roots", "-q", library=path).out == f"{tmp_path}\n"
    mlib_here("roots", "remove", str(root["id"]), library=path)
    assert mlib_here("roots", "--json", library=path).json == []
    mlib_here("undo", library=path)
    assert mlib_here("roots", "-q", library=path).out == f"{tmp_path}\n"


@pytest.mark.parametrize(
    ("group", "action"), [("tags", ["rename", "a", "z"]), ("roots", ["remove", "1"])], ids=["tags", "roots"]
)
def test_what_stands_before_a_verb_holds_for_it(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str, action: list[str]
) -> None:
    mlib_here("roots", "add", f"loras={tmp_path}", library=path)
    other = tmp_path / "other.db"
    other.write_bytes(path.read_bytes())
    monkeypatch.setenv("MLIB_LIBRARY", str(path))
    before = dump(path)
    told = mlib_here(group, "--library", other, "--json", *action).json
    assert told["dry_run"] is False
    assert dump(path) == before
    assert dump(other) != before
    assert mlib_here(group, "-q", *action, "--json", code=2).error["code"] == "bad_options"
    assert dump(path) == before


@pytest.mark.parametrize("command", ["log", "list"])
def test_a_limit_beyond_all_numbers_is_none(path: Path, command: str) -> None:
    mlib_here("update", "one", "--notes", "new", library=path)
    every = mlib_here(command, library=path).out
    assert every == mlib_here(command, "--limit", "9" * 30, library=path).out != ""
