"""One answer to "which words trigger it", whichever command is asked."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.inprocess import mlib_here
from tests.libraries import scan_roots
from tests.model_files import safetensors
from tests.tools import write_bytes

if TYPE_CHECKING:
    from mlib.db.library import Library


def lora(number: int, **metadata: str) -> bytes:
    return safetensors(
        {"x.lora_down.weight": 8, "x.lora_up.weight": 8, f"n{number}.alpha": 1}, metadata=metadata
    )


def beside(path: Path, **said: object) -> None:
    write_bytes(path, json.dumps(said).encode())


@pytest.fixture
def shas(library: Library, tmp_path: Path) -> dict[str, str]:
    """Models whose words are told by the file, a sidecar, several, one that is another's; in odd folders."""
    loras, odd = tmp_path / "loras", Path(os.fsdecode(os.fsencode(tmp_path) + b"/odd\xff"))
    header = {"modelspec.trigger_phrase": "own phrase", "ss_tag_frequency": '{"10_x": {"1girl": 9}}'}
    files = {
        "own": (loras / "own.safetensors", header),
        "both": (loras / "both.safetensors", header),
        "caption": (loras / "caption.safetensors", {"ss_tag_frequency": '{"d": {"1girl": 9}}'}),
        "whole": (loras / "whole.safetensors", {}),
        "foreign": (loras / "foreign.safetensors", {}),
        "shared": (loras / "shared.safetensors", {}),
        "odd": (odd / "odd.safetensors", {}),
    }
    shas = {
        name: write_bytes(path, lora(number, **metadata))
        for number, (name, (path, metadata)) in enumerate(files.items())
    }
    beside(loras / "both.json", **{"activation text": "their word, Own Phrase", "notes": "x" * 5000})
    beside(loras / "both.cm-info.json", ModelName="Both", TrainedWords=["first"])
    beside(loras / "whole.safetensors.rgthree-info.json", trainedWords=[{"word": "mine", "user": True}])
    beside(loras / "foreign.cm-info.json", Hashes={"SHA256": "77" * 32}, TrainedWords=["not mine"])
    shas["twin"] = write_bytes(loras / "shared.pt", b"PK\x05\x06" + bytes(18))
    beside(loras / "shared.cm-info.json", Hashes={"SHA256": shas["shared"]}, TrainedWords=["only mine"])
    beside(odd / "odd.civitai.info", id="", trainedWords=["odd word"])
    write_bytes(tmp_path / "copies/own.safetensors", lora(0, **header))
    beside(tmp_path / "copies/own.json", **{"activation text": "of the copy"})
    scan_roots(library, f"loras={loras}", f"loras={odd}", f"loras={tmp_path}/copies")
    return shas


WORDS = {
    "own": ["of the copy", "own phrase"],  # sidecars first, whichever copy they lie beside
    "both": ["first", "their word", "Own Phrase"],
    "caption": [],
    "whole": ["mine"],
    "foreign": [],
    "shared": ["only mine"],
    "twin": [],
    "odd": ["odd word"],
}


def test_show_list_columns_format_json_and_csv_agree(library: Library, shas: dict[str, str]) -> None:
    def run(*words: str) -> str:
        return mlib_here(*words, library=Path(library.path)).out

    wanted = {shas[name]: words for name, words in WORDS.items()}
    shown = json.loads(run("show", *wanted, "--json"))
    assert {each["sha256"]: each["trigger_words"] for each in shown} == wanted
    listed = {each["sha256"]: each["trigger_words"] for each in json.loads(run("list", "--json"))}
    assert listed == wanted
    joined = {sha256: ", ".join(words) for sha256, words in wanted.items()}
    rows = [line.split("\t") for line in run("list", "--columns", "sha256,trigger_words").splitlines()]
    assert dict(rows) == joined
    lines = run("list", "--format", "{sha256}={trigger_words}").splitlines()
    assert dict(line.split("=") for line in lines) == joined
    table = csv.DictReader(io.StringIO(run("export", "--format", "csv", "--no-bom")))
    assert {row["sha256"]: row["trigger_words"] for row in table} == joined


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("trigger:mine", {"whole", "shared"}),
        ("trigger:'of the copy'", {"own"}),
        ("trigger:phrase", {"own", "both"}),
        ("trigger:1girl", set()),
        ("trigger:'not mine'", set()),
        ("trigger:odd", {"odd"}),
        ("trigger:none", {"caption", "foreign", "twin"}),
        ("trigger:*", {"own", "both", "whole", "shared", "odd"}),
        ("their", {"both"}),
    ],
)
def test_a_query_finds_what_show_tells(
    library: Library, shas: dict[str, str], query: str, names: set[str]
) -> None:
    query = query.replace("'", '"')
    found = mlib_here("list", "-q", query, library=Path(library.path)).out.split()
    assert set(found) == {shas[name] for name in names}


def test_it_stays_so_after_a_move_a_change_and_the_end_of_a_sidecar(
    library: Library, shas: dict[str, str], tmp_path: Path
) -> None:
    path = Path(library.path)

    def words(name: str) -> list[str]:
        shown = mlib_here("show", shas[name], "--json", library=path).json["trigger_words"]
        listed = mlib_here("list", f"sha:{shas[name]}", "--json", library=path).json[0]["trigger_words"]
        assert shown == listed
        return shown  # type: ignore[no-any-return]

    mlib_here("mv", shas["whole"], str(tmp_path / "copies"), library=path)
    assert words("whole") == ["mine"]
    (tmp_path / "loras/both.cm-info.json").unlink()
    beside(tmp_path / "loras/both.json", **{"activation text": "new"})
    assert words("both") == WORDS["both"]  # what the last scan found
    scan_roots(library, f"loras={tmp_path}/loras")
    assert words("both") == ["new", "own phrase"]
