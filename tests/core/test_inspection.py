"""What a file is, from its header alone, and in which form that is kept."""

from __future__ import annotations

import io
import json
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.kinds.tensors import Minimal, minimal_headers
from tests.model_files import gguf, safetensors
from tests.terminal import steering
from tests.tools import write_bytes

from mlib.core.comfyui.folders import TYPE_FOLDERS
from mlib.core.content_record import content_of, usage_of
from mlib.core.formats.header import Header, Tensor
from mlib.core.inspection import PLACE_CODES, conclude, inspect, inspect_file, place_findings
from mlib.core.kinds.bases import belongs_in
from mlib.core.kinds.usage import Usage

if TYPE_CHECKING:
    from pathlib import Path

SHA = "a1" * 32
HOSTILE = "\x1b[31m\x9b\u202e\ud800\x00\n\t"

texts = st.text() | st.sampled_from([HOSTILE, "lora", "sdxl_base_v1-0", "SD 1.5", "1e999", "-1", "None"])
keys = st.text(max_size=8) | st.sampled_from(
    ["ss_base_model_version", "ss_network_module", "ss_network_alpha", "ss_tag_frequency", "ss_sd_model_name",
     "ss_new_sd_model_hash", "modelspec.architecture", "modelspec.trigger_phrase", "modelspec.title",
     "general.architecture", "general.type", "ss_v2", "ss_resolution"]
)  # fmt: skip
names = st.text() | st.sampled_from([HOSTILE + ".lora_down.weight", "emb_params", "a.lora_up.weight"])
shapes = st.lists(st.integers(-1, 2**63), max_size=4).map(tuple)
headers = st.builds(
    Header,
    format=st.sampled_from(["safetensors", "gguf", "torch_zip", "unknown"]),
    tensors=st.lists(
        st.builds(Tensor, names, st.sampled_from(["F16", "Q4_K", HOSTILE]), shapes), max_size=6
    ).map(tuple),
    metadata=st.dictionaries(keys, texts, max_size=6),
)


