"""`mlib list` as scripts and people use it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.inprocess import mlib_here
from tests.libraries import OTHER, SHA, THIRD, known_file, put_files, put_model, put_pending
from tests.terminal import on_terminal, steering

if TYPE_CHECKING:
    from pathlib import Path

    from mlib.db.library import Library

pytestmark = pytest.mark.usefixtures("filled")


@pytest.fixture
def filled(library: Library) -> None:
    put_model(
        library, SHA, name="b", tags_=["keep", "soft, wet"], notes="n", size_bytes=3, meta_json='{"a":1}'
    )
    put_model(library, OTHER, name="A", type="vae", size_bytes=9_000_000_000, base_model="SDXL 1.0")
    put_model(library, THIRD, name="c\x1b[2J", size_bytes=None)
    put_files(library, known_file("/m/x.safetensors", SHA), known_file("/m/y\n.safetensors", SHA))
    put_files(library, known_file("/m/gone.safetensors", OTHER, missing_since=1_600_000_000_000))
    put_pending(library, "/m/w.safetensors", sha256="d4" * 32)


def lines(library_path: Path, *words: str) -> list[str]:
    return mlib_here("list", *words, library=library_path).out.splitlines()


class TestRows:
    def test_come_by_name_without_regard_to_case(self, library_path: Path) -> None:
        assert [line.split("\t")[0] for line in lines(library_path)] == ["A", "b", r"c\x1b[2J"]

    def test_are_whole_and_exact_in_a_pipe(self, library_path: Path) -> None:
        assert lines(library_path, "name:b") == [f"b\tloras\t\t3\tkeep, soft, wet\t{SHA}"]

    def test_a_dash_negates_and_options_may_stand_anywhere(self, library_path: Path) -> None:
        assert lines(library_path, "-q", "type:loras", "-tag:keep", "--limit", "5") == [THIRD]
        assert lines(library_path, "-tag:keep", "type:loras", "-q") == [THIRD]
        assert lines(library_path, "-q", "--", "-tag:keep", "type:loras") == [THIRD]
        assert lines(library_path, "-q", "-hq") == [OTHER, SHA, THIRD]

    @pytest.mark.parametrize("option", ["--limit", "--sort", "--columns", "--format", "--library"])
    def test_an_option_without_its_value_is_wrong_usage(self, library_path: Path, option: str) -> None:
        done = mlib_here("list", "b", option, library=library_path, code=2)
        assert f"{option}' requires an argument" in done.err

    def test_ls_is_the_same(self, library_path: Path) -> None:
        assert mlib_here("ls", "-q", library=library_path).out.splitlines() == [OTHER, SHA, THIRD]

    @pytest.mark.parametrize(
        ("key", "order"),
        [
            ("size", [SHA, OTHER, THIRD]),
            ("size:desc", [OTHER, SHA, THIRD]),
            ("files:desc", [SHA, OTHER, THIRD]),
            ("type:desc,name:desc", [OTHER, THIRD, SHA]),
            ("path", [OTHER, SHA, THIRD]),
            ("added", [OTHER, SHA, THIRD]),
        ],
    )
    def test_are_sorted_with_what_has_no_value_last(
        self, library_path: Path, key: str, order: list[str]
    ) -> None:
        assert lines(library_path, "-q", "--sort", key) == order

    def test_none_may_be_wanted(self, library_path: Path) -> None:
        result = mlib_here("list", "--limit", "0", library=library_path)
        assert (result.out, result.err) == ("", "")

    def test_nothing_found_is_no_error(self, library_path: Path) -> None:
        result = mlib_here("list", "nonsense", library=library_path)
        assert result.out == ""
        assert result.err == "no models found\n"

    def test_a_value_that_the_shell_unquoted_is_explained(self, library_path: Path) -> None:
        assert 'base:"SD 9.0"' in mlib_here("list", "base:SD 9.0", library=library_path).err

    def test_pending_imports_where_they_are_asked_for(self, library_path: Path) -> None:
        assert lines(library_path, "-q", "pending:yes") == ["pending:1"]
        assert lines(library_path, "-q", "pending:yes , name:A") == [OTHER, "pending:1"]


class TestForms:
    @pytest.mark.parametrize("field", ["notes", "description"])
    def test_texts_are_read_where_they_are_shown(
        self, library: Library, library_path: Path, field: str
    ) -> None:
        put_model(library, SHA, name="b", **{field: "what I think of it"})
        assert lines(library_path, "name:b", "--columns", f"name,{field}") == ["b\twhat I think of it"]
        assert lines(library_path, "name:b", "--format", f"{{{field}}}") == ["what I think of it"]

    def test_what_waits_shows_as_much_as_a_model(self, library_path: Path) -> None:
        shown = lines(library_path, "pending:yes", "--columns", "name,type,size,id")
        assert lines(library_path, "pending:yes", "--columns", "name,type,size,id,notes") == [
            f"{line}\t" for line in shown
        ]
        assert len(shown) == 1

    def test_columns(self, library_path: Path) -> None:
        wanted = "name,files,missing_since,present"
        assert lines(library_path, "name:A", "--columns", wanted) == ["A\t0\t2020-09-13T12:26:40Z\tno"]

    def test_a_template(self, library_path: Path) -> None:
        form = r"{name}\t{size}{{}}\n{sha10}"
        assert lines(library_path, "name:b", "--format", form) == ["b\t3{}", SHA[:10]]

    def test_paths_of_all_files_that_are_there(
        self, library: Library, library_path: Path, tmp_path: Path
    ) -> None:
        here = [tmp_path / "x.safetensors", tmp_path / "y\n.safetensors"]
        for path in here:
            path.touch()
            put_files(library, known_file(str(path), SHA))
        found = mlib_here("list", "--paths", "-0", library=library_path).out
        assert found.split("\0") == [*map(str, here), ""]

    def test_json_tells_what_show_does_without_the_metadata(self, library_path: Path) -> None:
        listed = mlib_here("list", "--json", "name:b", library=library_path).json
        shown = mlib_here("show", SHA, "--json", library=library_path).json
        assert [row["sha256"] for row in listed] == [SHA]
        assert "meta" not in listed[0]
        same = set(listed[0]) - {"findings"}
        assert {key: listed[0][key] for key in same} == {key: shown[key] for key in same}

    def test_json_is_a_list_also_of_nothing(self, library_path: Path) -> None:
        assert mlib_here("list", "--json", "nonsense", library=library_path).json == []

    def test_json_lines(self, library_path: Path) -> None:
        rows = [json.loads(line) for line in lines(library_path, "--jsonl")]
        assert rows == mlib_here("list", "--json", library=library_path).json

    def test_on_a_terminal_it_fits_and_steers_nothing(self, library_path: Path) -> None:
        code, shown = on_terminal("list", library=library_path, env={"NO_COLOR": "1"})
        assert code == 0
        assert steering(shown) == set()
        assert max(map(len, shown.splitlines())) <= 80
        assert shown.lower().splitlines()[0].split() == ["name", "type", "base", "size", "tags", "sha"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["tagg:x"], "bad_query"),
        (["--sort", "nonsense"], "bad_sort"),
        (["--columns", "nonsense"], "unknown_field"),
        (["--format", "{nonsense}"], "unknown_field"),
        (["--format", "{name"], "bad_format"),
        (["-q", "--paths"], "bad_options"),
        (["-0"], "bad_options"),
        (["--nonsense"], "usage"),
        (["--limit", "-1"], "usage"),
    ],
)
def test_what_is_wrong_usage(library_path: Path, words: list[str], code: str) -> None:
    output = [] if words in (["-q", "--paths"], ["-0"]) else ["--json"]
    if words[0] in ("--columns", "--format"):
        output = []
    result = mlib_here("list", *words, *output, library=library_path, code=2)
    assert result.out == ""
    assert result.error["code"] == code if output else result.err.startswith("error: ")


class TestOtherCommands:
    def test_update_takes_a_query(self, library_path: Path) -> None:
        done = mlib_here(
            "update", "--query", "type:loras -tag:keep", "--tag", "review", "-q", library=library_path
        )
        assert done.out.split() == [THIRD]
        assert lines(library_path, "-q", "tag:review") == [THIRD]

    def test_an_empty_query_is_refused(self, library_path: Path) -> None:
        before = lines(library_path, "--json")
        done = mlib_here("update", "--query", " ", "--tag", "x", "--json", library=library_path, code=2)
        assert done.error["code"] == "bad_query"
        assert lines(library_path, "--json") == before

    def test_show_gives_a_list_for_a_query(self, library_path: Path) -> None:
        found = mlib_here("show", "--query", "name:b", "--json", library=library_path).json
        assert [each["sha256"] for each in found] == [SHA]

    def test_one_of_both_must_be_given(self, library_path: Path) -> None:
        assert "--query" in mlib_here("show", library=library_path, code=2).err

    def test_clean_meta_looks_at_these_only(self, library_path: Path) -> None:
        done = mlib_here("clean-meta", "--query", "name:b", "--json", library=library_path).json
        assert done["examined"] == 1


class TestHelp:
    def test_the_grammar_fits_a_page(self) -> None:
        text = mlib_here("help", "query").out
        assert "added:30d.." in text
        assert max(map(len, text.splitlines())) <= 80

    def test_of_a_command_is_its_own(self) -> None:
        assert mlib_here("help", "list").out == mlib_here("list", "--help").out

    def test_of_nothing_known(self) -> None:
        assert mlib_here("help", "nonsense", code=5).out == ""
