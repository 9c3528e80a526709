"""Promise 6: a download that has not ended is left alone."""

from __future__ import annotations

import io
import json
import os
import struct
import tracemalloc
import zipfile
from typing import TYPE_CHECKING

import pytest
from tests.model_files import (
    ARRAY,
    F32,
    STRING,
    U32,
    framed,
    gguf,
    gguf_array,
    gguf_header,
    gguf_pair,
    gguf_string,
    gguf_tensor,
    padded,
    safetensors,
    safetensors_header,
    zip_archive,
)

from mlib.core.disk.unfinished import unfinished_content, unfinished_name

if TYPE_CHECKING:
    from pathlib import Path


class CountingFile(io.FileIO):
    """A real file that knows how much of it was read."""

    bytes_read = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.bytes_read += len(data)
        return data


def judge(path: Path, content: bytes, *, size: int | None = None) -> str | None:
    path.write_bytes(content)
    if size is not None:
        os.truncate(path, size)
    with path.open("rb", buffering=0) as file:
        return unfinished_content(file, path.stat().st_size)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model"


SUFFIXES = [
    *(".part", ".partial", ".crdownload", ".aria2", ".incomplete", ".download", ".tmp", ".!qb", ".!ut"),
    *(".opdownload", ".dl-meta", ".downloading", ".filepart", ".fdmdownload", ".xltd", ".!bt", ".bc!"),
    *(".aria2__temp", ".temp", ".lftp-pget-status"),
]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("change", [str.lower, str.upper, str.title])
def test_a_suffix_of_a_download_manager_tells_whatever_its_case(suffix: str, change: type[str]) -> None:
    reason = unfinished_name("model.safetensors" + change(suffix), set())
    assert reason is not None
    assert suffix in reason


@pytest.mark.parametrize(
    "suffix", [s for s in SUFFIXES if s not in {".tmp", ".temp"}] + [".!qB", ".!uT", ".st"]
)
def test_a_control_file_beside_the_final_name_tells(suffix: str) -> None:
    beside = "model.safetensors" + suffix
    reason = unfinished_name("model.safetensors", {"other.ckpt", "model.safetensors", beside})
    assert reason is not None
    assert beside in reason


@pytest.mark.parametrize(
    "name",
    [
        "model.safetensors",
        "part.ckpt",
        "a.part.safetensors",
        "tmp",
        "model.part1.gguf",
        "x.parts",
        "x.st",
        "model.gguf.part00",
    ],
)
def test_an_ordinary_name_is_no_download(name: str) -> None:
    assert unfinished_name(name, {name, "model.part", "model.safetensors.png", ".part"}) is None


def test_a_temporary_file_beside_a_model_proves_nothing() -> None:
    assert unfinished_name("model.safetensors", {"model.safetensors", "model.safetensors.tmp"}) is None


def test_an_empty_file_is_unfinished(path: Path) -> None:
    assert judge(path, b"") == "empty file"


SAFETENSORS = safetensors({"a": 40_000, "b": 60_000}, metadata={"format": "pt"})
SAFETENSORS_HEADER = len(SAFETENSORS) - 100_000
WHOLE = {
    "safetensors": SAFETENSORS,
    "gguf v1": gguf(version=1),
    "gguf v2": gguf(version=2),
    "gguf v3": gguf(),
    "gguf aligned": gguf(alignment=256),
    "zip": zip_archive(),
    "zip with a comment": zip_archive(comment=b"PK\5\6 trained with love" * 30),
    "zip of nothing": zip_archive(entries=0),
}


@pytest.mark.parametrize("content", WHOLE.values(), ids=WHOLE.keys())
def test_a_whole_file_is_whole(path: Path, content: bytes) -> None:
    assert judge(path, content) is None


@pytest.mark.parametrize("content", WHOLE.values(), ids=WHOLE.keys())
def test_a_longer_file_than_promised_is_not_unfinished(path: Path, content: bytes) -> None:
    assert judge(path, content + b"more") is None


