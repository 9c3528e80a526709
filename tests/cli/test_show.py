"""Showing a model: bare fields for scripts, a page for a person, and nothing that steers a terminal."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests import pickle_files
from tests.inprocess import mlib_here
from tests.libraries import BEFORE, OTHER, SHA, known_file, put_files, put_model, put_pending, scan_roots
from tests.model_files import framed, safetensors
from tests.terminal import BOLD, PLAIN, on_terminal, steering
from tests.tools import mlib, write_bytes, write_model

if TYPE_CHECKING:
    from mlib.db.library import Library

META = '{"a":{"b":1.10,"c":[1,2]},"list":["x","y"],"modelspec.title":"t","empty":"","no":null,"text":"é"}'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the files of the model lie."""
    made = tmp_path / "m"
    made.mkdir()
    for name in "ab":
        (made / name).touch()
    return made


@pytest.fixture
def path(library: Library, folder: Path) -> Path:
    """A model with everything that can be said of one, present at two paths and missing at a third."""
    put_model(
        library,
        SHA,
        name="Mira",
        base_model="SDXL 1.0",
        description="two\nlines",
        notes="mine",
        tags_=["a, b", "c"],
        meta_json=META,
        size_bytes=1000,
    )
    put_files(
        library,
        known_file(f"{folder}/b"),
        known_file(f"{folder}/a"),
        known_file("/m/gone", missing_since=BEFORE),
    )
    return Path(library.path)


class TestField:
    @pytest.mark.parametrize(
        ("field", "lines"),
        [
            ("sha256", [SHA]),
            ("autov2", [SHA[:10]]),
            ("name", ["Mira"]),
            ("type", ["loras"]),
            ("base_model", ["SDXL 1.0"]),
            ("base-model", ["SDXL 1.0"]),
            ("size_bytes", ["1000"]),
            ("notes", ["mine"]),
            ("description", ["two", "lines"]),
            ("tags", ["a, b", "c"]),
            ("present", ["true"]),
            ("pending", ["false"]),
            ("created_at", ["2020-09-13T12:26:40Z"]),
            ("path", ["M/a"]),
            ("paths", ["M/a", "M/b"]),
            ("loader_name", [""]),
            ("meta.a.b", ["1.10"]),
            ("meta.a.c", ["1", "2"]),
            ("meta.a", ['{"b":1.10,"c":[1,2]}']),
            ("meta.list", ["x", "y"]),
            ("meta.modelspec.title", ["t"]),
            ("meta.empty", [""]),
            ("meta.no", [""]),
            ("meta.text", ["é"]),
            ("meta", [META]),
        ],
    )
    def test_is_its_bare_value(self, path: Path, folder: Path, field: str, lines: list[str]) -> None:
        shown = mlib_here("show", SHA, "--field", field, library=path).out
        assert shown.replace(f"{folder}/", "M/") == "".join(f"{x}\n" for x in lines)

    @pytest.mark.parametrize(
        ("field", "text"),
        [
            ("name", '"Mira"'),
            ("size_bytes", "1000"),
            ("tags", '["a, b","c"]'),
            ("present", "true"),
            ("path", '"M/a"'),
            ("paths", '["M/a","M/b"]'),
            ("meta.a.b", "1.10"),
            ("meta.list", '["x","y"]'),
            ("meta.no", "null"),
            ("meta", META),
            ("autov2", f'"{SHA[:10]}"'),
        ],
    )
    def test_with_json_is_a_document(self, path: Path, folder: Path, field: str, text: str) -> None:
        """The contract: exactly one JSON document, and values to the letter."""
        for refs, document in (([SHA], text), ([SHA, SHA], f"[{text}]")):
            shown = mlib_here("show", *refs, "--field", field, "--json", library=path).out
            assert shown.replace(f"{folder}/", "M/") == f"{document}\n"

    def test_of_several_models_is_a_line_each(self, path: Path, library: Library) -> None:
        put_model(library, OTHER, name="Other")
        assert mlib_here("show", SHA, OTHER, "--field", "name", library=path).out == "Mira\nOther\n"

    def test_that_does_not_exist_is_wrong_usage_with_all_that_do(self, path: Path) -> None:
        failed = mlib_here("show", SHA, "--field", "nonsense", library=path, code=2)
        assert "loader_name" in failed.err

    def test_of_metadata_that_is_not_there_is_not_found(self, path: Path) -> None:
        failed = mlib_here("show", SHA, "--field", "meta.a.x", "--json", library=path, code=5)
        assert failed.error["code"] == "no_such_key"

    def test_path_of_a_model_that_is_nowhere_is_not_found(self, path: Path, library: Library) -> None:
        """`rm "$(mlib show X --field path)"` must never go on with something else."""
        put_model(library, OTHER)
        put_files(library, known_file("/m/lost", OTHER, missing_since=1))
        failed = mlib_here("show", OTHER, "--field", "path", library=path, code=5)
        assert failed.stdout == b""

    def test_path_of_a_pending_import_is_where_it_waits(self, path: Path, library: Library) -> None:
        put_pending(library, "C:\\m\\waits.ckpt", sha256=None)
        assert mlib_here("show", "pending:1", "--field", "path", library=path).out == "C:\\m\\waits.ckpt\n"

    def test_path_leads_to_the_very_file_whatever_its_name(self, library: Library, tmp_path: Path) -> None:
        name = os.fsdecode(b" \xff\x1b[31m'\".safetensors")
        sha256 = write_model(tmp_path / "r" / name, "any")
        scan_roots(library, f"loras={tmp_path}/r")
        found = mlib_here("show", sha256, "--field", "path", library=Path(library.path)).stdout
        assert found.removesuffix(b"\n") == os.fsencode(tmp_path / "r" / name)

    def test_works_in_a_shell(self, library: Library, tmp_path: Path) -> None:
        sha256 = write_model(tmp_path / "r/sub/a b.safetensors")
        scan_roots(library, f"loras={tmp_path}/r")
        found = mlib("show", sha256[:6].upper(), "--field", "loader-name", library=Path(library.path))
        assert found.out == "sub/a b.safetensors\n"


