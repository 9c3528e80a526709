"""What a scan takes from sidecars: all that nobody typed, once, and from none that is about another file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from tests.core.sidecars import sidecar_files
from tests.core.sidecars.sidecar_files import as_bytes
from tests.faults.machine import lacking, require_root
from tests.inprocess import mlib_here
from tests.libraries import dump
from tests.model_files import safetensors
from tests.services.shelf import codes, fill, told
from tests.tools import set_age, write_bytes, write_model

from mlib.core.records import OtherHashes
from mlib.core.sidecars.companions import KINDS
from mlib.core.sidecars.parse import MAX_BYTES
from mlib.db import contents, models, tags
from mlib.services.describing import detail
from mlib.services.importing.importer import import_pending
from mlib.services.resolving import Target
from mlib.services.updating import parse_edit, update

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.shelf import Shelf

    from mlib.core.records import Model
    from mlib.services.scanning.request import ScanReport

WRONG = "sidecar_mismatch"


def web_ui(path: Path, *, age: float = 3600, base: str = "", **fields: object) -> None:
    """Write A1111's sidecar with these fields."""
    write_bytes(path, as_bytes({"sd version": base, **fields}), age=age)


def info(path: Path, *, age: float = 3600, name: str = "Ink Wash", tags_: Any = (), **fields: object) -> None:
    """Write a `.cm-info.json` with this name and these tags."""
    write_bytes(path, as_bytes({"ModelName": name, "Tags": list(tags_), **fields}), age=age)


def version(path: Path, files: dict[str, str]) -> None:
    """Write a `.civitai.info` of a version with these files and their SHA-256, the first one primary."""
    entries = [
        {"name": name, "type": "Model", "primary": number == 0, "hashes": {"SHA256": sha256.upper()}}
        for number, (name, sha256) in enumerate(files.items())
    ]
    document = {"id": 71, "trainedWords": ["inkwsh"], "model": {"name": "Ink Wash"}, "files": entries}
    write_bytes(path, as_bytes(document))


def trigger_words(shelf: Shelf, sha256: str) -> list[str]:
    """Those that the sidecars of a model name."""
    said = detail(shelf.library, Target(sha256=sha256)).sidecars
    return [word for sidecar in said for word in sidecar.trigger_words]


def model(shelf: Shelf, sha256: str) -> Model:
    found = models.get(shelf.library, sha256)
    assert found is not None
    return found


def tags_of(shelf: Shelf, sha256: str) -> tuple[str, ...]:
    return tags.of_model(shelf.library, sha256)


def clear(shelf: Shelf, sha256: str, *fields: str, untag: tuple[str, ...] = ()) -> None:
    """What `mlib update --description ''` and `--untag` do."""
    update(
        shelf.library, [Target(sha256=sha256)], parse_edit(text=dict.fromkeys(fields, ""), untag=list(untag))
    )


def findings(shelf: Shelf, sha256: str) -> list[str]:
    """Which sidecars of a model are about another file, as `show` tells it."""
    found = detail(shelf.library, Target(sha256=sha256)).findings
    return sorted(finding.message.split()[0] for _, finding in found if finding.code == WRONG)


def found_wrong(report: ScanReport) -> list[tuple[str, str]]:
    """The same for one scan: the model's file and the sidecar."""
    return sorted(
        (os.path.basename(path), finding.message.split()[0])
        for path, finding in report.findings
        if finding.code == WRONG
    )


def held(shelf: Shelf) -> dict[str, list[tuple[Any, ...]]]:
    """All that the library holds, but for when its roots were seen last."""
    return {name: rows for name, rows in dump(shelf.library.path).items() if name != "roots"}


def forget_comparison(shelf: Shelf) -> None:
    """Leave the library as a scan does that was killed after it wrote the models, before the sidecars."""
    with shelf.library.transaction():
        shelf.library.execute("DELETE FROM given")


