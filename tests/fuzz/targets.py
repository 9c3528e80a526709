"""What is fuzzed: for every reader of foreign bytes a function that fails on whatever should not happen.

A target takes any bytes and returns. It raises AssertionError where an answer cannot be kept or shown, and
whatever a reader raises that it has not documented.
"""

from __future__ import annotations

import io
import json
import os
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

from tests.core.sidecars.sidecar_files import PLAIN_JSON_KINDS

from mlib.core.content_record import content_of, usage_of
from mlib.core.disk.unfinished import unfinished_content
from mlib.core.formats import gguf, onnx, pickles, safetensors
from mlib.core.formats.cursor import CutShortError, HeaderError
from mlib.core.formats.header import pack, unpack
from mlib.core.formats.plain import read_html, read_lfs_pointer, read_ncnn
from mlib.core.formats.reader import read_header
from mlib.core.formats.sniff import sniff
from mlib.core.formats.zips import ZipError, open_entry, read_directory
from mlib.core.inspection import conclude, place_findings
from mlib.core.sidecars.companions import SIDECAR_KINDS
from mlib.core.sidecars.parse import parse_sidecar
from mlib.core.sidecars.record import SidecarError
from mlib.core.workflows.graph import WorkflowError
from mlib.core.workflows.mentions import read_contents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import BinaryIO

    from mlib.core.formats.header import Header
    from mlib.core.sidecars.record import Sidecar

FORMATS = frozenset(
    (
        *("safetensors", "gguf", "torch_zip", "torch_legacy", "pickle", "torchscript", "onnx", "ncnn"),
        *("zip", "lfs_pointer", "html", "empty", "unknown"),
    )
)
FINDINGS = frozenset(
    (
        *("bad_header", "truncated", "trailing_data", "overlapping_tensors", "metadata_not_text"),
        *("duplicate_keys", "may_run_code", "wrong_extension", "lfs_pointer", "html_page", "empty_file"),
    )
)
#: One for each reader that a name can call, and two that call none.
_NAMES = ("a.safetensors", "a.gguf", "a.onnx", "model-00002-of-00003.sft", "x.ckpt", "a\udcff\n", "")
#: What a file had when it was asked, and has no more: it shrank, or it has a hole at its end.
_GONE = (0, 1, 5_000, 2**40)
_LONGEST_MESSAGE = 1000
_LONGEST_FILE_NAME = 255
_LONGEST_NAME = 10_000  # each character may be escaped
_MAX_UNPACKED = 2**20


def check_header(header: Header) -> None:
    """A header is of a known format, and can be kept: text that is UTF-8, details that are JSON."""
    assert header.format in FORMATS, header.format
    _check_texts(_texts(header))
    json.dumps(header.details, allow_nan=False, ensure_ascii=False).encode()
    for tensor in header.tensors:
        assert all(type(length) is int and length >= 0 for length in tensor.shape), tensor
    for finding in header.findings:
        assert finding.code in FINDINGS, finding.code
        assert len(finding.message) < _LONGEST_MESSAGE, finding
    assert header.data_start is None or header.data_start >= 0


def _texts(header: Header) -> Iterator[str]:
    yield from header.metadata
    yield from header.metadata.values()
    for tensor in header.tensors:
        yield tensor.name
        yield tensor.dtype
    for finding in header.findings:
        yield finding.message


def _check_texts(texts: Iterator[str]) -> None:
    for text in texts:
        assert isinstance(text, str), text
        text.encode()


def _check_message(message: str) -> None:
    message.encode()
    assert 0 < len(message) < _LONGEST_MESSAGE


def _reader(read: Callable[[BinaryIO, int], Header], content: bytes) -> None:
    for more in _GONE:
        check_header(read(io.BytesIO(content), len(content) + more))


def _safetensors(content: bytes) -> None:
    _reader(safetensors.read, content)
    # A change of any length would be refused before the JSON is looked at.
    framed = len(content).to_bytes(8, "little") + content
    check_header(safetensors.read(io.BytesIO(framed), len(framed)))


def _gguf(content: bytes) -> None:
    _reader(gguf.read, content)
    try:
        assert gguf.whole_size(io.BytesIO(content), len(content)) > 0
    except (CutShortError, HeaderError) as error:
        _check_message(str(error))