class TestFile:
    def test_is_read_for_what_it_is_whatever_it_is_called(self, tmp_path: Path) -> None:
        write_bytes(tmp_path / "a.ckpt", gguf())
        inspection, status = inspect_file(str(tmp_path / "a.ckpt"))
        assert (inspection.header.format, inspection.base_model) == ("gguf", "Flux")
        found = os.stat(tmp_path / "a.ckpt")
        assert (status.size_bytes, status.mtime_ns, status.inode) == (
            found.st_size,
            found.st_mtime_ns,
            found.st_ino,
        )

    def test_findings_about_its_name_are_not_about_its_content(self, tmp_path: Path) -> None:
        write_bytes(tmp_path / "a.ckpt", safetensors({"a": 3})[:-1])
        inspection, _ = inspect_file(str(tmp_path / "a.ckpt"))
        assert [finding.code for finding in inspection.header.findings] == ["truncated", "wrong_extension"]
        assert [finding.code for finding in inspection.findings] == ["truncated"]

    def test_a_link_is_followed(self, tmp_path: Path) -> None:
        write_bytes(tmp_path / "a.safetensors", safetensors({"a": 3}))
        (tmp_path / "b.safetensors").symlink_to("a.safetensors")
        assert inspect_file(str(tmp_path / "b.safetensors"))[0].header.format == "safetensors"

    @pytest.mark.parametrize("what", ["directory", "fifo", "device", "nothing", "broken link", "loop"])
    def test_what_is_none_is_an_os_error_and_is_not_opened(
        self, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "it"
        match what:
            case "directory":
                path.mkdir()
            case "fifo":
                os.mkfifo(path)
            case "device":
                path.symlink_to("/dev/null")
            case "broken link":
                path.symlink_to("nowhere")
            case "loop":
                path.symlink_to("it")
        monkeypatch.setattr("mlib.core.inspection.open_for_reading", lambda _path: pytest.fail("opened"))
        with pytest.raises(OSError):  # noqa: PT011 - whichever
            inspect_file(str(path))

    def test_what_took_the_place_of_a_file_meanwhile_is_an_os_error(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Between asking what it is and opening it: the FIFO must not hang, the directory not surprise."""
        real = os.stat(write_and_path(tmp_path / "a.safetensors"))
        os.mkfifo(tmp_path / "fifo")
        (tmp_path / "folder").mkdir()
        monkeypatch.setattr("mlib.core.inspection.os.stat", lambda _path: real)
        for name in ("fifo", "folder"):
            with pytest.raises(OSError):  # noqa: PT011
                inspect_file(str(tmp_path / name))


def write_and_path(path: Path) -> str:
    write_bytes(path, safetensors({"a": 3}))
    return str(path)


class TestConclusion:
    @pytest.mark.parametrize("header", minimal_headers(), ids=lambda header: header.rule)
    def test_every_rule_names_kind_and_base_model_with_the_evidence(self, header: Minimal) -> None:
        inspection = conclude(Header("safetensors", tensors=header.tensors))
        assert inspection.kind == header.kind
        assert inspection.base_model == " / ".join(header.bases)
        assert len(inspection.evidence) == 1
        assert inspection.evidence[0].startswith(tuple(tensor.name[:20] for tensor in header.tensors)) or (
            "→" in inspection.evidence[0]
        )

    def test_metadata_speaks_where_tensors_do_not(self) -> None:
        metadata = {"ss_network_module": "networks.lora", "ss_base_model_version": "sdxl_base_v1-0"}
        inspection = conclude(Header("safetensors", metadata=metadata))
        assert (inspection.kind, inspection.base_model) == ("lora", "SDXL")
        assert set(inspection.evidence) == {
            "ss_network_module says networks.lora",
            "ss_base_model_version says sdxl_base_v1-0",
        }

    def test_two_witnesses_that_disagree_are_both_heard(self) -> None:
        header = next(header for header in minimal_headers() if header.bases == ("SD 1.5",))
        inspection = conclude(
            Header("safetensors", tensors=header.tensors, metadata={"ss_base_model_version": "flux1"})
        )
        assert inspection.base_model == "SD 1.5"
        assert any("SD 1.5" in line and "flux1" in line for line in inspection.evidence[1:])

    def test_of_nothing_known_nothing_is_said(self) -> None:
        inspection = conclude(Header("unknown"))
        assert (inspection.kind, inspection.base_model, inspection.evidence) == ("unknown", "", ())
        assert inspection.usage == Usage()

    @given(headers)
    def test_of_anything_something_can_be_kept(self, header: Header) -> None:
        """It goes to a column of text and to a terminal: UTF-8, a line each, nothing that steers."""
        inspection = conclude(header)
        content = content_of(SHA, inspection)
        for text in (content.kind, content.base_model, *content.evidence, content.usage_json):
            text.encode()
            assert "\n" not in text
            assert steering(text) == set()
        assert usage_of(content.usage_json) == inspection.usage

    @given(st.binary(max_size=200), st.sampled_from(["a.safetensors", "a.gguf", "a.onnx", "a.ckpt", "a"]))
    def test_any_bytes_can_be_inspected(self, content: bytes, name: str) -> None:
        inspection = inspect(io.BytesIO(content), len(content), name=name)
        assert inspection.header.format
        assert not {finding.code for finding in inspection.findings} & PLACE_CODES


class TestUsage:
    FULL = Usage(
        trigger_words=("mira", "a, b"),
        frequent_tags=(("1girl", 20), ("solo", 3)),
        title="Mira",
        author="me",
        license="MIT",
        resolution="512x768",
        rank=16,
        alpha=0.5,
        trained_on="sd15.safetensors",
        trained_on_sha256=SHA,
        trained_on_hash="a1a1a1a1",
        parameters=2**63 - 1,
        dtypes={"F16": 3},
        precision="fp16",
    )

    def kept(self, **changes: object) -> dict[str, object]:
        inspection = conclude(Header("safetensors"))._replace(usage=self.FULL)
        kept: dict[str, object] = json.loads(content_of(SHA, inspection).usage_json)
        return kept | changes

    def test_comes_back_whole(self) -> None:
        assert usage_of(json.dumps(self.kept())) == self.FULL

    def test_what_another_version_kept_beside_it_is_passed_over(self) -> None:
        assert usage_of(json.dumps(self.kept(news=[1], more={"a": 1}))) == self.FULL

    def test_what_another_version_did_not_keep_is_not_known(self) -> None:
        assert usage_of('{"rank": 4}') == Usage(rank=4)
        assert usage_of("{}") == Usage()


class TestPlace:
    @pytest.mark.parametrize("kind", ["checkpoint", "lora", "vae", "embedding", "controlnet", "upscaler"])
    @pytest.mark.parametrize("folder", sorted(TYPE_FOLDERS))
    def test_is_wrong_in_every_folder_whose_loader_takes_another_kind(self, kind: str, folder: str) -> None:
        found = place_findings("safetensors", kind, name="a.safetensors", folder_type=folder)
        expected = [] if folder in belongs_in(kind) or folder == "diffusers" else ["misplaced"]
        assert [(finding.code, finding.serious) for finding in found] == [(code, False) for code in expected]
        assert all(folder in finding.message and kind in finding.message for finding in found)

    def test_outside_of_all_folders_nothing_is_misplaced(self) -> None:
        assert place_findings("safetensors", "lora", name="a.safetensors", folder_type=None) == ()

    def test_of_an_unknown_kind_or_folder_nothing_is_said(self) -> None:
        assert place_findings("safetensors", "unknown", name="a.safetensors", folder_type="loras") == ()
        assert place_findings("safetensors", "lora", name="a.safetensors", folder_type="my_own") == ()

    def test_both_may_be_wrong(self) -> None:
        found = place_findings("gguf", "lora", name="a.safetensors", folder_type="vae")
        assert {finding.code for finding in found} == PLACE_CODES == {"wrong_extension", "misplaced"}

    @given(st.text(), st.text(), st.text(), st.none() | st.text())
    def test_any_words_can_be_judged(self, format_: str, kind: str, name: str, folder: str | None) -> None:
        assert {f.code for f in place_findings(format_, kind, name=name, folder_type=folder)} <= PLACE_CODES


@pytest.mark.parametrize(
    ("format_", "where"), [("safetensors", "text_encoders/"), ("gguf", "clip_gguf/ or text_encoders/")]
)
def test_a_misplaced_file_is_sent_where_its_format_is_loaded(format_: str, where: str) -> None:
    (finding,) = place_findings(format_, "text_encoder", name=f"x.{format_}", folder_type="loras")
    assert finding.message.endswith(f"from {where}")


def test_a_misplaced_file_is_named_as_people_name_it() -> None:
    (finding,) = place_findings("safetensors", "lora", name="x.safetensors", folder_type="checkpoints")
    assert finding.message == "this is a LoRA, but it is in checkpoints/; ComfyUI loads LoRAs from loras/"