class TestFilling:
    @pytest.mark.parametrize(
        ("ending", "kind", "expected"),
        [
            (".metadata.json", "metadata_json", ("Ink Wash v3 (SDXL)", "SDXL 1.0", True, True, True)),
            (".civitai.info", "civitai_info", ("Ink Wash v3 (SDXL)", "SDXL 1.0", True, False, True)),
            (".cm-info.json", "cm_info", ("Ink Wash v3", "", True, False, True)),
            (".json", "a1111_json", ("ink.safetensors", "SDXL", True, True, False)),
            (
                ".safetensors.rgthree-info.json",
                "rgthree_info",
                ("Ink Wash - v3 (SDXL)", "SDXL 1.0", True, True, True),
            ),
            (".swarm.json", "swarm_json", ("Ink Wash", "SDXL", True, True, True)),
            (".json", "civitai_model", ("Ink Wash v3 (SDXL)", "SDXL 1.0", True, False, True)),
            (".md", "markdown", ("Ink Wash", "SDXL 1.0", True, False, False)),
            (".description.txt", "text", ("ink.safetensors", "", True, False, False)),
            (".txt", "text", ("ink.safetensors", "", True, False, False)),
        ],
    )
    def test_each_kind_fills_what_it_says(
        self, shelf: Shelf, ending: str, kind: str, expected: tuple[object, ...]
    ) -> None:
        sha256 = write_model(shelf.loras / "ink.safetensors")
        content = sidecar_files.all_kinds()[kind].replace(sidecar_files.SHA256.encode(), sha256.encode())
        content = content.replace(sidecar_files.SHA256.upper().encode(), sha256.upper().encode())
        write_bytes(shelf.loras / f"ink{ending}", content)
        shelf.scan()
        found = model(shelf, sha256)
        tagged = bool(tags_of(shelf, sha256))
        assert expected == (
            found.name, found.base_model, bool(found.description), bool(found.notes), tagged,
        )  # fmt: skip
        assert found.edited == frozenset(), "nobody typed anything"
        assert findings(shelf, sha256) == []

    def test_the_most_trusted_goes_first_and_the_others_fill_the_gaps(self, shelf: Shelf) -> None:
        sha256 = write_model(shelf.loras / "ink.safetensors")
        web_ui(shelf.loras / "ink.json", description="theirs", notes="90 drawings")
        info(shelf.loras / "ink.cm-info.json", ModelDescription="ours")
        shelf.scan()
        found = model(shelf, sha256)
        assert (found.name, found.description, found.notes) == ("Ink Wash", "ours", "90 drawings")

    def test_two_models_of_one_stem_share(self, shelf: Shelf) -> None:
        one = write_model(shelf.loras / "ink.safetensors")
        other = write_model(shelf.loras / "INK.sft")
        info(shelf.loras / "ink.cm-info.json", tags_=["ink"])
        shelf.scan()
        for sha256 in (one, other):
            assert (model(shelf, sha256).name, tags_of(shelf, sha256)) == ("Ink Wash", ("ink",))

    def test_of_two_models_of_one_stem_each_finds_its_file_in_a_version(self, shelf: Shelf) -> None:
        """Civitai lists all files of a version; one of them is the primary."""
        one = write_model(shelf.loras / "ink.safetensors")
        other = write_model(shelf.loras / "ink.gguf")
        version(shelf.loras / "ink.civitai.info", {"ink.safetensors": one, "ink.gguf": other})
        assert found_wrong(shelf.scan()) == []
        for sha256 in (one, other):
            assert (model(shelf, sha256).name, findings(shelf, sha256)) == ("Ink Wash", [])
            assert trigger_words(shelf, sha256) == ["inkwsh"]
            (said,) = detail(shelf.library, Target(sha256=sha256)).sidecars
            assert said.hashes == {"sha256": sha256}

    def test_of_two_models_of_one_stem_only_the_stale_one_is_told(self, shelf: Shelf) -> None:
        stale = write_model(shelf.loras / "ink.safetensors")
        fresh = write_model(shelf.loras / "ink.gguf")
        version(shelf.loras / "ink.civitai.info", {"ink.safetensors": "0f" * 32, "ink.gguf": fresh})
        assert found_wrong(shelf.scan()) == [("ink.safetensors", "ink.civitai.info")]
        assert (model(shelf, stale).name, model(shelf, fresh).name) == ("ink.safetensors", "Ink Wash")
        assert (trigger_words(shelf, stale), trigger_words(shelf, fresh)) == ([], ["inkwsh"])

    def test_a_sidecar_about_one_of_two_models_gives_the_other_nothing(self, shelf: Shelf) -> None:
        one = write_model(shelf.loras / "ink.safetensors")
        other = write_model(shelf.loras / "ink.gguf")
        version(shelf.loras / "ink.civitai.info", {"ink.safetensors": one})
        assert found_wrong(shelf.scan()) == []
        assert (model(shelf, one).name, model(shelf, other).name) == ("Ink Wash", "ink.gguf")
        assert (trigger_words(shelf, one), trigger_words(shelf, other)) == (["inkwsh"], [])
        assert findings(shelf, other) == [], "it is neither wrong nor stale"

    def test_an_edited_header_is_forgiven_beside_another_model_of_the_stem(self, shelf: Shelf) -> None:
        one = write_model(shelf.loras / "ink.safetensors")
        other = write_model(shelf.loras / "ink.gguf")
        files = [
            {"name": "ink.gguf", "primary": True, "hashes": {"SHA256": other}},
            {"name": "ink.safetensors", "hashes": {"SHA256": "0f" * 32, "AutoV3": "cd" * 6}},
        ]
        info = {"id": 71, "model": {"name": "Ink Wash"}, "files": files}
        write_bytes(shelf.loras / "ink.civitai.info", as_bytes(info))
        shelf.scan()
        with shelf.library.transaction():
            contents.put_hashes(shelf.library, one, OtherHashes(autov3="cd" * 32))
        shelf.scan()
        assert (findings(shelf, one), model(shelf, one).name) == ([], "Ink Wash")

    def test_it_is_wrong_while_the_model_that_it_is_about_is_away(self, shelf: Shelf) -> None:
        path = shelf.loras / "ink.safetensors"
        one = write_model(path)
        other = write_model(shelf.loras / "ink.gguf")
        version(shelf.loras / "ink.civitai.info", {"ink.safetensors": one})
        shelf.scan()
        path.rename(shelf.loras.parent / "away")
        assert found_wrong(shelf.scan()) == [("ink.gguf", "ink.civitai.info")]
        shelf.scan()
        assert findings(shelf, other) == ["ink.civitai.info"]
        (shelf.loras.parent / "away").rename(path)
        assert found_wrong(shelf.scan()) == []
        assert findings(shelf, other) == []

    def test_a_model_that_only_seemed_away_is_compared_again(self, shelf: Shelf) -> None:
        path = shelf.loras / "ink.safetensors"
        one = write_model(path)
        other = write_model(shelf.loras / "ink.gguf")
        version(shelf.loras / "ink.civitai.info", {"ink.safetensors": one})
        many = fill(shelf.loras, 12)
        shelf.scan()
        for each in (path, *many):
            each.rename(each.with_suffix(".away"))
        assert shelf.scan().guarded_roots
        for each in (path, *many):
            each.with_suffix(".away").rename(each)
        shelf.scan()
        assert findings(shelf, other) == []

    def test_one_that_comes_back_to_a_wrong_sidecar_is_told_again(self, shelf: Shelf) -> None:
        path, elsewhere = shelf.loras / "ink.safetensors", shelf.loras / "other.safetensors"
        sha256 = write_model(path)
        info(shelf.loras / "ink.cm-info.json", Hashes={"SHA256": "0f" * 32})
        shelf.scan()
        path.rename(elsewhere)
        shelf.scan()
        assert findings(shelf, sha256) == []
        elsewhere.rename(path)
        assert found_wrong(shelf.scan()) == [("ink.safetensors", "ink.cm-info.json")]
        assert findings(shelf, sha256) == ["ink.cm-info.json"]

    def test_a_sidecar_of_a_longer_stem_is_not_of_the_shorter(self, shelf: Shelf) -> None:
        short = write_model(shelf.loras / "ink.safetensors")
        long = write_model(shelf.loras / "ink.v2.safetensors")
        info(shelf.loras / "ink.v2.cm-info.json")
        shelf.scan()
        assert (model(shelf, short).name, model(shelf, long).name) == ("ink.safetensors", "Ink Wash")

    def test_a_name_that_is_only_the_file_s_is_none(self, shelf: Shelf) -> None:
        sha256 = write_model(shelf.loras / "Ink.safetensors")
        info(shelf.loras / "Ink.cm-info.json", name="INK")
        shelf.scan()
        assert model(shelf, sha256).name == "Ink.safetensors"

    def test_a_base_model_that_the_header_shows_gives_way(self, shelf: Shelf) -> None:
        content = safetensors({"w": 8}, metadata={"modelspec.architecture": "stable-diffusion-v1"})
        sha256 = write_bytes(shelf.loras / "ink.safetensors", content)
        shelf.scan()
        assert model(shelf, sha256).base_model, "the header shows one"
        web_ui(shelf.loras / "ink.json", base="Pony")
        shelf.scan()
        assert model(shelf, sha256).base_model == "Pony"
        shelf.scan(reinspect=True)
        shelf.scan(rehash=True)
        assert model(shelf, sha256).base_model == "Pony"

    def test_a_copy_with_sidecars_fills_the_model_that_bears_the_other_copy_s_name(
        self, shelf: Shelf
    ) -> None:
        sha256 = write_model(shelf.loras / "a.safetensors", "same")
        shelf.scan()
        write_model(shelf.vae / "b.safetensors", "same")
        info(shelf.vae / "b.cm-info.json")
        shelf.scan()
        assert model(shelf, sha256).name == "Ink Wash"

    def test_names_that_are_no_text(self, shelf: Shelf) -> None:
        directory = os.fsencode(shelf.loras)
        path = directory + b"/in\xffk.safetensors"
        sha256 = write_model(shelf.loras / "x.safetensors")
        os.rename(shelf.loras / "x.safetensors", path)
        with open(directory + b"/in\xffk.txt", "wb") as file:
            file.write(b"Ink.")
        with open(directory + b"/in\xffk.json", "wb") as file:
            file.write(as_bytes({"notes": "n", "description": "d"}))
        shelf.scan()
        assert (model(shelf, sha256).description, model(shelf, sha256).notes) == ("d", "n")
        before = held(shelf)
        shelf.scan()
        assert held(shelf) == before

    def test_a_time_beyond_all_calendars(self, shelf: Shelf) -> None:
        sha256 = write_model(shelf.loras / "a.safetensors")
        (shelf.loras / "a.txt").write_bytes(b"Ink.")
        try:
            os.utime(shelf.loras / "a.txt", (9_300_000_000, 9_300_000_000))
        except (OSError, OverflowError):
            lacking("this file system keeps no such time")
        shelf.scan()
        assert model(shelf, sha256).description == "Ink."