def _pickles(content: bytes) -> None:
    for kind in (pickles.TORCH_ZIP, pickles.TORCHSCRIPT, pickles.TORCH_LEGACY, pickles.PICKLE):
        header = pickles.read(io.BytesIO(content), len(content), kind)
        check_header(header)
        assert header.format == kind
    check_header(pickles.read(io.BytesIO(content), len(content) + _GONE[-1], pickles.PICKLE))


def _zip(content: bytes) -> None:
    for more in _GONE:
        file = io.BytesIO(content)
        try:
            for entry in read_directory(file, len(content) + more):
                held, start, end = open_entry(file, entry, cap=_MAX_UNPACKED)
                assert 0 <= start <= end
                held.seek(start)
        except ZipError as error:
            _check_message(str(error))


def _plain(content: bytes) -> None:
    for read in (read_html, read_lfs_pointer, read_ncnn):
        _reader(read, content)
    assert sniff(io.BytesIO(content), len(content)) in FORMATS


def _unfinished(content: bytes) -> None:
    for more in _GONE:
        why = unfinished_content(io.BytesIO(content), len(content) + more)
        if why is not None:
            _check_message(why)


def _whole(content: bytes) -> None:
    """All that a scan does with a file's header, up to what it keeps."""
    name = _NAMES[len(content) % len(_NAMES)]
    header = read_header(io.BytesIO(content), len(content), name=name)
    check_header(header)
    inspection = conclude(header)
    kept = content_of("0" * 64, inspection)
    _check_texts(iter([kept.kind, kept.base_model, kept.usage_json, *kept.evidence]))
    assert not any("\n" in line or "\x1b" in line for line in kept.evidence), kept.evidence
    assert usage_of(kept.usage_json) == inspection.usage
    place_findings(header.format, inspection.kind, name=name, folder_type="loras")
    packed = pack(header)
    if packed is not None:
        again = unpack(packed)
        assert (again.format, again.tensors, again.findings) == (
            header.format,
            header.tensors,
            header.findings,
        )
        conclude(again)


def _sidecar(kind: str, content: bytes) -> None:
    for name, digests in (("a.safetensors", ()), ("ink_wash_v3.safetensors", ("0f" * 32,))):
        try:
            sidecar = parse_sidecar(content, kind=kind, model_name=name, digests=digests)
        except SidecarError as error:
            _check_message(str(error))
        else:
            _check_sidecar(sidecar, kind)


def _check_sidecar(sidecar: Sidecar, kind: str) -> None:
    assert sidecar.kind in (PLAIN_JSON_KINDS if kind == "a1111_json" else (kind,))
    for name in sidecar._fields:
        value = getattr(sidecar, name)
        texts = [value] if isinstance(value, str) else list(value or ()) if name != _WEIGHT else []
        _check_texts(iter(texts))
        assert not any("data:image" in text for text in texts), name
    json.dumps(sidecar.preferred_weight, allow_nan=False)
    _check_texts(iter(sidecar.hashes.values()))


_WEIGHT = "preferred_weight"


def _workflow(content: bytes) -> None:
    for more in _GONE:
        try:
            needs, said = read_contents(io.BytesIO(content), len(content) + more)
        except WorkflowError as error:
            _check_message(error.message)
            continue
        assert len({(need.name, need.type, need.form) for need in needs}) == len(needs)
        for need in needs:
            os.fsencode(need.name)
            assert need.name
            assert len(need.name) < _LONGEST_NAME
            assert all(len(text) < _LONGEST_MESSAGE for text in (*need.nodes, *need.classes))
            assert need.type is None or need.type.strip()
        assert all(0 < len(text) <= _LONGEST_FILE_NAME for text in (*said.endings, *said.words))


TARGETS: Mapping[str, Callable[[bytes], None]] = MappingProxyType(
    {
        "safetensors": _safetensors,
        "gguf": _gguf,
        "onnx": partial(_reader, onnx.read),
        "pickles": _pickles,
        "zip": _zip,
        "plain": _plain,
        "unfinished": _unfinished,
        "workflow": _workflow,
        "whole": _whole,
        **{kind: partial(_sidecar, kind) for kind in SIDECAR_KINDS},
    }
)
