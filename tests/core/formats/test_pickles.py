"""Promise 8: a pickle is read without running it, and what a load would run is told."""

from __future__ import annotations

import collections
import io
import os
import pickle
import struct
import time
import tracemalloc
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from tests.pickle_files import (
    call,
    items,
    listed,
    made,
    mapping,
    name,
    number,
    ordered,
    pickled,
    storage,
    tensor,
    text,
    torch_legacy,
    torch_zip,
    zipped,
)

from mlib.core.formats.header import Finding, Header, Tensor
from mlib.core.formats.pickles import read

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WEIGHT = Tensor("weight", "F32", (2, 3))
STATE = ordered({"weight": tensor((2, 3), count=6)})


def header(content: bytes, kind: str) -> Header:
    return read(io.BytesIO(content), len(content), kind)


def of_value(value: bytes) -> Header:
    """The header of a plain pickle."""
    return header(pickled(value), "pickle")


def finding(found: Header, code: str) -> Finding:
    """The one finding with this code."""
    (only,) = [finding for finding in found.findings if finding.code == code]
    return only


def names(found: Header, group: str) -> list[str]:
    groups: Any = found.details["globals"]
    listed_names: list[str] = groups[group]
    return listed_names


class Bomb:
    """Calls a function when it is loaded."""

    def __init__(self, function: Callable[..., Any], *args: object) -> None:
        self.call = function, args

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return self.call


# What a file holds


def test_a_zip_checkpoint_gives_its_tensors_and_facts() -> None:
    found = header(torch_zip(STATE, {"0": 24}, root="mir-1k"), "torch_zip")
    assert found.format == "torch_zip"
    assert found.tensors == (WEIGHT,)
    assert found.findings == ()
    assert found.details == {
        "globals": {
            "allowed": ["collections.OrderedDict", "torch.FloatStorage", "torch._utils._rebuild_tensor_v2"],
            "unknown": [],
            "dangerous": [],
        },
        "root": "mir-1k",
        "byteorder": "little",
        "protocol": 2,
        "storages": 1,
    }


def test_a_legacy_checkpoint_gives_its_tensors_and_facts() -> None:
    content = torch_legacy(STATE, {"0": (6, 4)})
    found = header(content, "torch_legacy")
    assert found.tensors == (WEIGHT,)
    assert found.findings == ()
    assert found.details["byteorder"] == "little"
    assert found.details["promised_size"] == len(content)


def test_a_packed_data_pkl_is_read_too() -> None:
    content = zipped({"a/data.pkl": pickled(STATE), "a/data/0": bytes(24)}, compression=zipfile.ZIP_DEFLATED)
    assert header(content, "torch_zip").tensors == (WEIGHT,)


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [("HalfStorage", "F16"), ("BFloat16Storage", "BF16"), ("LongStorage", "I64"), ("QInt8Storage", "QI8")],
)
def test_the_type_of_a_tensor_is_that_of_its_storage(kind: str, dtype: str) -> None:
    assert of_value(mapping({"w": tensor((1,), kind=kind)})).tensors == (Tensor("w", dtype, (1,)),)


@pytest.mark.parametrize(
    "value",
    [
        call(name("torch._utils", "_rebuild_parameter"), tensor((4,)), b"\x88", b"N"),
        call(
            name("torch._utils", "_rebuild_qtensor"),
            storage("FloatStorage", "0", 4),
            number(0),
            items(number(4)),
        ),
        call(
            name("torch._utils", "_rebuild_tensor"),
            storage("FloatStorage", "0", 4),
            number(0),
            items(number(4)),
        ),
        call(
            name("torch._tensor", "_rebuild_from_type_v2"),
            name("torch._utils", "_rebuild_tensor_v2"),
            name("torch", "Tensor"),
            items(storage("FloatStorage", "0", 4), number(0), items(number(4))),
            b"}",
        ),
        call(
            name("torch._utils", "_rebuild_meta_tensor_no_storage"),
            name("torch", "float32"),
            items(number(4)),
            b"N",
        ),
    ],
    ids=["parameter", "quantised", "old", "subclass", "meta"],
)
def test_every_way_to_rebuild_a_tensor_is_known(value: bytes) -> None:
    assert of_value(mapping({"w": value})).tensors == (Tensor("w", "F32", (4,)),)