class TestWholeModel:
    """SD.Next keeps in X.json what Civitai says of all versions of a model: the file's hash tells which."""

    @staticmethod
    def document(**words: str) -> bytes:
        versions = [
            {
                "id": number,
                "name": f"v{number}",
                "trainedWords": [word],
                "files": [
                    {"name": "other.safetensors", "type": "Model", "hashes": {"SHA256": sha256.upper()}}
                ],
            }
            for number, (word, sha256) in enumerate(words.items(), 1)
        ]
        return as_bytes({"id": 9, "name": "Ink", "type": "LORA", "tags": ["ink"], "modelVersions": versions})

    def test_the_version_of_the_file_fills_what_is_empty(self, shelf: Shelf) -> None:
        sha256 = write_model(shelf.loras / "a.safetensors")
        write_bytes(shelf.loras / "a.json", self.document(older="11" * 32, ours=sha256, newer="22" * 32))
        shelf.scan()
        assert (model(shelf, sha256).name, tags_of(shelf, sha256)) == ("Ink v2", ("ink",))
        assert trigger_words(shelf, sha256) == ["ours"]

    def test_another_file_in_its_place_is_the_version_that_it_is(self, shelf: Shelf) -> None:
        path = shelf.loras / "a.safetensors"
        old = write_model(path, "old")
        new = write_model(shelf.vae / "new.safetensors", "new")
        write_bytes(shelf.loras / "a.json", self.document(first=old, second=new))
        shelf.scan()
        os.replace(shelf.vae / "new.safetensors", path)
        shelf.scan()
        assert (trigger_words(shelf, new), trigger_words(shelf, old)) == (["second"], [])

    def test_one_of_other_files_is_believed_of_none(self, shelf: Shelf) -> None:
        sha256 = write_model(shelf.loras / "a.safetensors")
        write_bytes(shelf.loras / "a.json", self.document(one="11" * 32, two="22" * 32))
        report = shelf.scan()
        assert [finding.code for _, finding in report.findings] == [WRONG]
        assert (model(shelf, sha256).name, trigger_words(shelf, sha256)) == ("a.safetensors", [])

    def test_two_models_of_the_stem_are_told_apart(self, shelf: Shelf) -> None:
        one, other = write_model(shelf.loras / "a.safetensors"), write_model(shelf.loras / "a.pt")
        note = as_bytes({"userNote": "of the first", "sha256": one})
        write_bytes(shelf.loras / "a.safetensors.rgthree-info.json", note)
        write_bytes(shelf.loras / "a.pt.json", self.document(second=other, first=one))
        report = shelf.scan()
        assert [path for path, finding in report.findings if finding.code == WRONG] == []
        assert (model(shelf, one).notes, model(shelf, other).notes) == ("of the first", "")
        assert (trigger_words(shelf, one), trigger_words(shelf, other)) == ([], ["second"])