class TestPage:
    """A person reads it: on a real terminal."""

    def test_says_what_it_is_and_where(self, path: Path, folder: Path) -> None:
        code, page = on_terminal("show", "Mira", library=path, env={"NO_COLOR": "1"})
        assert code == 0
        words = [" ".join(line.split()) for line in page.splitlines()]
        for line in ("Mira", "type loras, SDXL 1.0", 'tags "a, b", c', "notes mine", f"sha256 {SHA}"):
            assert line in words
        assert str(folder / "a") in words
        assert any(line.startswith("missing since 2020-09-13") for line in words)

    def test_fits_80_columns(self, library: Library) -> None:
        put_model(
            library,
            name="A name of some length",
            notes="word " * 100,
            description="longer words, " * 30,
            tags_=[f"tag number {n}" for n in range(40)],
            meta_json='{"prompt":"' + "many words " * 50 + '"}',
        )
        put_files(library, known_file("/m/models/loras/a.safetensors"))
        _, page = on_terminal("show", SHA, "--meta", library=library.path, env={"NO_COLOR": "1"})
        assert "many words" in page
        assert max(map(len, page.splitlines())) <= 80

    @pytest.mark.parametrize("columns", [40, 60, 200])
    def test_uses_the_width_there_is(self, library: Library, columns: int) -> None:
        put_model(library, notes="word " * 100)
        _, page = on_terminal("show", SHA, library=library.path, columns=columns, env={"NO_COLOR": "1"})
        notes = [line for line in page.splitlines() if "word" in line]
        assert min(columns, 100) - 6 < max(map(len, notes)) <= min(columns, 100)

    def test_of_several_models_is_a_page_each(self, path: Path, library: Library) -> None:
        put_model(library, OTHER, name="Other")
        _, page = on_terminal("show", SHA, OTHER, library=path, env={"NO_COLOR": "1"})
        assert page.splitlines()[0] == "Mira"
        assert "\n\nOther  (missing)\n" in page

    def test_of_a_pending_import_says_so(self, library: Library) -> None:
        put_pending(library, "/m/waits.ckpt", sha256=None)
        _, page = on_terminal("show", "pending:1", library=library.path, env={"NO_COLOR": "1"})
        assert page.startswith("waits.ckpt  (pending import 1)\n")
        assert "  /m/waits.ckpt\n" in page

    def test_headings_are_bold_and_nothing_else_is(self, path: Path) -> None:
        _, page = on_terminal("show", "Mira", library=path)
        assert f"{BOLD}Mira{PLAIN}" in page
        assert steering(page.replace(BOLD, "").replace(PLAIN, "")) == set()

    @pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
    def test_nothing_is_bold_where_that_is_not_welcome(self, path: Path, env: dict[str, str]) -> None:
        _, page = on_terminal("show", "Mira", library=path, env=env)
        assert steering(page) == set()