def test_a_type_without_a_storage_class_is_named_by_the_tensor() -> None:
    untyped = storage("UntypedStorage", "0", 4)
    rebuild = name("torch._utils", "_rebuild_tensor_v3")
    shape = items(number(4))
    value = call(rebuild, untyped, number(0), shape, shape, b"\x89", b"N", name("torch", "float8_e4m3fn"))
    assert of_value(mapping({"w": value})).tensors == (Tensor("w", "F8_E4M3", (4,)),)


@pytest.mark.parametrize(
    "wrapper",
    [
        *("state_dict", "params_ema", "params", "model", "module", "params-ema", "model_state_dict", "net"),
        *("netG", "generator", "g_ema"),
    ],
)
def test_a_wrapper_is_no_part_of_the_names(wrapper: str) -> None:
    found = of_value(mapping({"epoch": number(3), "optimizer": listed(tensor((9,))), wrapper: STATE}))
    assert found.tensors == (WEIGHT,)
    assert found.details["wrapper"] == wrapper
    assert found.metadata == {"epoch": "3"}


def test_the_averaged_weights_of_a_network_are_taken_before_the_others() -> None:
    others = mapping({"other": tensor((9,))})
    for better, worse in (("params-ema", "params"), ("g_ema", "generator"), ("state_dict", "net")):
        assert of_value(mapping({worse: others, better: STATE})).tensors == (WEIGHT,)


def test_the_only_member_is_a_wrapper_if_it_is_a_state_dict() -> None:
    state = mapping({"body.0.weight": tensor((2, 3)), "body.0.bias": tensor((2,))})
    found = of_value(mapping({"my_network": state}))
    assert [each.name for each in found.tensors] == ["body.0.weight", "body.0.bias"]
    assert found.details["wrapper"] == "my_network"
    other = of_value(mapping({"body": mapping({"weight": tensor((2, 3)), "bias": tensor((2,))})}))
    assert [each.name for each in other.tensors] == ["body.weight", "body.bias"]


def test_a_wrapper_without_tensors_is_none() -> None:
    found = of_value(mapping({"model": mapping({"depth": number(2)}), "weight": tensor((2, 3))}))
    assert found.tensors == (WEIGHT,)
    assert "wrapper" not in found.details


def test_an_embedding_gives_its_vectors_and_its_name() -> None:
    vectors = mapping({"*": tensor((2, 768))})
    found = of_value(mapping({"string_to_param": vectors, "name": text("style"), "step": number(100)}))
    assert found.tensors == (Tensor("string_to_param.*", "F32", (2, 768)),)
    assert found.metadata == {"name": "style", "step": "100"}


def test_a_pickled_module_gives_the_names_of_its_state_dict() -> None:
    layer = made(
        name("torch.nn.modules.conv", "Conv2d"), {"_parameters": mapping({"weight": tensor((2, 3))})}
    )
    model = made(name("torch.nn.modules.container", "Sequential"), {"_modules": mapping({"0": layer})})
    found = of_value(model)
    assert found.tensors == (Tensor("0.weight", "F32", (2, 3)),)
    assert not finding(found, "may_run_code").serious


def test_torchscript_gives_the_tensors_of_its_modules_and_is_a_program() -> None:
    inner = made(name("__torch__.conv", "Conv"), {"weight": tensor((2, 3), count=6)})
    outer = made(name("__torch__", "Net"), {"conv": inner})
    content = torch_zip(
        outer,
        {"0": 24},
        extra={
            "code/__torch__.py": b"class Net: ...",
            "constants.pkl": b").",
        },
    )
    found = header(content, "torchscript")
    assert found.tensors == (Tensor("conv.weight", "F32", (2, 3)),)
    assert found.details["code"] == 1
    assert names(found, "unknown") == []
    assert not finding(found, "may_run_code").serious


def test_an_ordered_dict_of_python_2_is_a_list_of_pairs() -> None:
    pairs = listed(listed(text("weight"), tensor((2, 3))))
    assert of_value(call(name("collections", "OrderedDict"), pairs)).tensors == (WEIGHT,)


def test_a_tensor_under_two_names_is_listed_twice_and_a_cycle_once() -> None:
    twice = mapping({"a": tensor((1,)) + b"q\x01", "b": b"h\x01"})
    assert [found.name for found in of_value(twice).tensors] == ["a", "b"]
    cycle = b"}q\x01(" + text("self") + b"h\x01" + text("weight") + tensor((2, 3)) + b"u"
    assert of_value(cycle).tensors == (WEIGHT,)


