"""Promise 8: whatever the bytes, reading a pickle runs nothing, and no name a load would import is missed."""

from __future__ import annotations

import codecs
import io
import math
import pickle
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.pickle_files import call, mapping, name, ordered, pickled, tensor, text, torch_legacy, torch_zip

from mlib.core.formats.pickle_machine import Opaque, Pairs, follow
from mlib.core.formats.pickle_source import Budget, Source
from mlib.core.formats.pickles import read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlib.core.formats.header import Header

KINDS = ("torch_zip", "torchscript", "torch_legacy", "pickle")
STATE = mapping(
    {"state_dict": ordered({"a.b": tensor((2, 3), count=6), "c": tensor((1,), count=6)}), "x": text("y")}
)
FILES = {
    "torch_zip": torch_zip(STATE, {"0": 24}),
    "torchscript": torch_zip(STATE, {"0": 24}, extra={"code/x.py": b""}),
    "torch_legacy": torch_legacy(STATE, {"0": (6, 4)}),
    "pickle": pickled(STATE + call(name("os", "system"), text("exit 1"))),
}
FORBIDDEN = ("exec", "compile", "import", "open", "pickle.find_class", "marshal.loads", "ctypes.dlopen")
FORBIDDEN_AREAS = ("os.", "subprocess.", "socket.", "shutil.", "code.")

#: What was seen by whoever is watching.
_watchers: list[list[str]] = []


def _audit(event: str, _args: tuple[object, ...]) -> None:
    if _watchers and (event in FORBIDDEN or event.startswith(FORBIDDEN_AREAS)):
        _watchers[-1].append(event)


@pytest.fixture(scope="module", autouse=True)
def _hook() -> None:
    # Python imports a codec when it is first asked for, and keeps it: that is no doing of the file's.
    codecs.lookup("raw_unicode_escape")
    # A hook stays for as long as the process does.
    sys.addaudithook(_audit)


@contextmanager
def nothing_runs() -> Iterator[None]:
    """Fails if anything is imported, executed, opened or started meanwhile."""
    seen: list[str] = []
    _watchers.append(seen)
    try:
        yield
    finally:
        _watchers.pop()
    assert seen == []


def inspect(content: bytes, kind: str) -> Header:
    file = io.BytesIO(content)
    with nothing_runs():
        return read(file, len(content), kind)


def test_the_hook_sees_a_load() -> None:
    with pytest.raises(AssertionError, match="find_class"), nothing_runs():
        pickle.loads(pickled(name("collections", "OrderedDict")))


@given(st.binary(max_size=200), st.sampled_from(KINDS))
def test_any_bytes_give_a_header(content: bytes, kind: str) -> None:
    assert inspect(content, kind).format == kind


@given(st.data(), st.sampled_from(KINDS))
def test_a_changed_file_gives_a_header(data: st.DataObject, kind: str) -> None:
    content = bytearray(FILES[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content)))
        length = data.draw(st.integers(0, 8))
        content[at : at + length] = data.draw(st.binary(max_size=8))
    assert inspect(bytes(content), kind).format == kind


@given(st.data(), st.sampled_from(KINDS))
def test_a_cut_file_is_never_without_a_finding(data: st.DataObject, kind: str) -> None:
    content = FILES[kind]
    cut = content[: data.draw(st.integers(0, len(content) - 1))]
    assert any(finding.serious for finding in inspect(cut, kind).findings)


# A language of instructions that make sense more often than bytes do.
NAMES = st.sampled_from(["os", "system", "builtins", "eval", "collections", "OrderedDict", "a.b", "é"])
INSTRUCTIONS = st.one_of(
    st.sampled_from([bytes([code]) for code in b".(012N)]}latedsuRQbo0" + bytes(range(0x80, 0x99))]),
    st.builds(lambda a, b: f"c{a}\n{b}\n".encode(), NAMES, NAMES),
    st.builds(lambda a, b: f"i{a}\n{b}\n".encode(), NAMES, NAMES),
    st.builds(text, NAMES),
    st.builds(lambda a: b"\x8c" + bytes([len(a.encode())]) + a.encode(), NAMES),
    st.builds(lambda a: f"S'{a}'\n".encode("ascii", "backslashreplace"), NAMES),
    st.builds(lambda a: f"V{a}\n".encode("raw_unicode_escape"), NAMES),
    st.builds(
        lambda code, index: code + bytes([index]),
        st.sampled_from([b"q", b"h", b"K", b"\x8a"]),
        st.integers(0, 3),
    ),
    st.sampled_from(
        [b"p1\n", b"g1\n", b"r\1\0\0\0", b"j\1\0\0\0", b"I01\n", b"L5L\n", b"F1.5\n", b"P1\n", b"\x80\x04"]
    ),
    st.binary(max_size=4),
)