#: Every byte a name may hold, in two names; escape sequences, markup, and what reorders a line.
HOSTILE_NAMES = [
    bytes(range(1, 128)).replace(b"/", b"") + b".safetensors",
    bytes(range(128, 256)) + b".safetensors",
    "\x1b]0;title\x07\x9b31m\u202egnp.\u2066x\ufeff.safetensors".encode(),
    b"[red]x[link=file:@@etc@passwd]:fire:.safetensors",
]
HOSTILE_TEXT = "".join(map(chr, range(1, 256))) + "\u202e\u2066\u2028\ufeff[red]x[/red]:fire:"


#: What progress bars move the cursor and colour themselves with; none of it is in a hostile name.
BARS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


class TestHostile:
    """Nothing typed or found reaches a terminal with control characters or markup in force (fault 43)."""

    @pytest.fixture
    def hostile(self, library: Library, tmp_path: Path) -> list[str]:
        """Models whose every word is hostile; their REFs."""
        for number, name in enumerate(HOSTILE_NAMES):
            write_model(tmp_path / "r" / os.fsdecode(name), f"content {number}")
        assert scan_roots(library, f"loras={tmp_path}/r").counts["added"] == len(HOSTILE_NAMES)
        refs = [sha256 for (sha256,) in library.all("SELECT sha256 FROM models")]
        line = HOSTILE_TEXT.replace("\n", "").replace("\r", "")
        key = line.replace(".", "").replace("=", "")
        mlib_here(
            "update", *refs, "--notes", HOSTILE_TEXT, "--description", HOSTILE_TEXT, "--base-model", line,
            "--tag", line[:150], "--tag", line[150:], "--set", f"key={HOSTILE_TEXT}", "--set", f"a{key}=1",
            library=Path(library.path),
        )  # fmt: skip
        refs.append(f"pending:{put_pending(library, '/m/' + HOSTILE_TEXT, sha256=None, name=line)}")
        return refs

    @pytest.mark.parametrize(
        "words",
        [
            ["show", "--meta"],
            ["show", "--json"],
            ["show", "--field", "notes"],
            ["show", "--field", "path"],
            ["show", "--field", "meta"],
            ["update", "--notes", "new"],
            ["update", "--notes", "new", "-n", "--json"],
        ],
        ids=" ".join,
    )
    def test_on_a_terminal(self, library: Library, hostile: list[str], words: list[str]) -> None:
        code, page = on_terminal(*words, *hostile, library=library.path)
        assert code == 0
        assert len(page) > 500
        assert steering(page.replace(BOLD, "").replace(PLAIN, "")) == set()

    def test_markup_is_shown_and_not_obeyed(self, library: Library, hostile: list[str]) -> None:
        _, page = on_terminal("show", *hostile, library=library.path)
        assert "[red]x[link=file:@@etc@passwd]:fire:.safetensors" in page

    def test_in_errors(self, library: Library, hostile: list[str]) -> None:
        for words in (["show", "x" + HOSTILE_TEXT], ["update", hostile[0], "--type", "x\x1b[31m\x9b"]):
            code, page = on_terminal(*words, library=library.path)
            assert code in (2, 5)
            assert steering(page) == set()

    def test_in_a_scan(self, tmp_path: Path) -> None:
        for name in HOSTILE_NAMES:
            os.makedirs(tmp_path / "r", exist_ok=True)
            os.symlink("nowhere", os.fsencode(tmp_path) + b"/r/" + name)
        code, page = on_terminal("scan", "--root", f"loras={tmp_path}/r", library=tmp_path / "new.db")
        assert code == 3
        assert page.count("problem: ") == len(HOSTILE_NAMES)
        assert steering(BARS.sub("", page)) == set()

    def test_in_a_pipe_each_row_stays_one_line(self, library: Library, hostile: list[str]) -> None:
        done = mlib_here("show", "--meta", *hostile, library=Path(library.path))
        assert steering(done.out) == set()
        fields = {"pending", "path", "sha256", "name", "type", "base_model", "size_bytes", "description",
                  "notes", "tag", "file", "autov2", "sha256_12", "xxh3_128", "created_at", "updated_at",
                  "meta", "kind", "format", "precision", "parameters"}  # fmt: skip
        assert {line.split("\t")[0] for line in done.out.splitlines()} <= fields

    def test_json_gives_back_every_character(self, library: Library, hostile: list[str]) -> None:
        for model in mlib_here("show", "--json", *hostile[:-1], library=Path(library.path)).json:
            assert model["notes"] == model["description"] == HOSTILE_TEXT.strip()
            assert model["meta"]["key"] == HOSTILE_TEXT.strip()