@pytest.mark.parametrize("content", WHOLE.values(), ids=WHOLE.keys())
@pytest.mark.parametrize("share", [1e-5, 0.5, 0.999999])
def test_a_cut_file_is_unfinished(path: Path, content: bytes, share: float) -> None:
    cut = min(len(content) - 1, max(9, int(len(content) * share)))
    assert judge(path, content[:cut]) is not None


@pytest.mark.parametrize("content", WHOLE.values(), ids=WHOLE.keys())
def test_one_byte_does_not_tell(path: Path, content: bytes) -> None:
    assert judge(path, content[:1]) is None


@pytest.mark.parametrize("name", [name for name in WHOLE if name != "safetensors"])
def test_every_prefix_that_shows_its_format_is_unfinished(path: Path, name: str) -> None:
    path.write_bytes(WHOLE[name])
    with path.open("r+b", buffering=0) as file:
        for size in range(len(WHOLE[name]) - 1, 3, -1):
            file.truncate(size)
            assert unfinished_content(file, size) is not None, size


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.",  # a legacy torch file
        b"\x08\x08\x12\x07pytorch",  # ONNX
        b"\x47\x6b\x30\x01" + b"\1" * 40,  # ncnn
        b"<!DOCTYPE html><html>",
        b"version https://git-lfs.github.com/spec/v1\n",
        b"\0" * 4_096,
        b'{"a": 1}',
        b"PK\5\6" + b"\0" * 18,
        b"GGU",
    ],
)
def test_a_file_that_does_not_tell_is_not_judged(path: Path, content: bytes) -> None:
    assert judge(path, content) is None


# safetensors


def test_the_reason_says_what_was_promised_and_what_is_there(path: Path) -> None:
    content = safetensors({"a": 2_000})
    assert (
        judge(path, content[:1_500])
        == f"safetensors header promises {len(content):,} bytes, the file has 1,500"
    )