class Recorder(pickle._Unpickler):
    """Python's own reader, told to import nothing and to remember what it was asked to import."""

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content))
        self.asked: set[str] = set()

    def find_class(self, module: str, attribute: str) -> Any:
        self.asked.add(f"{module}.{attribute}")
        return Inert

    def persistent_load(self, _key: object) -> Any:
        return Inert()

    def get_extension(self, code: int) -> None:
        self.asked.add(f"copyreg extension.{code}")
        self.append(Inert)  # type: ignore[attr-defined]


class Inert:
    """Stands for whatever was asked for: may be called, filled and changed, and does nothing."""

    def __init__(self, *_args: object, **_more: object) -> None:
        pass

    def __new__(cls, *_args: object, **_more: object) -> Inert:
        return super().__new__(cls)

    def __setitem__(self, _key: object, _value: object) -> None:
        pass

    def append(self, _value: object) -> None:
        pass

    def __setstate__(self, _state: object) -> None:
        pass


@given(st.lists(INSTRUCTIONS, max_size=25))
@example([text("os"), text("system"), b"\x93", b"."])
@example([b"\x95\x01" + bytes(7), b"N", b".", b"cos\nsystem\n", b"."])
@example([b"(", text("os"), text("system"), b"0", b"2", b"\x93", b"."])
def test_no_import_that_python_would_try_is_missed(instructions: list[bytes]) -> None:
    content = b"".join(instructions)
    recorder = Recorder(content)
    # Python's reader fails in every way there is.
    with suppress(Exception):
        recorder.load()
    found = inspect(content, "pickle")
    groups: Any = found.details["globals"]
    noted = {path for group in groups.values() for path in group}
    refused = any(finding.code == "bad_header" and finding.serious for finding in found.findings)
    assert refused or recorder.asked <= noted or "<computed>.<computed>" in noted


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner) | st.tuples(inner, inner) | st.tuples(inner) | st.dictionaries(st.text(), inner)
    ),
    max_leaves=20,
)


def expected(value: object) -> object:
    """The value as the reader should have it."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, dict):
        return [expected(part) for pair in value.items() for part in pair]
    if isinstance(value, (list, tuple)):
        return type(value)(expected(item) for item in value)
    return value


def alike(value: object, wanted: object) -> bool:
    if isinstance(wanted, (list, tuple)):
        return (
            isinstance(value, (list, tuple))
            and isinstance(value, tuple) == isinstance(wanted, tuple)
            and len(value) == len(wanted)
            and all(map(alike, value, wanted))
        )
    if isinstance(value, Opaque):
        return isinstance(wanted, (bytes, int, float))
    if isinstance(wanted, float):
        return isinstance(value, float) and math.isclose(value, wanted, rel_tol=1e-12)
    return type(value) is type(wanted) and value == wanted


@given(VALUES, st.integers(3, 5))
def test_plain_values_come_back(value: object, protocol: int) -> None:
    content = pickle.dumps(value, protocol)
    budget = Budget(instructions=100_000, octets=2**20)
    stream = follow(Source(io.BytesIO(content), 0, len(content), budget), budget)
    assert stream.fault is None
    assert stream.end == len(content)
    assert isinstance(stream.value, Pairs) == isinstance(value, dict)
    assert alike(stream.value, expected(value))


@given(VALUES, st.integers(0, 5))
def test_plain_values_need_no_finding(value: object, protocol: int) -> None:
    assert inspect(pickle.dumps(value, protocol), "pickle").findings == ()