PICTURE = "data:image/png;base64," + "iVBORw0KGgo" * 500
MIRA = {
    "modelspec.title": "Mira",
    "modelspec.trigger_phrase": "mira style",
    "modelspec.author": "somebody",
    "modelspec.license": "MIT",
    "modelspec.thumbnail": PICTURE,
    "ss_base_model_version": "sdxl_base_v1-0",
    "ss_network_alpha": "8",
    "ss_resolution": "(1024, 1024)",
    "ss_sd_model_name": "base.safetensors",
    "ss_tag_frequency": json.dumps({"10_mira": {"1girl": 20, "solo": 3}}),
}


def lora(**metadata: str) -> bytes:
    """A LoRA of rank 8 with the same tensors whatever its metadata."""
    return safetensors({"x.lora_down.weight": 8, "x.lora_up.weight": 8}, metadata=metadata)


def calling(module: str, attribute: str, argument: str) -> bytes:
    """A checkpoint that has this called when it is loaded."""
    function = pickle_files.name(module, attribute)
    called = pickle_files.call(function, pickle_files.text(argument))
    return pickle_files.torch_zip(pickle_files.mapping({argument: called}))


class TestAbout:
    """What the file itself says: what it is, how to use it, what is wrong with it."""

    @pytest.fixture
    def mira(self, library: Library, tmp_path: Path) -> str:
        """A LoRA with a preview beside it, and a copy in the wrong folder under the wrong name."""
        sha256 = write_bytes(tmp_path / "loras/mira.safetensors", lora(**MIRA))
        (tmp_path / "loras/mira.preview.png").touch()
        write_bytes(tmp_path / "vae/copy.ckpt", lora(**MIRA))
        scan_roots(library, f"loras={tmp_path}/loras", f"vae={tmp_path}/vae")
        return sha256

    def test_json_has_it_all(self, library: Library, mira: str, tmp_path: Path) -> None:
        document = mlib_here("show", mira, "--json", library=Path(library.path)).json
        assert (document["kind"], document["format"]) == ("lora", "safetensors")
        assert document["base_model"] == document["header"]["base_model"] == "SDXL"
        assert document["kind_evidence"]
        assert all(isinstance(line, str) for line in document["kind_evidence"])
        assert document["trigger_words"] == ["mira style"]
        assert [(each["code"], each["serious"], each["path"]) for each in document["findings"]] == [
            ("misplaced", False, f"{tmp_path}/vae/copy.ckpt"),
            ("wrong_extension", False, f"{tmp_path}/vae/copy.ckpt"),
        ]
        assert document["companions"] == [f"{tmp_path}/loras/mira.preview.png"]
        assert document["same_weights"] == []

    def test_json_tells_the_header_without_its_image(self, library: Library, mira: str) -> None:
        done = mlib_here("show", mira, "--json", library=Path(library.path))
        header = done.json["header"]
        expected = {
            "title": "Mira",
            "author": "somebody",
            "license": "MIT",
            "resolution": "1024x1024",
            "alpha": 8,
            "parameters": 16,
            "tensors": 2,
            "dtypes": {"U8": 16},
            "frequent_tags": {"1girl": 20, "solo": 3},
        }
        assert {key: header[key] for key in expected} == expected
        assert header["trained_on"] == {
            "name": "base.safetensors",
            "sha256": None,
            "hash": None,
            "model": None,
        }
        assert header["metadata"]["ss_network_alpha"] == "8"
        assert "iVBORw0KGgo" * 5 not in done.out

    def test_a_sidecar_that_says_nothing_is_told(self, library: Library, mira: str, tmp_path: Path) -> None:
        stub = tmp_path / "loras/mira.civitai.info"
        write_bytes(stub, b'{"id": "", "trainedWords": [], "model": {"name": "mira.safetensors"}}')
        write_bytes(tmp_path / "loras/mira.json", b'{"of": "another program"}')
        path = Path(library.path)
        scanned = mlib_here("scan", "-v", library=path)
        assert f"no usable information: {stub}" in scanned.err
        assert "mira.json" not in scanned.err
        assert "no usable information" not in mlib_here("scan", "--rehash", library=path).err
        again = mlib_here("scan", "--rehash", "--json", library=path).json
        assert again["silent_sidecars"] == [str(stub)]
        document = mlib_here("show", mira, "--json", library=path).json
        assert document["silent_sidecars"] == [str(stub)]
        assert document["sidecars"] == []
        assert f"silent_sidecar\t{stub}\n" in mlib_here("show", mira, library=path).out
        inspected = mlib_here("inspect", str(tmp_path / "loras/mira.safetensors"), "--json").json
        assert inspected["silent_sidecars"] == [str(stub)]
        _, page = on_terminal("show", mira, library=path, columns=200)
        lines = [line.strip() for line in page.splitlines()]
        assert {"with mira.civitai.info (no usable information)", "with mira.json"} <= set(lines)

    def test_of_a_model_that_no_scan_looked_into_is_empty(self, path: Path) -> None:
        document = mlib_here("show", SHA, "--json", library=path).json
        assert document["kind"] is document["format"] is None
        for key in ("kind_evidence", "trigger_words", "findings", "companions", "same_weights"):
            assert document[key] == []
        assert document["header"] == {}

    @pytest.mark.parametrize(
        ("field", "lines"),
        [
            ("kind", ["lora"]),
            ("format", ["safetensors"]),
            ("trigger_words", ["mira style"]),
            ("trigger-words", ["mira style"]),
        ],
    )
    def test_fields_for_scripts(self, library: Library, mira: str, field: str, lines: list[str]) -> None:
        done = mlib_here("show", mira, "--field", field, library=Path(library.path))
        assert done.out.splitlines() == lines

    def test_in_a_pipe_is_a_row_each(self, library: Library, mira: str, tmp_path: Path) -> None:
        rows = mlib_here("show", mira, library=Path(library.path)).out.splitlines()
        for row in ("kind\tlora", "format\tsafetensors", "trigger_word\tmira style", "alpha\t8",
                    "title\tMira", "parameters\t16", "base_model\tSDXL", "trained_on\tbase.safetensors",
                    f"companion\t{tmp_path}/loras/mira.preview.png"):  # fmt: skip
            assert row in rows
        (misplaced,) = [row for row in rows if row.startswith("finding\tmisplaced\t")]
        assert misplaced.endswith(f"\t\t{tmp_path}/vae/copy.ckpt")

    @pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
    def test_on_a_terminal_has_its_sections_and_fits_80_columns(
        self, library: Library, mira: str, env: dict[str, str], tmp_path: Path
    ) -> None:
        code, page = on_terminal("show", mira, library=library.path, env=env)
        assert code == 0
        headings = [line for line in page.splitlines() if line and not line.startswith(" ")]
        assert headings[1:] == ["what it is", "how to use it", "where it is", "hashes", "findings"]
        words = [" ".join(line.split()) for line in page.splitlines()]
        for line in ("kind lora for SDXL", "trigger mira style", "captions 1girl (20), solo (3)",
                     "author somebody", "resolution 1024x1024", "trained on base.safetensors",
                     "as mira.safetensors", "with mira.preview.png"):  # fmt: skip
            assert line in words
        assert max(len(line) for line in page.splitlines() if str(tmp_path) not in line) <= 80
        assert steering(page) == set()

    def test_serious_findings_are_marked(self, library: Library, tmp_path: Path) -> None:
        sha256 = write_bytes(tmp_path / "r/a.ckpt", calling("os", "system", "true"))
        scan_roots(library, f"checkpoints={tmp_path}/r")
        _, page = on_terminal("show", sha256, library=library.path, env={"NO_COLOR": "1"})
        (line,) = [line for line in page.splitlines() if "may_run_code" in line]
        assert line.startswith("  ! may_run_code ")
        assert "os.system" in page
        assert not re.search(r"\bsafe\b", page)

    def test_a_base_model_that_somebody_typed_stays_beside_what_the_header_says(
        self, library: Library, mira: str
    ) -> None:
        at = Path(library.path)
        mlib_here("update", mira, "--base-model", "Pony", library=at)
        mlib_here("scan", "--reinspect", library=at)
        document = mlib_here("show", mira, "--json", library=at).json
        assert (document["base_model"], document["header"]["base_model"]) == ("Pony", "SDXL")
        assert document["edited"] == ["base_model"]

    def test_the_base_checkpoint_is_named_where_the_library_has_it(
        self, library: Library, tmp_path: Path
    ) -> None:
        base = write_model(tmp_path / "c/base.safetensors")
        mira = write_bytes(
            tmp_path / "l/a.safetensors", lora(ss_new_sd_model_hash=base, ss_sd_model_name="x")
        )
        lost = write_bytes(tmp_path / "l/b.safetensors", lora(ss_new_sd_model_hash="d" * 64, seed="b"))
        scan_roots(library, f"checkpoints={tmp_path}/c", f"loras={tmp_path}/l")
        at = Path(library.path)
        trained_on = mlib_here("show", mira, "--json", library=at).json["header"]["trained_on"]
        assert trained_on["model"] == {"sha256": base, "name": "base.safetensors"}
        assert (
            f"trained_on\tbase.safetensors ({base[:10]}, in this library)"
            in mlib_here("show", mira, library=at).out
        )
        trained_on = mlib_here("show", lost, "--json", library=at).json["header"]["trained_on"]
        assert (trained_on["sha256"], trained_on["model"]) == ("d" * 64, None)

    def test_the_same_weights_under_another_header_are_told(self, library: Library, tmp_path: Path) -> None:
        one = write_bytes(tmp_path / "l/a.safetensors", lora(**MIRA))
        two = write_bytes(tmp_path / "l/b.safetensors", lora(**MIRA, note="edited"))
        scan_roots(library, f"loras={tmp_path}/l")
        at = Path(library.path)
        mlib_here("hash", "--all", library=at)
        assert mlib_here("show", one, "--json", library=at).json["same_weights"] == [
            {"sha256": two, "name": "b.safetensors", "path": f"{tmp_path}/l/b.safetensors"}
        ]
        assert f"same_weights\t{one}\ta.safetensors\t" in mlib_here("show", two, library=at).out
        (tmp_path / "l/b.safetensors").unlink()
        scan_roots(library)
        assert mlib_here("show", one, "--json", library=at).json["same_weights"][0]["path"] is None
        _, page = on_terminal("show", one, library=library.path, env={"NO_COLOR": "1"})
        assert f"same weights {two[:10]} b.safetensors (missing)" in " ".join(page.split())

    def test_of_a_pending_import_is_told_too(self, library: Library, tmp_path: Path) -> None:
        write_bytes(tmp_path / "l/page.safetensors", b"<html>")
        scan_roots(library, f"loras={tmp_path}/l", stage=True)
        document = mlib_here("show", "pending:1", "--json", library=Path(library.path)).json
        assert (document["pending"], document["format"]) == (True, "html")
        assert [finding["code"] for finding in document["findings"]] == ["html_page"]

    @pytest.mark.parametrize("header", [b"", b"nonsense", b"x\x9c\xab\xae\x05\x00\x01u\x00\xf9"])
    def test_a_kept_header_that_is_damaged_harms_nothing_else(
        self, library: Library, mira: str, header: bytes
    ) -> None:
        with library.transaction():
            library.execute("UPDATE headers SET header = ?", [header])
        document = mlib_here("show", mira, "--json", library=Path(library.path)).json
        assert document["kind"] == "lora"
        assert "metadata" not in document["header"]


