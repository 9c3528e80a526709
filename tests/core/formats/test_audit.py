"""Promise 8: to inspect a file runs, starts, connects to and writes nothing, told by the interpreter's audit.

A process of its own watches itself: an audit hook stays for as long as the process does. It inspects sound
files first, so that all that is loaded on first use is loaded, then hostile ones.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import zipfile
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer
from tests.fuzz.seeds import MODELS, SIDECARS
from tests.inprocess import mlib_here
from tests.model_files import gguf_header, gguf_pair, gguf_string, onnx, safetensors
from tests.pickle_files import (
    call,
    items,
    listed,
    made,
    mapping,
    name,
    pickled,
    text,
    torch_legacy,
    torch_zip,
    zipped,
)

from mlib.cli.commands.inspect_ import inspect_

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_ROOT = Path(__file__).parents[3]
#: What a hostile file would leave behind if any of it ran; the process runs in a directory of its own.
_CANARY = "canary"
_TOUCH = f"touch {_CANARY}"
_WRITE = f"open('{_CANARY}', 'w')"

# What is forbidden, always and once all modules are loaded

_NEVER = re.compile(
    r"pickle\.find_class|os\.(?:system|exec|fork|forkpty|posix_spawn|spawn|startfile|putenv|unsetenv|remove"
    r"|rename|rmdir|mkdir|link|symlink|truncate|chmod|chown|utime|chflags|setxattr|removexattr|kill).*"
    r"|subprocess\..*|socket\.(?!__new__|gethostname).*|ctypes\..*|shutil\..*|tempfile\..*|pty\..*|ftplib\..*"
    r"|urllib\..*|http\..*|sqlite3\..*|code\.__new__|function\.__new__|sys\.setprofile|sys\.settrace"
)
_ONCE_LOADED = ("exec", "compile", "import", "marshal.loads", "cpython.run_command", "cpython.run_file")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_seen: list[str] = []
_loaded = False


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if event == "open":
        path, mode, flags = args
        writes = isinstance(flags, int) and flags & _WRITING
        if writes or (isinstance(mode, str) and set(mode) & set("wax+")):
            _seen.append(f"open {path!r} to write")
    elif _NEVER.fullmatch(event) or (_loaded and event in _ONCE_LOADED):
        _seen.append(f"{event} {args!r}"[:200])


def watch(sound: Path, hostile: Path) -> None:
    """Inspect what is in both directories and print as JSON what was done. Never in a test's process."""
    global _loaded  # noqa: PLW0603 - a hook cannot be taken away, nor given anything later
    sys.addaudithook(_audit)
    report: dict[str, list[str]] = {}
    for folder in (sound, hostile):
        for path in sorted(folder.iterdir()):
            before = len(_seen)
            # Without Typer, which compiles the annotations of a command before it calls it.
            with redirect_stdout(io.TextIOWrapper(io.BytesIO())), suppress(typer.Exit):
                inspect_([str(path)], as_json=True)
            report[path.name] = _seen[before:]
        _loaded = True
    print(json.dumps(report))


_FORBIDDEN_DEEDS: Mapping[str, Callable[[], object]] = {
    "find_class": lambda: __import__("pickle").loads(MODELS["pickle_4"].replace(b"system", b"getenv")),
    "eval": lambda: eval("1"),  # an expression that is compiled first
    "exec": lambda: exec(compile("1", "<x>", "exec")),
    "system": lambda: os.system("true"),
    "Popen": lambda: subprocess.run(["true"], check=True),
    "connect": lambda: __import__("socket").socket().connect_ex(("127.0.0.1", 9)),
    "write": lambda: Path(_CANARY).write_text("x"),
    "os.open": lambda: os.close(os.open(_CANARY, os.O_CREAT | os.O_WRONLY)),
    "unlink": lambda: Path(_CANARY).unlink(),
    "import": lambda: __import__("wave"),
}


def betray(action: str) -> None:
    """Do one thing that is forbidden, and print what the hook saw of it. Never in a test's process."""
    global _loaded  # noqa: PLW0603
    if action == "unlink":
        Path(_CANARY).touch()
    for module in ("pickle", "socket", "subprocess"):
        __import__(module)
    sys.addaudithook(_audit)
    _loaded = True
    _FORBIDDEN_DEEDS[action]()
    print(json.dumps(_seen))


