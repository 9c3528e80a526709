"""A kept header says what the header said, and anything else is refused in one way."""

from __future__ import annotations

import io
import json
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.model_files import gguf, onnx, safetensors
from tests.pickle_files import call, mapping, name, number, tensor, text, torch_legacy, torch_zip

from mlib.core.formats.header import MAX_KEPT, Finding, Header, Tensor, pack, unpack
from mlib.core.formats.reader import read_header
from mlib.core.inspection import conclude

PICTURE = "data:image/png;base64," + "iVBORw0KGgo" + "A" * 4000
#: No word in it is the name of an image, which would not be kept.
said = st.text('aé角\U0001f600\x1b\\"{}[]:,. 01\u2028\n')
WEIGHT = torch_zip(mapping({"conv.weight": tensor((2, 3), count=6)}), {"0": 24})
RUNS = torch_zip(mapping({"x": call(name("os", "system"), text("true"))}))


def read(content: bytes, called: str = "a.safetensors") -> Header:
    return read_header(io.BytesIO(content), len(content), name=called)


def kept(header: Header) -> Header:
    packed = pack(header)
    assert packed is not None
    return unpack(packed)


class TestRoundTrip:
    @pytest.mark.parametrize(
        ("called", "content"),
        [
            ("a.safetensors", safetensors({"lora_down.weight": 3}, metadata={"ss_network_dim": "4"})),
            ("a.safetensors", safetensors({"a": 3})[:-1]),
            ("a-00001-of-00002.gguf", gguf()),
            ("a.onnx", onnx(metadata={b"k": b"v"}, external=[b"w.bin"])),
            ("a.ckpt", WEIGHT),
            ("a.pt", RUNS),
            ("a.pt", torch_legacy(mapping({"a": number(1)}))),
            ("a.safetensors", b"<!doctype html><title>Log in</title>"),
            ("a.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64),
            ("a.pth", b""),
            ("a.bin", b"nothing known"),
        ],
    )
    def test_a_real_header_comes_back_as_it_was(self, called: str, content: bytes) -> None:
        header = read(content, called)
        assert kept(header) == header
        assert conclude(kept(header)) == conclude(header)

    @given(
        st.builds(
            Header,
            format=st.sampled_from(["safetensors", "gguf", "unknown"]),
            tensors=st.lists(
                st.builds(Tensor, st.text(), st.text(max_size=5), st.lists(st.integers(0, 2**63)).map(tuple))
            ).map(tuple),
            metadata=st.dictionaries(said, said),
            details=st.dictionaries(said, st.none() | st.booleans() | st.integers() | said),
            findings=st.lists(st.builds(Finding, st.text(), st.text(), st.booleans())).map(tuple),
            data_start=st.none() | st.integers(0, 2**63),
        )
    )
    def test_any_header_comes_back_as_it_was(self, header: Header) -> None:
        assert kept(header) == header

    @given(st.text(st.characters(categories=["Cs", "Cc", "Lo"])))
    def test_text_that_no_utf8_can_hold_comes_back_too(self, text: str) -> None:
        header = Header("gguf", tensors=(Tensor(text, text, (1,)),), metadata={"k": text})
        assert kept(header) == header


class TestImages:
    def test_none_is_kept(self) -> None:
        header = read(safetensors({"a": 3}, metadata={"modelspec.thumbnail": PICTURE, "ss_tag": "keep me"}))
        packed = pack(header)
        assert packed is not None
        assert b"AAAA" not in zlib.decompress(packed)
        assert unpack(packed).metadata["ss_tag"] == "keep me"

    @given(
        st.dictionaries(
            st.sampled_from(["modelspec.thumbnail", "ss_sd_model_name", "cover", "modelspec.title"]),
            st.sampled_from([PICTURE, "plain", json.dumps({"image": PICTURE}), f"a {PICTURE} b"]),
        )
    )
    def test_metadata_without_them_is_still_text_and_can_be_judged(self, metadata: dict[str, str]) -> None:
        header = Header("safetensors", metadata=metadata)
        assert all(isinstance(value, str) for value in kept(header).metadata.values())
        conclude(kept(header))


class TestLength:
    def test_one_of_a_real_length_is_kept(self) -> None:
        tensors = tuple(
            Tensor(f"model.diffusion_model.block.{n}.weight", "F16", (320, 4)) for n in range(9000)
        )
        assert kept(Header("safetensors", tensors=tensors)).tensors == tensors

    @pytest.mark.parametrize("over", [0, 1])
    def test_the_longest_that_is_kept_comes_back_and_a_longer_one_is_not_kept(self, over: int) -> None:
        header = Header("safetensors", metadata={"k": ""})
        packed = pack(header)
        assert packed is not None
        room = MAX_KEPT - len(zlib.decompress(packed)) + over
        longest = header._replace(metadata={"k": "x" * room})
        again = pack(longest)
        assert (again is None) == bool(over)
        assert again is None or unpack(again) == longest

    def test_many_long_names_are_not_kept(self) -> None:
        tensors = tuple(Tensor("x" * 1000, "F16", ()) for _ in range(MAX_KEPT // 1000 + 1))
        assert pack(Header("safetensors", tensors=tensors)) is None

    def test_nothing_swells_when_it_is_unpacked(self) -> None:
        with pytest.raises(ValueError, match="too long"):
            unpack(zlib.compress(b" " * (50 * MAX_KEPT)))


class TestDamage:
    PACKED = pack(read(safetensors({"a": 3}, metadata={"k": "v"})))
    DOCUMENT = json.loads(zlib.decompress(PACKED or b""))

    @given(st.binary())
    def test_other_bytes_are_a_value_error(self, packed: bytes) -> None:
        with pytest.raises(ValueError):  # noqa: PT011 - whatever the words
            unpack(packed)

    @given(
        st.recursive(
            st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
        )
    )
    def test_so_is_other_json(self, document: object) -> None:
        with pytest.raises(ValueError):  # noqa: PT011
            unpack(zlib.compress(json.dumps(document).encode()))

    @settings(max_examples=200)
    @given(st.data())
    def test_so_is_json_that_lacks_a_part_or_has_another_in_its_place(self, data: st.DataObject) -> None:
        """A part that is ill-typed may pass here, but only ValueError may come of it."""
        document = json.loads(json.dumps(self.DOCUMENT))
        part = document[data.draw(st.sampled_from(["said", "rest"]))]
        key = data.draw(st.sampled_from(sorted(part)))
        other: object = data.draw(st.sampled_from([None, 3, "x", [], {}, [[]], [1, 2, 3], [["a", "b", 3]]]))
        if data.draw(st.booleans()):
            del part[key]
        else:
            part[key] = other
        try:
            unpack(zlib.compress(json.dumps(document).encode()))
        except ValueError:
            return
        assert key in part

    def test_so_is_json_that_never_ends(self) -> None:
        with pytest.raises(ValueError, match="not a packed header"):
            unpack(zlib.compress(b"[" * 100_000))

    def test_so_is_one_cut_short(self) -> None:
        assert self.PACKED is not None
        for length in range(len(self.PACKED)):
            with pytest.raises(ValueError):  # noqa: PT011
                unpack(self.PACKED[:length])