class TestTyped:
    """Promise 1."""

    def test_what_a_person_typed_is_never_overwritten(self, shelf: Shelf) -> None:
        sha256 = write_model(shelf.loras / "ink.safetensors")
        shelf.scan()
        shelf.edit(sha256, name="mine", base_model="mine", description="mine", notes="mine", tag=("mine",))
        before = shelf.user_data(sha256)
        for kind, ending in (("metadata_json", ".metadata.json"), ("a1111_json", ".json")):
            content = sidecar_files.all_kinds()[kind].replace(sidecar_files.SHA256.encode(), sha256.encode())
            write_bytes(shelf.loras / f"ink{ending}", content)
        requests: list[dict[str, Any]] = [{}, {"rehash": True}, {"reinspect": True}]
        for request in requests:
            shelf.scan(**request)
            assert shelf.user_data(sha256) == before

    @pytest.mark.parametrize(
        "happening", ["changed", "rehash", "moved", "changed and moved", "copied", "touched"]
    )
    def test_what_a_person_emptied_stays_empty(self, shelf: Shelf, happening: str) -> None:
        path = shelf.loras / "ink.safetensors"
        sha256 = write_model(path)
        web_ui(shelf.loras / "ink.json", description="theirs", notes="theirs", base="SDXL")
        info(shelf.loras / "ink.cm-info.json", tags_=["ink"])
        shelf.scan()
        assert (model(shelf, sha256).notes, tags_of(shelf, sha256)) == ("theirs", ("ink",))
        clear(shelf, sha256, "name", "description", "notes", "base_model", untag=("ink",))
        if "changed" in happening:
            web_ui(shelf.loras / "ink.json", description="new", notes="new", base="Pony", age=60)
            info(shelf.loras / "ink.cm-info.json", name="New", tags_=["new"], age=60)
        if happening == "copied":
            for name in os.listdir(shelf.loras):
                shutil.copy2(shelf.loras / name, shelf.vae / name)
        if happening == "touched":
            set_age(path, 77)
        if "moved" in happening:
            for name in os.listdir(shelf.loras):
                (shelf.loras / name).rename(shelf.vae / name)
        shelf.scan(rehash=happening == "rehash")
        found = model(shelf, sha256)
        assert (found.name, found.description, found.notes) == ("ink.safetensors", "", "")
        assert found.base_model == ""
        assert tags_of(shelf, sha256) == ()

    def test_what_a_person_emptied_stays_empty_through_one_change_after_another(self, shelf: Shelf) -> None:
        sha256 = write_model(shelf.loras / "ink.safetensors")
        info(shelf.loras / "ink.cm-info.json", tags_=["ink"])
        shelf.scan()
        clear(shelf, sha256, "name", untag=("ink",))
        for number, folder in enumerate((shelf.loras, shelf.vae, shelf.loras, shelf.loras)):
            for old in (*shelf.loras.iterdir(), *shelf.vae.iterdir()):
                if old.suffix == ".safetensors":
                    old.rename(folder / old.name)
                else:
                    old.unlink()
            info(folder / "ink.cm-info.json", name=f"New {number}", tags_=[f"{number}"], age=60 - number)
            shelf.scan()
            assert (model(shelf, sha256).name, tags_of(shelf, sha256)) == ("ink.safetensors", ())

    def test_tags_that_a_person_chose_are_not_taken_for_the_sidecar_s(self, shelf: Shelf) -> None:
        """Although they are what it says."""
        sha256 = write_model(shelf.loras / "ink.safetensors")
        shelf.scan()
        shelf.edit(sha256, tag=("ink",))
        info(shelf.loras / "ink.cm-info.json", tags_=["ink"])
        shelf.scan()
        info(shelf.loras / "ink.cm-info.json", tags_=["brush"], age=60)
        shelf.scan()
        assert tags_of(shelf, sha256) == ("ink",)

    @pytest.mark.parametrize("change", ["add", "remove"])
    def test_tags_that_a_person_changed_are_the_person_s(self, shelf: Shelf, change: str) -> None:
        sha256 = write_model(shelf.loras / "ink.safetensors")
        info(shelf.loras / "ink.cm-info.json", tags_=["brush", "ink"])
        shelf.scan()
        if change == "add":
            shelf.edit(sha256, tag=("mine",))
        else:
            clear(shelf, sha256, untag=("ink",))
        before = tags_of(shelf, sha256)
        info(shelf.loras / "ink.cm-info.json", tags_=["brush", "ink", "new"], age=60)
        shelf.scan()
        assert tags_of(shelf, sha256) == before

    def test_what_was_filled_and_then_typed_again_alike_is_typed(self, shelf: Shelf) -> None:
        sha256 = write_model(shelf.loras / "ink.safetensors")
        info(shelf.loras / "ink.cm-info.json")
        shelf.scan()
        shelf.edit(sha256, name="Ink Wash")
        info(shelf.loras / "ink.cm-info.json", name="New", age=60)
        shelf.scan()
        assert model(shelf, sha256).name == "Ink Wash"


class TestChange:
    def test_a_changed_sidecar_updates_what_it_filled_and_nothing_else(self, shelf: Shelf) -> None:
        sha256 = write_model(shelf.loras / "ink.safetensors")
        web_ui(shelf.loras / "ink.json", description="old", notes="old")
        info(shelf.loras / "ink.cm-info.json", tags_=["old"])
        shelf.scan()
        shelf.edit(sha256, notes="mine")
        web_ui(shelf.loras / "ink.json", description="new", notes="new", age=60)
        info(shelf.loras / "ink.cm-info.json", tags_=["new"], age=60)
        shelf.scan()
        found = model(shelf, sha256)
        assert (found.description, found.notes, tags_of(shelf, sha256)) == ("new", "mine", ("new",))

    def test_a_change_and_a_move_at_once(self, shelf: Shelf) -> None:
        sha256 = write_model(shelf.vae / "ink.safetensors")
        info(shelf.vae / "ink.cm-info.json", tags_=["old"])
        shelf.scan()
        (shelf.vae / "ink.safetensors").rename(shelf.loras / "ink.safetensors")
        (shelf.vae / "ink.cm-info.json").unlink()
        info(shelf.loras / "ink.cm-info.json", name="New", tags_=["new"], age=60)
        shelf.scan()
        assert (model(shelf, sha256).name, tags_of(shelf, sha256)) == ("New", ("new",))

    def test_a_removed_one_leaves_what_it_filled(self, shelf: Shelf) -> None:
        sha256 = write_model(shelf.loras / "ink.safetensors")
        info(shelf.loras / "ink.cm-info.json", tags_=["ink"])
        web_ui(shelf.loras / "ink.json", notes="n")
        shelf.scan()
        before = model(shelf, sha256), tags_of(shelf, sha256)
        (shelf.loras / "ink.cm-info.json").unlink()
        (shelf.loras / "ink.json").unlink()
        shelf.scan()
        shelf.scan(rehash=True)
        assert (model(shelf, sha256), tags_of(shelf, sha256)) == before
        assert detail(shelf.library, Target(sha256=sha256)).sidecars == ()

    def test_copies_with_different_sidecars_do_not_take_turns(self, shelf: Shelf) -> None:
        sha256 = write_model(shelf.loras / "a.safetensors", "same")
        write_model(shelf.vae / "b.safetensors", "same")
        info(shelf.loras / "a.cm-info.json", name="Alpha", tags_=["a"])
        info(shelf.vae / "b.cm-info.json", name="Beta", tags_=["b"])
        shelf.scan()
        first = model(shelf, sha256).name, tags_of(shelf, sha256)
        assert first in (("Alpha", ("a",)), ("Beta", ("b",)))
        other = shelf.vae / "b.cm-info.json" if first[0] == "Alpha" else shelf.loras / "a.cm-info.json"
        info(other, name="Other", tags_=["x"], age=60)
        shelf.scan()
        shelf.scan(rehash=True)
        assert (model(shelf, sha256).name, tags_of(shelf, sha256)) == first

    def test_tags_that_nothing_bears_any_more_are_forgotten(self, shelf: Shelf) -> None:
        write_model(shelf.loras / "ink.safetensors")
        info(shelf.loras / "ink.cm-info.json", tags_=["old"])
        shelf.scan()
        info(shelf.loras / "ink.cm-info.json", tags_=["new"], age=60)
        shelf.scan()
        assert shelf.library.all("SELECT name FROM tags") == [("new",)]