# What a load would run


def test_a_bomb_is_named_and_does_not_go_off(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    content = pickle.dumps(Bomb(os.mkdir, str(mark)))
    found = header(content, "pickle")
    assert names(found, "dangerous") == [f"{os.name}.mkdir"]
    assert finding(found, "may_run_code").serious
    assert not mark.exists()
    pickle.loads(content)
    assert mark.exists()


@pytest.mark.parametrize(("module", "group"), [("stranger", "unknown"), ("os", "dangerous")])
def test_names_without_end_are_cut_where_they_are_told(module: str, group: str) -> None:
    content = b"".join(
        b"c%b\n%b\n" % (module.encode(), letter * 3_000) for letter in (b"v", b"w", b"x", b"y")
    )
    found = header(content + b".", "pickle")
    assert len(names(found, group)) == 4
    message = finding(found, "may_run_code").message
    assert all(f"{module}.{letter * 3}" in message for letter in "vwxy")
    assert len(message) < 600


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("function", [os.system, eval, exec, __import__, getattr, pickle.loads])
def test_known_dangers_are_serious_in_every_protocol(function: Callable[..., Any], protocol: int) -> None:
    found = header(pickle.dumps([1, Bomb(function, "x")], protocol), "pickle")
    assert len(names(found, "dangerous")) == 1
    assert finding(found, "may_run_code").serious


@pytest.mark.parametrize(
    ("value", "group", "path"),
    [
        (b"\x8c\x02os\x8c\x06system\x93", "dangerous", "os.system"),
        (b"S'\\x6fs'\nS'system'\n\x93", "dangerous", "os.system"),
        (b"S'\\157s'\nS'system'\n\x93", "dangerous", "os.system"),
        (b"Vo\\u0073\nVsystem\n\x93", "dangerous", "os.system"),
        (b"(ios\nsystem\n", "dangerous", "os.system"),
        (b"(cos\nsystem\no", "dangerous", "os.system"),
        (
            b"ctorch.nn.modules.module\nwarnings.sys.modules\n",
            "dangerous",
            "torch.nn.modules.module.warnings.sys.modules",
        ),
        (b"ctorch._utils\n_import_dotted_name\n", "dangerous", "torch._utils._import_dotted_name"),
        (b"ctorch.nn.modules.conv\nConv2d.x\n", "unknown", "torch.nn.modules.conv.Conv2d.x"),
        (b"]]\x93", "unknown", "<computed>.<computed>"),
        (b"\x82\x07", "unknown", "copyreg extension.7"),
        (b"cantigravity\nx\n", "unknown", "antigravity.x"),
    ],
)
def test_a_name_is_found_however_it_is_written(value: bytes, group: str, path: str) -> None:
    found = of_value(value)
    assert names(found, group) == [path]


@pytest.mark.parametrize("value", [name("omegaconf.nodes", "AnyNode"), b"]]\x93", b"\x82\x07"])
def test_an_unknown_name_is_serious(value: bytes) -> None:
    assert finding(of_value(value), "may_run_code").serious


@pytest.mark.parametrize(
    "value",
    [
        collections.OrderedDict(a=collections.defaultdict(list)),
        {1, 2.5, (3, "4"), b"5", None, frozenset("6"), 2**200},
        [complex(1, 2), bytearray(b"7"), slice(8)],
    ],
)
@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_need_no_finding(value: object, protocol: int) -> None:
    assert header(pickle.dumps(value, protocol), "pickle").findings == ()


def test_a_bomb_before_nonsense_is_named() -> None:
    found = header(pickled(call(name("os", "system"), text("x")) + b"\xff"), "pickle")
    assert names(found, "dangerous") == ["os.system"]
    assert finding(found, "may_run_code").serious
    assert finding(found, "bad_header").serious


@pytest.mark.parametrize("hidden", ["archive/DATA.PKL", "archive/other.pkl", "else/data.pkl"])
def test_a_bomb_in_another_pickle_of_the_archive_is_named(hidden: str) -> None:
    bomb = pickled(call(name("os", "system"), text("x")))
    content = zipped({"archive/data.pkl": pickled(STATE), "archive/data/0": bytes(24), hidden: bomb})
    assert names(header(content, "torch_zip"), "dangerous") == ["os.system"]


def test_a_bomb_in_the_list_of_legacy_storages_is_named() -> None:
    plain = torch_legacy(STATE, {"0": (6, 4)})
    content = plain.replace(pickled(listed(text("0"))), pickled(call(name("os", "system"), text("x"))))
    assert names(header(content, "torch_legacy"), "dangerous") == ["os.system"]


def test_changing_a_class_is_serious() -> None:
    value = name("collections", "OrderedDict") + mapping({"x": number(1)}) + b"b"
    assert finding(of_value(value), "bad_header").serious


def test_more_pickles_than_are_looked_through_are_serious() -> None:
    content = torch_zip(STATE, {"0": 24}, extra={f"{number}.pkl": b"N." for number in range(1_100)})
    assert finding(header(content, "torch_zip"), "may_run_code").serious


# What is wrong with a file


@pytest.mark.parametrize("cut", [1, 10, 30, 60])
def test_a_pickle_that_ends_early_has_a_bad_header(cut: int) -> None:
    assert finding(header(pickled(STATE)[:-cut], "pickle"), "bad_header").serious


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b".", id="an empty stack"),
        pytest.param(b"0.", id="no mark to take off"),
        pytest.param(b"\x80\x09N.", id="a protocol to come"),
        pytest.param(b"h\x00.", id="an unknown memo"),
        pytest.param(b"gx\n.", id="a memo of no number"),
        pytest.param(b"}(K\x01u.", id="a key without a value"),
        pytest.param(b"(o.", id="an object of no class"),
        pytest.param(b"\x85.", id="a tuple of nothing"),
        pytest.param(b"\xee.", id="an unknown instruction"),
        pytest.param(b"\x80\x04\x95\x05" + bytes(7) + b"N.AAAA", id="a frame past the end"),
    ],
)
def test_nonsense_is_a_bad_header(content: bytes) -> None:
    assert finding(header(content, "pickle"), "bad_header").serious