def _in_a_process(directory: Path, *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-B", "-m", "tests.core.formats.test_audit", *arguments],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": f"{_ROOT}{os.pathsep}{_ROOT / 'src'}"},
        capture_output=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


# Pickles that run something when they are loaded

_SYSTEM = name("os", "system")
_COMMAND = text(_TOUCH)
_ATTRIBUTE = call(
    name("builtins", "getattr"), call(name("builtins", "__import__"), text("os")), text("system")
)
_STATEFUL = name("collections", "OrderedDict") + b")\x81" + mapping({"__setstate__": _SYSTEM}) + b"b"
_STACKED = b"\x8c\x02os\x8c\x06system\x93"
_INNER = pickled(call(_SYSTEM, _COMMAND))
_PICKLES: Mapping[str, bytes] = {
    "reduce_system": call(_SYSTEM, _COMMAND),
    "reduce_posix": call(name("posix", "system"), _COMMAND),
    "reduce_eval": call(name("builtins", "eval"), text(_WRITE)),
    "reduce_exec": call(name("builtins", "exec"), text(_WRITE)),
    "reduce_exec_of_python_2": call(name("__builtin__", "eval"), text(_WRITE)),
    "reduce_open": call(name("builtins", "open"), text(_CANARY), text("w")),
    "reduce_popen": call(name("subprocess", "Popen"), listed(text("touch"), text(_CANARY))),
    "reduce_connect": call(name("socket", "create_connection"), items(text("127.0.0.1"), b"K\x09")),
    "reduce_import": call(name("builtins", "__import__"), text("this")),
    "reduce_runpy": call(name("runpy", "run_path"), text(_CANARY)),
    "getattr": _ATTRIBUTE + items(_COMMAND) + b"R",
    "stack_global": b"\x80\x04" + _STACKED + items(_COMMAND) + b"R",
    "memo": _SYSTEM + b"q\x010h\x01" + items(_COMMAND) + b"R",
    "inst": b"(" + _COMMAND + b"ios\nsystem\n",
    "obj": b"(" + _SYSTEM + _COMMAND + b"o",
    "newobj": _SYSTEM + items(_COMMAND) + b"\x81",
    "newobj_ex": b"\x80\x04" + _SYSTEM + items(_COMMAND) + b"}\x92",
    "build": _STATEFUL + _COMMAND + b"b",
    "build_of_an_object": made(name("numpy", "ndarray"), {"x": call(_SYSTEM, _COMMAND)}),
    "ext1": b"\x82\x01" + items(_COMMAND) + b"R",
    "ext2": b"\x83\x01\x01" + items(_COMMAND) + b"R",
    "ext4": b"\x84\x01\x00\x00\x01" + items(_COMMAND) + b"R",
    "ext_added": call(name("copyreg", "add_extension"), text("os"), text("system"), b"K\x01")
    + b"0\x82\x01"
    + items(_COMMAND)
    + b"R",
    "persistent": _COMMAND + b"Q",
    "nested": listed(
        mapping({"a": items(call(name("functools", "partial"), _SYSTEM), call(_SYSTEM, _COMMAND))})
    ),
    "pickle_in_a_pickle": call(name("pickle", "loads"), b"B" + len(_INNER).to_bytes(4, "little") + _INNER),
    "torch_load_in_a_pickle": call(name("torch", "load"), text(_CANARY)),
    "numpy_runstring": call(name("numpy.testing._private.utils", "runstring"), text(_WRITE), b"}"),
    "called_twice": call(call(name("functools", "partial"), _SYSTEM, _COMMAND)),
    "appended_to": call(name("a", "B")) + b"(" + call(_SYSTEM, _COMMAND) + b"e",
    "broken": call(_SYSTEM, _COMMAND) + b"\xfe",
}