@pytest.mark.parametrize("cut", [9, 10, SAFETENSORS_HEADER // 2, SAFETENSORS_HEADER - 1, SAFETENSORS_HEADER])
def test_a_safetensors_cut_in_or_after_its_header_is_unfinished(path: Path, cut: int) -> None:
    assert judge(path, SAFETENSORS[:cut]) is not None


@pytest.mark.parametrize("written", [9, 60, SAFETENSORS_HEADER - 1])
def test_a_preallocated_safetensors_without_all_of_its_header_is_unfinished(path: Path, written: int) -> None:
    reason = judge(path, SAFETENSORS[:written], size=len(SAFETENSORS))
    assert reason is not None
    assert "zeros" in reason


def test_a_sparse_checkpoint_of_24_gb_is_whole_and_hardly_read(path: Path) -> None:
    sizes = {f"model.{n}": 12_000_000 for n in range(2_000)}
    header = framed(safetensors_header(sizes))
    path.write_bytes(header)
    size = len(header) + sum(sizes.values())
    os.truncate(path, size)
    with CountingFile(path) as file:
        assert unfinished_content(file, size) is None
        assert file.bytes_read < 2 * len(header) + 1_000
    os.truncate(path, size - 1)
    with CountingFile(path) as file:
        assert unfinished_content(file, size - 1) is not None


LIE = {"dtype": "U8", "shape": [9_999], "data_offsets": [0, 999_999]}


@pytest.mark.parametrize(
    "metadata",
    [
        {"data_offsets": "[0,999999]", "x": '"data_offsets":[0,999999]'},
        {"x": '\\"data_offsets\\":[0,999999]}', "y": "\\", "z": '\\\\"'},
        {"x": json.dumps({"tensor": LIE})},
        {"data_offsets": [0, 999_999]},
        {"tensor": LIE},
        {"deep": {"tensor": LIE, "list": [LIE, [LIE]]}},
        LIE,
        {"count": 3, "ratio": -1.5e-9, "none": None, "yes": True, "empty": {}, "none of them": []},
        {"thumbnail": "data:image/png;base64," + "A" * 200_000, "snowman": "\u2603 \ud83d\ude00"},
    ],
)
def test_metadata_speaks_of_no_data(path: Path, metadata: dict[str, object]) -> None:
    content = safetensors({"a": 100, 'b{}[]"\\,': 100}, metadata=metadata)
    assert judge(path, content) is None
    assert judge(path, content[:-1]) is not None


@pytest.mark.parametrize(
    "header",
    [
        b'{"a":{"shape":[100],"data_offsets":[0,100],"dtype":"U8"}}',
        b'{"a":{"data_offsets":[0,100]}}',
        b'{ "a" : {\n"dtype" : "U8" , "shape" : [ 10 , 10 ] , "data_offsets" : [ 0 , 100 ] }\t}  ',
        b'   {"a":{"dtype":"U8","shape":[100],"data_offsets":[0,100]}}',
        b'{"a":{"dtype":"U8","shape":[],"data_offsets":[0,100],"more":{"data_offsets":[0,7]}}}',
        b'{"z":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":['
        + b",".join([b"1"] * 200)
        + b'],"data_offsets":[0,100]},"__metadata__":null}',
        (
            b'{"data_offsets":[0,999999],"list":[{"data_offsets":[0,999999]}],'
            b'"a":{"dtype":"U8","shape":[100],"data_offsets":[0,100]}}'
        ),
    ],
)
def test_offsets_are_found_however_the_header_is_written(path: Path, header: bytes) -> None:
    content = framed(header) + b"\1" * 100
    assert judge(path, content) is None
    assert judge(path, content[:-1]) is not None


@pytest.mark.parametrize(
    "header",
    [
        b'{"a":{"dtype":"U8","shape":[9],"data_offsets":[0,999]}',
        b'{"a":{"dtype":"U8","shape":[9],"data_offsets":[0,999]}}}',
        b'{"a":{"dtype":"U8","shape":[9],"data_offsets":[0,999]},}',
        b'{"a":{"dtype":"U8","shape":[9],"data_offsets":[0,999]]}',
        b'{"a":{"dtype":"U8","shape":[9],"data_offsets":[0,999]}} x',
        b'{"a":{"dtype":"U8" "shape":[9],"data_offsets":[0,999]}}',
        b'{"a":{"dtype":"U8","shape":[9,],"data_offsets":[0,999]}}',
        b'{"a\n":{"dtype":"U8","shape":[9],"data_offsets":[0,999]}}',
        b'{"a\\x":{"dtype":"U8","shape":[9],"data_offsets":[0,999]}}',
        b'{"a":{"dtype":"U8","shape":[9],"data_offsets":[0,' + b"9" * 21 + b"]}}",
        b'{"a":{"dtype":"U8","shape":[9],"data_offsets":[0,' + b"9" * 1_000_000 + b"]}}",
        b'{"a":{"dtype":"U8","shape":[9],"data_offsets":[0,-999]}}',
        b'{"a":{"dtype":"U8","shape":[9],"data_offsets":[0,999,1]}}',
        b'{"a":{"dtype":"U8","shape":[9],"data_offsets":null}}',
        b'{"a":{"dtype":"U8","shape":[9],"data_offsets":[0,999]},"b":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
        b'{"a":' + b"[" * 100_000,
    ],
)
def test_a_broken_header_is_not_called_unfinished(path: Path, header: bytes) -> None:
    assert judge(path, framed(header)) is None


@pytest.mark.parametrize("length", [0, 1, 100_000_001, 2**63, 2**64 - 1])
def test_a_length_no_safetensors_has_is_not_judged(path: Path, length: int) -> None:
    assert judge(path, struct.pack("<Q", length) + b'{"a":1}') is None


@pytest.mark.parametrize("magic", [b"PK\3\4", b"\x80\x02", b"\x80\x05\x01"])
def test_a_header_whose_length_begins_like_another_format_is_still_one(path: Path, magic: bytes) -> None:
    header_size = int.from_bytes(magic, "little")
    tensor = b'{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}}'
    with path.open("wb") as file:
        file.write(struct.pack("<Q", header_size) + tensor.ljust(min(header_size, 2**20)))
        if header_size > 2**20:
            for _ in range(header_size // 2**20):
                file.write(b" " * 2**20)
        file.truncate(8 + header_size + 3)
    with path.open("rb", buffering=0) as file:
        assert unfinished_content(file, path.stat().st_size) is None
        assert unfinished_content(file, 8 + header_size - 1) is not None


def test_spaces_that_lead_to_no_brace_are_not_judged(path: Path) -> None:
    assert judge(path, struct.pack("<Q", 5_000) + b"   text") is None


def test_a_file_of_nothing_but_a_length_and_spaces_is_unfinished(path: Path) -> None:
    assert judge(path, struct.pack("<Q", 5_000) + b"   ") is not None


def test_a_huge_header_costs_little_more_memory_than_its_bytes(path: Path) -> None:
    header = b'{"__metadata__":{' + b",".join(b'"k%d":"v"' % n for n in range(300_000)) + b"},"
    header += b'"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'
    path.write_bytes(framed(header))
    with path.open("rb", buffering=0) as file:
        tracemalloc.start()
        try:
            reason = unfinished_content(file, path.stat().st_size)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert reason is not None
    assert peak < 2 * len(header) + 1_000_000


def test_a_header_longer_than_any_model_has_is_not_gone_through(path: Path) -> None:
    """It promises more than is there, and it would take a second to know."""
    tensor = b'"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}'
    for room, told in ((2**20, True), (33 * 2**20, False)):
        path.write_bytes(framed(b"{" + tensor + b" " * room + b"}"))
        with path.open("rb", buffering=0) as file:
            assert (unfinished_content(file, path.stat().st_size) is not None) is told


# GGUF


def test_a_gguf_whose_header_is_whole_but_not_its_data_is_unfinished(path: Path) -> None:
    content = gguf()
    reason = judge(path, content[:-1])
    assert reason == f"GGUF header promises {len(content):,} bytes, the file has {len(content) - 1:,}"


@pytest.mark.parametrize("alignment", [8, 32, 4_096])
def test_data_starts_at_the_alignment_that_the_gguf_sets(path: Path, alignment: int) -> None:
    content = gguf(alignment=alignment)
    assert judge(path, content) is None
    assert judge(path, content[:-1]) is not None


def test_a_gguf_with_no_tensors_ends_with_its_header(path: Path) -> None:
    content = gguf_header([gguf_pair(b"split.count", U32, b"\3\0\0\0")], [])
    assert judge(path, content) is None
    assert judge(path, content[:-1]) is not None


# Elements and bytes as in ggml's own type table.
TENSOR_BYTES = [
    *(
        (0, 256, 1024),
        (1, 256, 512),
        (2, 256, 144),
        (3, 256, 160),
        (6, 256, 176),
        (7, 256, 192),
        (8, 256, 272),
    ),
    *((10, 256, 84), (11, 256, 110), (12, 256, 144), (13, 256, 176), (14, 256, 210), (15, 256, 292)),
    *(
        (16, 256, 66),
        (17, 256, 74),
        (18, 256, 98),
        (19, 256, 50),
        (20, 256, 144),
        (21, 256, 110),
        (22, 256, 82),
    ),
    *((23, 256, 136), (24, 256, 256), (25, 256, 512), (26, 256, 1024), (27, 256, 2048), (28, 256, 2048)),
    *(
        (29, 256, 56),
        (30, 256, 512),
        (34, 256, 54),
        (35, 256, 66),
        (39, 256, 136),
        (40, 256, 144),
        (41, 256, 36),
    ),
]


@pytest.mark.parametrize(("kind", "elements", "size"), TENSOR_BYTES)
def test_each_tensor_type_has_its_size(path: Path, kind: int, elements: int, size: int) -> None:
    header = padded(gguf_header([], [gguf_tensor(b"t", [elements, 3], kind, 0)]))
    assert judge(path, header, size=len(header) + 3 * size) is None
    assert judge(path, header, size=len(header) + 3 * size - 1) is not None


def test_an_unknown_tensor_type_is_judged_by_its_offset_alone(path: Path) -> None:
    header = padded(gguf_header([], [gguf_tensor(b"t", [10**9], 250, 64)]))
    assert judge(path, header, size=len(header) + 64) is None
    assert judge(path, header, size=len(header) + 63) is not None


def test_tensor_sizes_that_would_overlap_are_not_believed(path: Path) -> None:
    """A fork of ggml uses the number of another type for its own, smaller one."""
    tensors = [gguf_tensor(b"a", [3_200], 39, 0), gguf_tensor(b"b", [3_200], 39, 64)]
    header = padded(gguf_header([], tensors))
    assert judge(path, header, size=len(header) + 128) is None
    assert judge(path, header, size=len(header) + 63) is not None


@pytest.mark.parametrize("written", [30, 100, 400, 800])
def test_a_preallocated_gguf_without_all_of_its_header_is_unfinished(path: Path, written: int) -> None:
    tokens = gguf_array(STRING, [gguf_string(b"tok%d" % n) for n in range(20)])
    pairs = [
        gguf_pair(b"list", ARRAY, tokens),
        *(gguf_pair(b"key%d" % n, U32, b"\1\1\1\1") for n in range(30)),
    ]
    header = gguf_header(pairs, [gguf_tensor(b"t", [9], F32, 0)])
    assert judge(path, header[:written], size=10_000) is not None


def test_a_vocabulary_of_262144_tokens_is_read_in_chunks(path: Path) -> None:
    tokens = gguf_array(STRING, [gguf_string(b"token number %d" % n) for n in range(262_144)])
    scores = gguf_array(F32 + 6, [b"\0\0\0\0"] * 262_144)
    pairs = [gguf_pair(b"tokens", ARRAY, tokens), gguf_pair(b"scores", ARRAY, scores)]
    header = padded(gguf_header(pairs, [gguf_tensor(b"t", [8], F32, 0)]))
    path.write_bytes(header + b"\1" * 32)
    with CountingFile(path) as file:
        tracemalloc.start()
        try:
            assert unfinished_content(file, len(header) + 32) is None
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        # The scores are skipped, the last chunk may begin anew.
        assert file.bytes_read < len(tokens) + 3 * 2**20
    assert peak < 4 * 2**20
    assert judge(path, header + b"\1" * 31) is not None


MANY = 2**40
BOMBS = {
    "tensor count": b"GGUF" + struct.pack("<IQQ", 3, MANY, 0),
    "key-value count": b"GGUF" + struct.pack("<IQQ", 3, 0, MANY),
    "key length": b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, MANY),
    "string length": gguf_header([gguf_pair(b"k", STRING, struct.pack("<Q", MANY))], []),
    "array count": gguf_header([gguf_pair(b"k", ARRAY, struct.pack("<IQ", U32, MANY))], []),
    "string array count": gguf_header([gguf_pair(b"k", ARRAY, struct.pack("<IQ", STRING, MANY))], []),
    "tensor name": gguf_header([], [struct.pack("<QIIQ", MANY, 0, 0, 0)]),
    "tensor offset": gguf_header([], [gguf_tensor(b"t", [1], F32, MANY)]),
    "tensor shape": gguf_header([], [gguf_tensor(b"t", [MANY], F32, 0)]),
}


@pytest.mark.parametrize("content", BOMBS.values(), ids=BOMBS.keys())
def test_a_gguf_that_needs_more_than_it_has_is_unfinished(path: Path, content: bytes) -> None:
    assert judge(path, content + b"\1" * 64) is not None


HUGE = 2**63
TENSOR_TOO_FAR = gguf_tensor(b"t", [1], F32, MANY)
ODDITIES = {
    "big endian": b"GGUF" + struct.pack(">IQQ", 3, 1, 1),
    "version 4": b"GGUF" + struct.pack("<IQQ", 4, 1, 1),
    "string of 2^63": gguf_header([gguf_pair(b"k", STRING, struct.pack("<Q", HUGE))], []),
    "array of 2^64": gguf_header([gguf_pair(b"k", ARRAY, struct.pack("<IQ", STRING, 2**64 - 1))], []),
    "count of 2^64": b"GGUF" + struct.pack("<IQQ", 3, 2**64 - 1, 2**64 - 1),
    "offset of 2^63": gguf_header([], [gguf_tensor(b"t", [1], F32, HUGE)]),
    "shape of 2^512": gguf_header([], [gguf_tensor(b"t", [2**64 - 1] * 8, F32, 0)]),
    "many dimensions": gguf_header([], [gguf_string(b"t") + struct.pack("<I", 2**32 - 1)]),
    "array of arrays": gguf_header([gguf_pair(b"k", ARRAY, struct.pack("<IQ", ARRAY, 1))], []),
    "unknown value type": gguf_header([gguf_pair(b"k", 13, b"")], []),
    "unknown element type": gguf_header([gguf_pair(b"k", ARRAY, struct.pack("<IQ", 13, 1))], []),
    "string of 2^63 in a list": gguf_header(
        [gguf_pair(b"k", ARRAY, gguf_array(STRING, [struct.pack("<Q", HUGE)]))], []
    ),
    "no alignment": gguf_header([gguf_pair(b"general.alignment", U32, b"\0\0\0\0")], [TENSOR_TOO_FAR]),
    "odd alignment": gguf_header([gguf_pair(b"general.alignment", U32, b"\x21\0\0\0")], [TENSOR_TOO_FAR]),
    "nameless key": gguf_header([gguf_pair(b"", U32, b"\1\0\0\0")], []),
}


@pytest.mark.parametrize("content", ODDITIES.values(), ids=ODDITIES.keys())
def test_a_gguf_that_makes_no_sense_is_not_called_unfinished(path: Path, content: bytes) -> None:
    assert judge(path, content + b"\1" * 64) is None


def test_a_list_of_2_to_the_36_strings_is_given_up_at_once(path: Path) -> None:
    """It fits into the file, a sparse one, so only a bound on what is looked at ends the walk."""
    path.write_bytes(gguf_header([gguf_pair(b"k", ARRAY, struct.pack("<IQ", STRING, 2**36))], []))
    os.truncate(path, 2**40)
    with CountingFile(path) as file:
        assert unfinished_content(file, 2**40) is None
        assert file.bytes_read < 2**22


def test_more_key_values_than_any_model_has_are_not_walked(path: Path) -> None:
    """Without the bound the walk would begin, and meet zeros at once."""
    assert judge(path, b"GGUF" + struct.pack("<IQQ", 3, 0, 6_000_000), size=2**30) is None


def test_a_long_list_of_numbers_is_skipped_unread(path: Path) -> None:
    path.write_bytes(gguf_header([gguf_pair(b"k", ARRAY, struct.pack("<IQ", U32, 2**30))], []))
    os.truncate(path, 2**33)
    with CountingFile(path) as file:
        assert unfinished_content(file, 2**33) is None
        assert file.bytes_read < 2**22


def test_strings_of_a_mebibyte_each_are_given_up_early(path: Path) -> None:
    step = 2**21
    count = 2_000
    with path.open("wb") as file:
        file.write(gguf_header([gguf_pair(b"k", ARRAY, struct.pack("<IQ", STRING, count))], []))
        for _ in range(count):
            file.write(struct.pack("<Q", step))
            file.seek(step, os.SEEK_CUR)
        file.truncate()
    with CountingFile(path) as raw:
        assert unfinished_content(raw, path.stat().st_size) is None
        assert raw.bytes_read < 2**28 + 2**20


def test_a_gguf_that_shrinks_while_it_is_read_is_unfinished(path: Path) -> None:
    content = gguf()
    path.write_bytes(content[:300])
    with path.open("rb", buffering=0) as file:
        assert unfinished_content(file, len(content)) is not None


# zip


def test_a_zip_of_70000_entries_is_whole(path: Path) -> None:
    content = zip_archive(entries=70_000, size=0)
    assert b"PK\6\6" in content
    assert judge(path, content) is None
    assert judge(path, content[:-1]) is not None
    assert judge(path, content[: len(content) // 2]) is not None


def test_a_zip_of_5_gb_is_whole(path: Path) -> None:
    hole = 5 * 2**30
    with path.open("wb") as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
        # As if an entry of that size lay here: a hole costs no disk.
        file.seek(hole)
        archive.start_dir = hole
        archive.writestr("archive/data/0", b"\1" * 1_000)
    size = path.stat().st_size
    assert size > hole
    with CountingFile(path) as raw:
        assert unfinished_content(raw, size) is None
        assert raw.bytes_read < 100_000
    os.truncate(path, size - 1)
    with CountingFile(path) as raw:
        assert unfinished_content(raw, size - 1) is not None


def test_a_zip64_record_that_leads_nowhere_is_unfinished(path: Path) -> None:
    content = bytearray(zip_archive(entries=70_000, size=0))
    locator = content.rfind(b"PK\6\7")
    content[locator + 8 : locator + 16] = struct.pack("<Q", 2**64 - 1)
    end = content.rfind(b"PK\5\6")
    content[end + 12 : end + 20] = b"\xff" * 8
    assert judge(path, bytes(content)) is not None


def test_a_directory_beyond_the_end_is_unfinished(path: Path) -> None:
    content = bytearray(zip_archive())
    end = content.rfind(b"PK\5\6")
    directory = content.find(b"PK\1\2")
    for length, start in ((end - directory, len(content)), (end - directory + 1, directory)):
        content[end + 12 : end + 20] = struct.pack("<II", length, start)
        assert judge(path, bytes(content)) is not None
    content[end + 12 : end + 20] = struct.pack("<II", end - directory, directory)
    assert judge(path, bytes(content)) is None


def test_a_zip_with_the_longest_comment_there_can_be_is_whole(path: Path) -> None:
    assert judge(path, zip_archive(size=100_000, comment=b"x" * 65_535)) is None


def test_a_comment_beyond_the_end_is_unfinished(path: Path) -> None:
    assert judge(path, zip_archive(comment=b"x" * 60_000)[:-1]) is not None


def test_an_archive_within_a_cut_archive_is_no_end(path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/big", b"\1" * 100_000)
        archive.writestr("archive/inner.zip", zip_archive(size=40_000))
        archive.writestr("archive/last", b"\1" * 50_000)
    content = buffer.getvalue()
    assert judge(path, content) is None
    assert judge(path, content[: content.index(b"archive/last") + 10_000]) is not None


def test_a_preallocated_zip_without_its_tail_is_unfinished(path: Path) -> None:
    content = zip_archive(size=100_000)
    assert judge(path, content[:-1_000], size=len(content)) is not None


def test_a_tail_full_of_end_records_is_judged(path: Path) -> None:
    fake = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, 46, 4, 0)
    assert judge(path, b"PK\3\4" + b"\1" * 100 + fake * 2_900) is not None
    assert judge(path, b"PK\3\4" + b"PK\5\6" * 16_000) is not None


def test_an_error_of_the_disk_is_for_the_caller(path: Path) -> None:
    path.write_bytes(SAFETENSORS)
    with (
        path.open("wb", buffering=0) as file,
        pytest.raises(OSError, match=r"not open for reading"),
    ):
        unfinished_content(file, 100)