def test_a_legacy_file_shorter_than_its_storages_is_truncated() -> None:
    content = torch_legacy(STATE, {"0": (6, 4)})
    assert finding(header(content[:-1], "torch_legacy"), "truncated").serious


def test_a_zip_without_its_directory_is_truncated() -> None:
    content = torch_zip(STATE, {"0": 24})
    assert finding(header(content[:-30], "torch_zip"), "truncated").serious


@pytest.mark.parametrize("storages", [{}, {"0": 23}])
def test_a_zip_with_a_short_or_missing_storage_is_truncated(storages: dict[str, int]) -> None:
    assert finding(header(torch_zip(STATE, storages), "torch_zip"), "truncated").serious


def test_a_legacy_file_with_other_numbers_has_a_bad_header() -> None:
    content = torch_legacy(STATE, {"0": (6, 4)}).replace(number(1001), number(1002), 1)
    assert finding(header(content, "torch_legacy"), "bad_header").serious


def two_directories(first: bytes, second: bytes) -> bytes:
    """An archive whose zip64 record leads to the second directory, its plain end record to the first."""
    end = first.rindex(b"PK\x05\x06")
    count, length, start = struct.unpack("<HII", second[-12:-2])
    directory = second[start : start + length]
    record = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, count, count, length, end)
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, end + length, 1)
    return first[:end] + directory + record + locator + first[end:]


def broken_zips() -> dict[str, bytes]:
    plain = torch_zip(STATE, {"0": 24})
    end = plain.rindex(b"PK\x05\x06")
    directory = plain.index(b"PK\x01\x02")
    return {
        "no data.pkl": zipped({"a/b": b""}),
        "bytes after it": plain + b"x",
        "two directories": two_directories(plain, zipped({"archive/data.pkl": pickled(STATE)})),
        "no zip64 record": plain[:end] + b"PK\x06\x07" + struct.pack("<IQI", 0, directory, 1) + plain[end:],
        "entry elsewhere": plain[: directory + 42] + struct.pack("<I", 5) + plain[directory + 46 :],
        "encrypted": plain[: directory + 8] + b"\x01" + plain[directory + 9 :],
        "unknown packing": plain[: directory + 10] + b"\x63" + plain[directory + 11 :],
        "many parts": plain[: end + 4] + b"\x01" + plain[end + 5 :],
        "no entries": zipped({}),
    }