class TestUnchanged:
    def test_an_unchanged_scan_opens_no_sidecar_and_writes_nothing(
        self, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for kind, content in sidecar_files.all_kinds().items():
            write_model(shelf.loras / f"{kind}.safetensors")
            ending = KINDS[kind][0]
            write_bytes(shelf.loras / f"{kind}{ending}", content)
        write_bytes(shelf.loras / "put_models_here.txt", b"of no model")
        write_bytes(shelf.vae / "README.md", b"of no model either")
        write_model(shelf.loras / "alone.safetensors")
        shelf.scan()
        before = held(shelf)
        monkeypatch.setattr(
            "mlib.services.scanning.sidecar_changes.read_news", lambda *_: pytest.fail("news")
        )
        opened: list[str] = []
        watching = True

        def watch(event: str, arguments: tuple[Any, ...]) -> None:
            # O_DIRECTORY opens nothing but a directory: that is a listing.
            if not watching or event != "open" or arguments[2] & os.O_DIRECTORY:
                return
            if str(shelf.loras.parent) in str(arguments[0]):
                opened.append(str(arguments[0]))

        sys.addaudithook(watch)
        shelf.scan()
        watching = False
        assert opened == []
        assert held(shelf) == before

    @pytest.mark.parametrize("request_", [{"rehash": True}, {"reinspect": True}])
    def test_reading_all_again_changes_nothing(self, shelf: Shelf, request_: dict[str, Any]) -> None:
        sha256 = write_model(shelf.loras / "ink.safetensors")
        for kind, ending in (("metadata_json", ".metadata.json"), ("a1111_json", ".json")):
            write_bytes(shelf.loras / f"ink{ending}", sidecar_files.all_kinds()[kind])
        shelf.scan()
        before = model(shelf, sha256), tags_of(shelf, sha256), findings(shelf, sha256)
        shelf.scan(**request_)
        assert (model(shelf, sha256), tags_of(shelf, sha256), findings(shelf, sha256)) == before


class TestOrder:
    def test_a_sidecar_that_comes_later(self, shelf: Shelf) -> None:
        sha256 = write_model(shelf.loras / "ink.safetensors")
        shelf.scan()
        info(shelf.loras / "ink.cm-info.json")
        assert shelf.told() == {"unchanged": 1}
        assert model(shelf, sha256).name == "Ink Wash"

    def test_a_model_that_comes_later(self, shelf: Shelf) -> None:
        info(shelf.loras / "ink.cm-info.json")
        assert shelf.told() == {}
        sha256 = write_model(shelf.loras / "ink.safetensors")
        shelf.scan()
        assert model(shelf, sha256).name == "Ink Wash"

    def test_a_second_model_of_the_stem_after_a_scan_that_was_killed(self, shelf: Shelf) -> None:
        write_model(shelf.loras / "ink.safetensors")
        info(shelf.loras / "ink.cm-info.json")
        shelf.scan()
        sha256 = write_model(shelf.loras / "ink.sft")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("mlib.services.scanning.sidecar_changes.read_news", lambda *_: [])
            shelf.scan()
        assert model(shelf, sha256).name == "ink.sft"
        assert shelf.told() == {"unchanged": 2}
        assert model(shelf, sha256).name == "Ink Wash"

    def test_a_model_staged_and_imported_later(self, shelf: Shelf) -> None:
        """The scan after the import fills it."""
        sha256 = write_model(shelf.loras / "ink.safetensors")
        info(shelf.loras / "ink.cm-info.json")
        shelf.scan(stage=True)
        import_pending(shelf.library)
        shelf.scan()
        assert model(shelf, sha256).name == "Ink Wash"

    def test_a_model_staged_in_place_of_another_and_imported_later(self, shelf: Shelf) -> None:
        write_model(shelf.loras / "ink.safetensors")
        info(shelf.loras / "ink.cm-info.json")
        shelf.scan()
        sha256 = write_model(shelf.loras / "ink.safetensors", "other", age=60)
        shelf.scan(stage=True)
        import_pending(shelf.library)
        shelf.scan()
        assert model(shelf, sha256).name == "Ink Wash"

    def test_a_scan_that_is_interrupted_leaves_the_rest_to_the_next(self, shelf: Shelf) -> None:
        shas = [write_model(shelf.loras / f"{n}.safetensors") for n in range(5)]
        for n in range(5):
            info(shelf.loras / f"{n}.cm-info.json", name=f"Ink {n}")
        shelf.scan()
        forget_comparison(shelf)
        clear(shelf, shas[0], "name")
        shelf.scan()
        assert [model(shelf, sha256).name for sha256 in shas[1:]] == [f"Ink {n}" for n in range(1, 5)]

    def test_models_that_move_with_and_without_their_sidecars(self, shelf: Shelf) -> None:
        shas = {}
        for name in ("with", "without"):
            shas[name] = write_model(shelf.loras / f"{name}.safetensors")
            info(shelf.loras / f"{name}.cm-info.json", name=name.upper(), TrainedWords=[name])
        shelf.scan()
        for name in shas:
            (shelf.loras / f"{name}.safetensors").rename(shelf.vae / f"{name}.safetensors")
        (shelf.loras / "with.cm-info.json").rename(shelf.vae / "with.cm-info.json")
        assert shelf.told() == {"moved": 2}
        for name, sha256 in shas.items():
            assert (
                model(shelf, sha256).name == f"{name}.safetensors" or model(shelf, sha256).name == "WITHOUT"
            )
            words = [
                word
                for sidecar in detail(shelf.library, Target(sha256=sha256)).sidecars
                for word in sidecar.trigger_words
            ]
            assert words == (["with"] if name == "with" else [])

    def test_content_put_back_is_compared_again(self, shelf: Shelf) -> None:
        path = shelf.loras / "ink.safetensors"
        old = write_model(path)
        shelf.scan()
        path.rename(shelf.loras.parent / "parked")
        write_model(path, "other", age=60)
        info(shelf.loras / "ink.cm-info.json")
        shelf.scan()
        (shelf.loras.parent / "parked").replace(path)
        shelf.scan()
        assert model(shelf, old).name == "Ink Wash"


class TestPlaces:
    def test_an_offline_root_forgets_nothing(self, shelf: Shelf) -> None:
        sha256 = write_model(shelf.loras / "ink.safetensors")
        info(shelf.loras / "ink.cm-info.json", tags_=["ink"])
        shelf.scan()
        before = dump(shelf.library.path)["sidecars"], model(shelf, sha256), tags_of(shelf, sha256)
        shelf.loras.rename(shelf.loras.with_name("away"))
        assert shelf.scan().offline_roots
        after = dump(shelf.library.path)["sidecars"], model(shelf, sha256), tags_of(shelf, sha256)
        assert after == before
        shelf.loras.with_name("away").rename(shelf.loras)
        assert shelf.told() == {"unchanged": 1}

    def test_a_root_where_any_file_is_a_model(self, shelf: Shelf, tmp_path: Path) -> None:
        """Sidecars are none of them."""
        folder = tmp_path / "ComfyUI" / "models" / "configs"
        folder.mkdir(parents=True)
        sha256 = write_model(folder / "ink.safetensors")
        odd = write_bytes(folder / "odd.weights", b"whatever")
        info(folder / "ink.cm-info.json")
        info(folder / "odd.cm-info.json", name="Odd")
        shelf.add_root("my_nodes_models", folder)
        shelf.scan()
        assert model(shelf, sha256).name == "Ink Wash"
        assert shelf.told()["unchanged"] in (1, 2)
        assert models.get(shelf.library, odd) is None or model(shelf, odd).name in ("odd.weights", "Odd")

    def test_a_scan_of_one_file_reads_its_sidecar(self, shelf: Shelf) -> None:
        sha256 = write_model(shelf.loras / "ink.safetensors")
        write_model(shelf.loras / "other.safetensors")
        info(shelf.loras / "ink.cm-info.json")
        shelf.scan(paths=[str(shelf.loras / "ink.safetensors")])
        assert model(shelf, sha256).name == "Ink Wash"
        info(shelf.loras / "ink.cm-info.json", name="New", age=60)
        shelf.scan(paths=[str(shelf.loras / "ink.cm-info.json")])
        assert model(shelf, sha256).name == "New"
        shelf.scan()
        assert len(models.all_ids(shelf.library)) == 2

    def test_a_scan_of_another_folder_reads_none(self, shelf: Shelf) -> None:
        sha256 = write_model(shelf.loras / "ink.safetensors")
        shelf.scan()
        info(shelf.loras / "ink.cm-info.json")
        shelf.scan(paths=[str(shelf.vae)])
        assert model(shelf, sha256).name == "ink.safetensors"

    @pytest.mark.parametrize("request_", [{}, {"rehash": True}, {"reinspect": True}])
    def test_a_dry_run_writes_nothing(self, shelf: Shelf, request_: dict[str, Any]) -> None:
        write_model(shelf.loras / "known.safetensors")
        info(shelf.loras / "known.cm-info.json")
        write_bytes(shelf.loras / "gone.txt", b"of none")
        shelf.scan()
        info(shelf.loras / "known.cm-info.json", name="New", age=60)
        (shelf.loras / "gone.txt").unlink()
        write_model(shelf.loras / "new.safetensors")
        web_ui(shelf.loras / "new.json", notes="n")
        before = held(shelf)
        shelf.scan(dry_run=True, **request_)
        assert held(shelf) == before


class TestMismatch:
    OTHER = "ab" * 32

    @pytest.mark.parametrize("claim", ["sha256", "sha256_12", "crc32", "blake3", "autov3"])
    @pytest.mark.parametrize("right", [True, False])
    def test_each_hash_that_is_known(self, shelf: Shelf, claim: str, right: bool) -> None:
        path = shelf.loras / "ink.safetensors"
        sha256 = write_model(path)
        shelf.scan()
        crc32 = zlib.crc32(path.read_bytes()).to_bytes(4, "little").hex()
        known = OtherHashes(autov3="cd" * 32, crc32=crc32, blake3="ef" * 32)
        with shelf.library.transaction():
            contents.put_hashes(shelf.library, sha256, known)
        ours = {"sha256": sha256, "sha256_12": sha256[:12], "crc32": crc32, "blake3": "ef" * 32,
                "autov3": "cd" * 6}[claim]  # fmt: skip
        said = ours if right else self.OTHER[: len(ours)]
        info(shelf.loras / "ink.cm-info.json", Hashes={claim.upper(): said.upper()}, TrainedWords=["w"])
        report = shelf.scan()
        assert found_wrong(report) == ([] if right else [("ink.safetensors", "ink.cm-info.json")])
        assert findings(shelf, sha256) == ([] if right else ["ink.cm-info.json"])
        assert model(shelf, sha256).name == ("Ink Wash" if right else "ink.safetensors")
        said_words = [each.trigger_words for each in detail(shelf.library, Target(sha256=sha256)).sidecars]
        assert said_words == ([("w",)] if right else [])

    def test_a_crc32_in_either_byte_order(self, shelf: Shelf) -> None:
        path = shelf.loras / "ink.safetensors"
        sha256 = write_model(path)
        shelf.scan()
        crc32 = zlib.crc32(path.read_bytes())
        with shelf.library.transaction():
            contents.put_hashes(shelf.library, sha256, OtherHashes(crc32=crc32.to_bytes(4, "little").hex()))
        info(shelf.loras / "ink.cm-info.json", Hashes={"CRC32": f"{crc32:08X}"})
        assert found_wrong(shelf.scan()) == []
        assert model(shelf, sha256).name == "Ink Wash"

    def test_a_hash_that_becomes_known_later(self, shelf: Shelf) -> None:
        sha256 = write_model(shelf.loras / "ink.safetensors")
        info(shelf.loras / "ink.cm-info.json", Hashes={"BLAKE3": self.OTHER})
        assert found_wrong(shelf.scan()) == []
        with shelf.library.transaction():
            contents.put_hashes(shelf.library, sha256, OtherHashes(crc32="00" * 4, blake3="ef" * 32))
        assert found_wrong(shelf.scan()) == [("ink.safetensors", "ink.cm-info.json")]
        assert findings(shelf, sha256) == ["ink.cm-info.json"]
        assert found_wrong(shelf.scan()) == [], "it is told once"

    def test_equal_tensors_forgive_another_sha256(self, shelf: Shelf) -> None:
        sha256 = write_model(shelf.loras / "ink.safetensors")
        shelf.scan()
        with shelf.library.transaction():
            contents.put_hashes(shelf.library, sha256, OtherHashes(autov3="cd" * 32, crc32="00" * 4))
        info(shelf.loras / "ink.cm-info.json", Hashes={"SHA256": self.OTHER, "AutoV3": "CD" * 6})
        assert found_wrong(shelf.scan()) == []
        assert model(shelf, sha256).name == "Ink Wash"

    def test_equal_tensors_that_become_known_later_forgive_too(self, shelf: Shelf) -> None:
        sha256 = write_model(shelf.loras / "ink.safetensors")
        info(shelf.loras / "ink.cm-info.json", Hashes={"SHA256": self.OTHER, "AutoV3": "CD" * 6})
        shelf.scan()
        assert findings(shelf, sha256) == ["ink.cm-info.json"]
        with shelf.library.transaction():
            contents.put_hashes(shelf.library, sha256, OtherHashes(autov3="cd" * 32, crc32="00" * 4))
        shelf.scan()
        assert (findings(shelf, sha256), model(shelf, sha256).name) == ([], "Ink Wash")

    @pytest.mark.parametrize("right", [True, False])
    def test_one_of_several_files_of_a_version(self, shelf: Shelf, right: bool) -> None:
        sha256 = write_model(shelf.loras / "mine.safetensors")
        entry = {"type": "Model", "name": "x.safetensors", "hashes": {"SHA256": self.OTHER}}
        second = {**entry, "name": "y.safetensors", "hashes": {"SHA256": sha256 if right else "cd" * 32}}
        document = {"id": 5, "name": "v1", "model": {"name": "Ink Wash"}, "files": [entry, second]}
        write_bytes(shelf.loras / "mine.civitai.info", as_bytes(document))
        shelf.scan()
        assert findings(shelf, sha256) == ([] if right else ["mine.civitai.info"])

    @pytest.mark.parametrize("extension", ["ckpt", "safetensors"])
    def test_of_a_version_with_two_formats_the_one_of_this_extension(
        self, shelf: Shelf, extension: str
    ) -> None:
        sha256 = write_model(shelf.loras / f"ink.{extension}")
        shas = {"ckpt": self.OTHER, "safetensors": "cd" * 32} | {extension: sha256}
        entries = [
            {
                "type": "Model",
                "name": f"ink.{each}",
                "primary": each == "safetensors",
                "hashes": {"SHA256": own},
            }
            for each, own in shas.items()
        ]
        document = {"id": 5, "name": "v1", "model": {"name": "Ink Wash"}, "files": entries}
        write_bytes(shelf.loras / "ink.civitai.info", as_bytes(document))
        shelf.scan()
        assert (findings(shelf, sha256), model(shelf, sha256).name) == ([], "Ink Wash v1")

    def wrong(self, shelf: Shelf) -> str:
        sha256 = write_model(shelf.loras / "ink.safetensors")
        info(shelf.loras / "ink.cm-info.json", Hashes={"SHA256": self.OTHER}, tags_=["wrong"])
        assert found_wrong(shelf.scan()) == [("ink.safetensors", "ink.cm-info.json")]
        assert (model(shelf, sha256).name, tags_of(shelf, sha256)) == ("ink.safetensors", ())
        return sha256

    def test_it_is_cleared_when_the_sidecar_is_corrected(self, shelf: Shelf) -> None:
        sha256 = self.wrong(shelf)
        info(shelf.loras / "ink.cm-info.json", Hashes={"SHA256": sha256}, tags_=["right"], age=60)
        assert found_wrong(shelf.scan()) == []
        assert (findings(shelf, sha256), tags_of(shelf, sha256)) == ([], ("right",))
        assert model(shelf, sha256).name == "Ink Wash"

    def test_it_is_cleared_when_the_sidecar_is_removed(self, shelf: Shelf) -> None:
        sha256 = self.wrong(shelf)
        (shelf.loras / "ink.cm-info.json").unlink()
        shelf.scan()
        assert findings(shelf, sha256) == []

    def test_it_is_cleared_when_the_sidecar_is_moved_away(self, shelf: Shelf) -> None:
        sha256 = self.wrong(shelf)
        (shelf.loras / "ink.cm-info.json").rename(shelf.vae / "ink.cm-info.json")
        shelf.scan()
        assert findings(shelf, sha256) == []

    def test_it_is_cleared_when_the_right_file_comes(self, shelf: Shelf) -> None:
        old = write_model(shelf.loras / "ink.safetensors")
        new = write_model(shelf.vae / "new.safetensors")
        info(shelf.loras / "ink.cm-info.json", Hashes={"SHA256": new})
        shelf.scan()
        assert findings(shelf, old) == ["ink.cm-info.json"]
        (shelf.vae / "new.safetensors").replace(shelf.loras / "ink.safetensors")
        shelf.scan()
        assert (findings(shelf, old), findings(shelf, new)) == ([], [])
        assert model(shelf, new).name == "Ink Wash"

    def test_a_file_replaced_under_an_old_sidecar(self, shelf: Shelf) -> None:
        old = write_model(shelf.loras / "ink.safetensors")
        info(shelf.loras / "ink.cm-info.json", Hashes={"SHA256": old})
        shelf.scan()
        new = write_model(shelf.loras / "ink.safetensors", "other", age=60)
        assert found_wrong(shelf.scan()) == [("ink.safetensors", "ink.cm-info.json")]
        assert (model(shelf, old).name, model(shelf, new).name) == ("Ink Wash", "ink.safetensors")
        assert (findings(shelf, old), findings(shelf, new)) == ([], ["ink.cm-info.json"])

    def test_a_file_replaced_under_an_old_sidecar_and_the_scan_killed(self, shelf: Shelf) -> None:
        old = write_model(shelf.loras / "ink.safetensors")
        info(shelf.loras / "ink.cm-info.json", Hashes={"SHA256": old})
        shelf.scan()
        write_model(shelf.loras / "ink.safetensors", "other", age=60)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("mlib.services.scanning.sidecar_changes.read_news", lambda *_: [])
            shelf.scan()
        assert found_wrong(shelf.scan()) == [("ink.safetensors", "ink.cm-info.json")]

    def test_what_was_filled_before_it_was_found_out_gives_way_to_the_right_word(self, shelf: Shelf) -> None:
        sha256 = write_model(shelf.loras / "ink.safetensors")
        info(shelf.loras / "ink.cm-info.json", name="Wrong", Hashes={"BLAKE3": self.OTHER})
        shelf.scan()
        with shelf.library.transaction():
            contents.put_hashes(shelf.library, sha256, OtherHashes(crc32="00" * 4, blake3="ef" * 32))
        shelf.scan()
        info(shelf.loras / "ink.cm-info.json", name="Right", Hashes={"BLAKE3": "ef" * 32}, age=60)
        shelf.scan()
        assert (model(shelf, sha256).name, findings(shelf, sha256)) == ("Right", [])

    def test_a_name_that_steers_a_terminal_is_told_escaped(self, shelf: Shelf) -> None:
        write_model(shelf.loras / "in\x1b[31mk.safetensors")
        info(shelf.loras / "in\x1b[31mk.cm-info.json", Hashes={"SHA256": self.OTHER})
        ((_, finding),) = [each for each in shelf.scan().findings if each[1].code == WRONG]
        assert "\x1b" not in finding.message


class TestBroken:
    @pytest.mark.parametrize(
        ("name", "content", "code"),
        [
            ("ink.json", b"{", "not_json"),
            ("ink.civitai.info", b"\x89PNG\r\n\x1a\n\0" * 9, "not_text"),
            ("ink.txt", b"a\0b", "not_text"),
            ("ink.md", b"---\na: [\n---\n", "not_yaml"),
            ("ink.cm-info.json", b'{"a":"' + b"x" * MAX_BYTES + b'"}', "too_large"),
            ("ink.metadata.json", b"[" * 100_000, "not_json"),
        ],
    )
    def test_it_is_a_problem_once(self, shelf: Shelf, name: str, content: bytes, code: str) -> None:
        sha256 = write_model(shelf.loras / "ink.safetensors")
        write_bytes(shelf.loras / name, content)
        assert codes(shelf.scan()) == [(name, code)]
        assert model(shelf, sha256).name == "ink.safetensors"
        assert told(shelf.scan()) == {"unchanged": 1}
        write_bytes(shelf.loras / name, content + b" ", age=60)
        assert codes(shelf.scan()) == [(name, code)], "it changed, and is still broken"
        with shelf.library.transaction():
            contents.put_hashes(shelf.library, sha256, OtherHashes(crc32="00" * 4))
        assert codes(shelf.scan()) == [], "nothing is new about it"

    def test_one_that_is_mended_is_read(self, shelf: Shelf) -> None:
        sha256 = write_model(shelf.loras / "ink.safetensors")
        write_bytes(shelf.loras / "ink.cm-info.json", b"{")
        shelf.scan()
        info(shelf.loras / "ink.cm-info.json", age=60)
        shelf.scan()
        assert model(shelf, sha256).name == "Ink Wash"

    def test_one_that_breaks_leaves_what_it_filled(self, shelf: Shelf) -> None:
        sha256 = write_model(shelf.loras / "ink.safetensors")
        info(shelf.loras / "ink.cm-info.json", tags_=["ink"])
        shelf.scan()
        write_bytes(shelf.loras / "ink.cm-info.json", b"{", age=60)
        shelf.scan()
        assert (model(shelf, sha256).name, tags_of(shelf, sha256)) == ("Ink Wash", ("ink",))

    def test_another_program_s_json_is_none(self, shelf: Shelf) -> None:
        write_model(shelf.loras / "ink.safetensors")
        write_bytes(shelf.loras / "ink.json", b'{"workflow": []}')
        assert codes(shelf.scan()) == []

    @pytest.mark.parametrize("what", ["fifo", "directory", "broken link", "loop"])
    def test_what_is_no_file_is_passed_over(self, shelf: Shelf, what: str) -> None:
        """And never waited for."""
        path = shelf.loras / "ink.cm-info.json"
        sha256 = write_model(shelf.loras / "ink.safetensors")
        match what:
            case "fifo":
                os.mkfifo(path)
            case "directory":
                path.mkdir()
                write_model(path / "inner.safetensors")
            case "broken link":
                path.symlink_to("nowhere")
            case _:
                path.symlink_to(path.name)
        assert codes(shelf.scan()) == []
        assert model(shelf, sha256).name == "ink.safetensors"
        assert (shelf.at(path / "inner.safetensors") is not None) == (what == "directory")

    def test_one_that_nobody_may_read_is_told_once_and_read_when_it_may(
        self, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A chmod changes neither size nor mtime."""
        path = shelf.loras / "ink.cm-info.json"
        sha256 = write_model(shelf.loras / "ink.safetensors")
        info(path)
        really_open = os.open

        def refuse(name: Any, *arguments: Any, **options: Any) -> int:
            if str(name) == str(path):
                raise PermissionError(13, "Permission denied")
            return really_open(name, *arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(os, "open", refuse)
            assert codes(shelf.scan()) == [("ink.cm-info.json", "unreadable")]
            before = held(shelf)
            assert codes(shelf.scan()) == []
            assert held(shelf) == before
        shelf.scan()
        assert model(shelf, sha256).name == "Ink Wash"

    def test_one_that_only_root_may_read_makes_the_program_exit_3_once(self, memory_disk: Path) -> None:
        require_root()
        root, library = memory_disk / "loras", memory_disk / "nobody" / "library.db"
        write_model(root / "ink.safetensors")
        path = root / "ink.cm-info.json"
        info(path)
        scan = ("scan", "--root", f"loras={root}")
        mlib_here(*scan, library=memory_disk / "root.db")  # what is loaded late, nobody may not read
        path.chmod(0)
        library.parent.mkdir()
        os.chown(library.parent, 65534, 65534)
        os.seteuid(65534)
        try:
            first = mlib_here(*scan, library=library, code=3)
            assert "cannot be read: cannot read it: permission denied" in first.err
            assert mlib_here(*scan, library=library).err == ""
        finally:
            os.seteuid(0)
        path.chmod(0o644)
        mlib_here(*scan, library=library)
        assert mlib_here("show", "Ink Wash", "-q", library=library).out


def test_no_image_payload_is_kept_of_a_sidecar(shelf: Shelf) -> None:
    picture = "data:image/png;base64," + "iVBORw0KGgo" * 400
    sha256 = write_model(shelf.loras / "ink.safetensors")
    web_ui(
        shelf.loras / "ink.json", description=f"<p>Ink <img src='{picture}'> wash</p>", notes=f"n {picture}"
    )
    write_bytes(shelf.loras / "ink.md", f"Ink ![]({picture})".encode())
    write_bytes(shelf.loras / "ink.txt", f"Ink {picture}".encode())
    document = sidecar_files.version() | {"images": [{"url": picture}], "description": picture}
    write_bytes(shelf.loras / "ink.civitai.info", as_bytes(document))
    shelf.scan()
    with open(shelf.library.path, "rb") as file:
        assert b"iVBORw0KGgoiVBORw0KGgo" not in file.read()
    assert model(shelf, sha256).description
    assert shelf.library.all("SELECT count(*) FROM sidecars WHERE kind != 'given'") == [(4,)]


def test_two_scans_at_once_take_the_same(shelf: Shelf, library_path: Path) -> None:
    for n in range(30):
        write_model(shelf.loras / f"{n}.safetensors")
        info(shelf.loras / f"{n}.cm-info.json", name=f"Ink {n}", tags_=["ink"])
    command = [sys.executable, "-m", "mlib", "--library", str(library_path), "scan", "--json"]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    for run in runs:
        _, errors = run.communicate(timeout=60)
        assert (run.returncode, errors) == (0, b"")
    names = shelf.library.all("SELECT name FROM models ORDER BY name")
    assert names == sorted((f"Ink {n}",) for n in range(30))
    assert shelf.told() == {"unchanged": 30}