def hostile_files() -> Iterator[tuple[str, bytes]]:
    """Names and contents: every pickle as itself and inside what torch writes, and lures in other formats."""
    for title, value in _PICKLES.items():
        yield f"{title}.pkl", pickled(value)
        yield f"{title}.ckpt", torch_zip(mapping({"state_dict": value}), {"0": 4})
        yield f"{title}.pt", torch_legacy(listed(value))
        yield f"{title}.safetensors", pickled(value)
        yield f"{title}_without_a_protocol.pkl", value + b"."
    evil = pickled(_PICKLES["reduce_system"])
    yield (
        "packed.pth",
        zipped({"a/data.pkl": evil, "a/DATA.PKL": evil}, compression=zipfile.ZIP_DEFLATED),
    )
    yield "script.pt", torch_zip(b"N", extra={"code/a.py": _WRITE.encode(), "constants.pkl": evil})
    lures = [
        f"__import__('os').system('{_TOUCH}')",
        "!!python/object/apply:os.system [x]",
        "{{ 1 }}",
        "$(id)",
    ]
    yield "lure.safetensors", safetensors(dict.fromkeys(lures, 1), metadata=dict.fromkeys(lures, _WRITE))
    pairs = [gguf_pair(lure.encode(), 8, gguf_string(_WRITE.encode())) for lure in lures]
    yield "lure.gguf", gguf_header(pairs, [])
    yield (
        "lure.onnx",
        onnx(metadata={lure.encode(): _WRITE.encode() for lure in lures}, external=[b"/etc/passwd"]),
    )
    yield "page.safetensors", b"<!DOCTYPE html><title>$(touch canary)</title><script>x</script>"
    yield (
        "entity.onnx",
        b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    )


_ENDINGS = {
    "civitai_info": ".civitai.info",
    "metadata_json": ".metadata.json",
    "cm_info": ".cm-info.json",
    "a1111_json": ".json",
    "markdown": ".md",
    "text": ".txt",
}


def hostile_sidecars() -> Iterator[tuple[str, bytes]]:
    """Sidecars of `lure`, as their programs write them but with something to run, load or follow."""
    for kind, ending in _ENDINGS.items():
        content = SIDECARS[kind].replace(b"drawings", b"<script src='http://127.0.0.1:9/'></script>")
        yield (
            f"lure{ending}",
            content.replace(b"Civitai", b"!!python/object/apply:os.system ['touch canary']"),
        )
    yield "lure.yaml", b"!!python/object/apply:os.system ['touch canary']"
    yield "lure.preview.png", b"\x89PNG\r\n"


def write(directory: Path, files: Iterator[tuple[str, bytes]]) -> None:
    directory.mkdir(exist_ok=True)
    for file, content in files:
        (directory / file).write_bytes(content)


def test_inspecting_does_nothing_but_read(tmp_path: Path) -> None:
    sound, hostile, elsewhere = tmp_path / "sound", tmp_path / "hostile", tmp_path / "elsewhere"
    write(sound, ((f"{title}.bin", content) for title, content in MODELS.items()))
    # A model whose sidecars are all read: by their own names, each of which a sound one has too.
    write(sound, ((f"safetensors{end}", SIDECARS[kind]) for kind, end in _ENDINGS.items()))
    write(hostile, hostile_files())
    write(hostile, hostile_sidecars())
    elsewhere.mkdir()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    report = _in_a_process(elsewhere, "watch", str(sound), str(hostile))
    assert len(report) > 4 * len(_PICKLES) + len(MODELS)
    assert {file: done for file, done in report.items() if done} == {}
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_hostile_pickles_are_hostile(tmp_path: Path) -> None:
    """Proof that what the test above inspects does something when Python loads it."""
    done = subprocess.run(
        [sys.executable, "-c", "import pickle, sys; pickle.loads(sys.stdin.buffer.read())"],
        cwd=tmp_path,
        input=pickled(_PICKLES["reduce_system"]),
        check=True,
    )
    assert done.returncode == 0
    assert (tmp_path / _CANARY).exists()


@pytest.mark.parametrize("action", sorted(_FORBIDDEN_DEEDS))
def test_the_hook_sees_what_is_forbidden(action: str, tmp_path: Path) -> None:
    assert _in_a_process(tmp_path, "betray", action) != []


def test_each_hostile_pickle_is_told_of(tmp_path: Path) -> None:
    write(tmp_path / "x", ((file, content) for file, content in hostile_files() if file.endswith(".pkl")))
    for path in sorted((tmp_path / "x").iterdir()):
        found = mlib_here("inspect", "--json", path, code=None)
        codes = {finding["code"] for finding in found.json["findings"]}
        assert codes & {"may_run_code", "bad_header"} or "persistent" in path.stem, (path, codes)


if __name__ == "__main__":
    if sys.argv[1] == "watch":
        watch(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        betray(sys.argv[2])