@pytest.mark.parametrize("case", broken_zips())
def test_a_zip_that_readers_could_take_differently_has_a_bad_header(case: str) -> None:
    assert any(
        finding.code == "bad_header" and finding.serious
        for finding in header(broken_zips()[case], "torch_zip").findings
    )


def test_no_finding_ever_says_safe() -> None:
    for content in (pickled(STATE), pickled(name("os", "system")), b"\xff"):
        found = header(content, "pickle")
        assert "safe" not in repr(found.findings).lower()


# Bounds


def huge_zip(count: int) -> bytes:
    """An archive of so many entries, of which only the directory is there."""
    entry = b"PK\x01\x02" + bytes(24) + struct.pack("<HHH", 1, 0, 0) + bytes(12) + b"x"
    length = len(entry) * count
    wide = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, count, count, length, 0)
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, length, 1)
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, *[0xFFFF] * 2, *[2**32 - 1] * 2, 0)
    return entry * count + wide + locator + end


def zip_bomb() -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = b"".join([packer.compress(b"N" * 2**20) for _ in range(100)]) + packer.flush()
    entry = struct.pack("<HHHHHIII", 20, 0, 8, 0, 0, 0, len(packed), 100 * 2**20)
    local = b"PK\x03\x04" + entry + struct.pack("<HH", 10, 0) + b"a/data.pkl" + packed
    central = b"PK\x01\x02\x14\x00" + entry + struct.pack("<HHHHHII", 10, 0, 0, 0, 0, 0, 0) + b"a/data.pkl"
    end = struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local), 0)
    return local + central + b"PK\x05\x06" + end


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(lambda: b"]" * 2_000_000, id="lists"),
        pytest.param(lambda: b"(" * 2_000_000, id="marks"),
        pytest.param(lambda: b")" + b"\x85" * 400_000 + b".", id="nested tuples"),
        pytest.param(lambda: b"]" * 240_000 + b"a" * 239_999 + b".", id="nested lists"),
        pytest.param(lambda: b"]" + b"q\x00h\x00h\x00\x86" * 100_000 + b".", id="many ways through a graph"),
        pytest.param(lambda: b"".join(b"ca%d\nb\n" % n for n in range(20_000)) + b".", id="names"),
        pytest.param(lambda: b"Nr\xff\xff\xff\xff.", id="a far memo index"),
        pytest.param(lambda: b"X\xff\xff\xff\xffabc", id="a long text"),
        pytest.param(lambda: b"\x8d" + b"\xff" * 8 + b"abc", id="a longer text"),
        pytest.param(lambda: b"I" + b"1" * 20_000_000, id="a line without end"),
        pytest.param(lambda: b"I" + b"1" * 1_000_000 + b"\n.", id="digits"),
        pytest.param(lambda: huge_zip(1_000_000), id="zip entries"),
        pytest.param(zip_bomb, id="zip bomb"),
    ],
)
def test_hostile_files_cost_little(content: Callable[[], bytes]) -> None:
    made_up = content()
    kind = "torch_zip" if made_up.startswith(b"PK") else "pickle"
    started = time.process_time()
    found = header(made_up, kind)
    assert time.process_time() - started < 5
    assert found.tensors == ()


def test_unpacking_stops_at_the_cap() -> None:
    content = zip_bomb()
    tracemalloc.start()
    try:
        found = header(content, "torch_zip")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert finding(found, "bad_header").serious
    assert peak < 200 * 2**20


def test_what_was_not_looked_through_is_serious() -> None:
    found = header(b"0N" * 1_000_000, "pickle")
    assert found.findings
    assert all(finding.serious for finding in found.findings)


def test_only_as_much_of_a_large_file_is_read_as_is_needed() -> None:
    class Counting(io.BytesIO):
        octets = 0

        def read(self, size: int | None = -1, /) -> bytes:
            content = super().read(size)
            self.octets += len(content)
            return content

    blob = b"B" + struct.pack("<I", 30_000_000) + bytes(30_000_000) + b"0"
    content = pickled(blob + STATE)
    file = Counting(content)
    assert read(file, len(content), "pickle").tensors == (WEIGHT,)
    assert file.octets < 100_000
