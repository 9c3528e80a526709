"""Sound files with a few bytes changed, through the reader of their kind and through all others."""

from __future__ import annotations

import io
import struct
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fuzz.seeds import MODELS, SEEDS, SIDECARS, WORKFLOWS
from tests.fuzz.targets import TARGETS
from tests.pickle_files import pickled, zipped

from mlib.core.formats.reader import read_header
from mlib.core.sidecars.parse import parse_sidecar
from mlib.core.workflows.mentions import read_workflow

#: Numbers that lengths, counts and offsets are not made for, in 4 and in 8 bytes.
_NUMBERS = (0, 1, 0x7F, 0xFF, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1)
_LONG = (2**20, 10**8, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
_PIECES = (
    *(struct.pack("<I", number) for number in _NUMBERS),
    *(struct.pack("<Q", number) for number in (*_NUMBERS, *_LONG)),
    *(b'"', b"\\", b"\\ud800", b"null", b"-0", b"1e999", b"NaN", b"[" * 300, b'{"":' * 300, b"9" * 5000),
    *(
        b"<",
        b"<!",
        b"<![CDATA[",
        b"</",
        b"<!--",
        b"&#x",
        b"&#1114112;",
        b"---\n",
        b"\n# ",
        b"- " * 200,
        b"!!x ",
    ),
    *(b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\0", b"\r", b"\x1b]0;x\x07", b"PK\5\6", b"(" * 300),
    *(b"cos\nsystem\n", b"R", b"b", b"\x82\1", b"\x95" + b"\xff" * 8, b"\x8a\xff", b"\x8d" + b"\x7f" * 8),
)


@st.composite
def changed(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """A sound file with pieces put in, put over or taken out, and perhaps cut or joined to another."""
    content = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(content)))
        taken = draw(st.sampled_from((0, 1, 4, 8)) | st.integers(0, 64))
        content[at : at + taken] = draw(st.sampled_from(_PIECES) | st.binary(max_size=8))
    if draw(st.booleans()):
        del content[draw(st.integers(0, len(content))) :]
    if draw(st.integers(0, 9)) == 0:
        content += draw(st.sampled_from(seeds))
    return bytes(content)


#: The files that a target is made for: a change of them goes deepest.
_OWN = {
    "safetensors": ("safetensors", "safetensors_spaced", "safetensors_odd"),
    "gguf": ("gguf", "gguf_1"),
    "onnx": ("onnx",),
    "pickles": ("pickle", "pickle_4", "pickle_0", "torch_zip", "torch_legacy", "torchscript"),
    "zip": ("zip", "torch_zip", "torch_zip_packed", "torchscript"),
    "plain": ("ncnn", "lfs_pointer", "html"),
    "unfinished": ("safetensors", "safetensors_spaced", "gguf", "gguf_1", "zip", "torch_zip"),
    "whole": tuple(MODELS),
    "text": ("text", "text_16", "text_16_be"),
    "workflow": tuple(WORKFLOWS),
}


@pytest.mark.parametrize("target", sorted(TARGETS))
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_a_changed_file_is_read(target: str, data: st.DataObject) -> None:
    own = tuple(SEEDS[name] for name in _OWN.get(target, (target,)))
    TARGETS[target](data.draw(changed(own)))


@pytest.mark.parametrize("target", sorted(TARGETS))
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_a_file_of_another_kind_is_read(target: str, data: st.DataObject) -> None:
    TARGETS[target](data.draw(st.binary(max_size=200) | changed(tuple(SEEDS.values()))))


def test_each_seed_is_of_the_kind_it_is_named_for() -> None:
    """A seed that its own reader refuses at once would test little."""
    for name, content in MODELS.items():
        header = read_header(io.BytesIO(content), len(content), name="a.pkl")
        assert name.startswith(header.format), (name, header)
        codes = {finding.code for finding in header.findings if finding.serious}
        assert codes <= {"may_run_code", "html_page", "lfs_pointer"} or name == "safetensors_odd", (
            name,
            header,
        )
    for name, content in SIDECARS.items():
        kind = name.partition("_16")[0]
        assert not parse_sidecar(content, kind=kind, model_name="a.safetensors").is_empty
    for name, content in WORKFLOWS.items():
        assert read_workflow(io.BytesIO(content), len(content)), name


def test_what_is_unpacked_counts_however_many_entries_it_is_in() -> None:
    """Each is within bounds and skipped at no cost; all of a thousand took minutes."""
    long = pickled(b"X" + (4 << 20).to_bytes(4, "little") + b"x" * (4 << 20))
    entries = {f"a/{number}.pkl": long for number in range(20)} | {"a/data.pkl": pickled(b"N")}
    archive = zipped(entries, compression=zipfile.ZIP_DEFLATED)
    header = read_header(io.BytesIO(archive), len(archive), name="a.ckpt")
    assert [finding.code for finding in header.findings if finding.serious] == ["bad_header"]
    assert "too large when unpacked" in header.findings[0].message