class TestHostileContent:
    """Tensor names, metadata, what a pickle asks for, what lies beside it: none of it steers a terminal."""

    @pytest.fixture
    def refs(self, library: Library, tmp_path: Path) -> list[str]:
        line = HOSTILE_TEXT.replace("\n", "")  # which no adapter's tensor has in its name
        header = {
            f"{line}.lora_down.weight": {"dtype": "F16", "shape": [2, 2], "data_offsets": [0, 8]},
            f"{line}.lora_up.weight": {"dtype": line, "shape": [2, 2], "data_offsets": [8, 16]},
        }
        keys = ("modelspec.title", "modelspec.author", "modelspec.license", "modelspec.trigger_phrase",
                "ss_sd_model_name", "ss_resolution", line)  # fmt: skip
        metadata = dict.fromkeys(keys, line) | {
            "ss_tag_frequency": json.dumps({"x": {line: 3}}),
            "ss_base_model_version": "sdxl_" + line,
            "ss_network_module": "lycoris." + line,
            "modelspec.architecture": "stable-diffusion-v1/" + line,
        }
        contents = [
            framed(json.dumps({"__metadata__": metadata} | header).encode()) + b"1" * 16,
            calling("o\x1b[31ms", "sys\x9btem", line),
            f"<html><title>{line}</title>".encode(),
        ]
        made = []
        for number, content in enumerate(contents):
            stem = os.fsencode(tmp_path) + b"/r/\x1b]0;\xff\x07%d" % number
            made.append(write_bytes(Path(os.fsdecode(stem + b".safetensors")), content))
            write_bytes(Path(os.fsdecode(stem + b".preview.png")), b"x")
            info = {"trainedWords": [line], "baseModel": line, "description": line, "tags": [line]}
            write_bytes(Path(os.fsdecode(stem + b".civitai.info")), json.dumps(info).encode())
        report = scan_roots(library, f"vae={tmp_path}/r")
        assert report.counts["added"] == len(made)
        assert report.findings
        return made

    @pytest.mark.parametrize("words", [[], ["--meta"], ["--json"], ["--field", "kind_evidence"],
                                       ["--field", "trigger_words"], ["--field", "header"],
                                       ["--field", "findings"]])  # fmt: skip
    def test_on_a_terminal(self, library: Library, refs: list[str], words: list[str]) -> None:
        code, page = on_terminal("show", *words, *refs, library=library.path)
        assert code == 0
        assert page
        assert steering(page.replace(BOLD, "").replace(PLAIN, "")) == set()

    def test_in_a_pipe(self, library: Library, refs: list[str]) -> None:
        for words in ([], ["--json"], ["--meta"]):
            assert steering(mlib_here("show", *words, *refs, library=Path(library.path)).out) == set()

    def test_in_a_scan(self, refs: list[str], tmp_path: Path) -> None:
        at = tmp_path / "another.db"
        code, page = on_terminal("scan", "--root", f"vae={tmp_path}/r", library=at)
        assert code == 3  # some of what is found is serious
        assert page.count("finding: ") + page.count("serious: ") >= len(refs)
        assert steering(BARS.sub("", page)) == set()
        again = mlib_here("scan", "--root", f"vae={tmp_path}/r", "--rehash", "--json", library=at, code=None)
        assert again.json["findings"]
        assert steering(again.out) == set()
