from __future__ import annotations

import contextlib
import os
from itertools import chain
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mlib.core.comfyui.folders import canonical_type, is_model_name
from mlib.core.comfyui.root_sources import (
    comfyui_roots,
    distinct,
    extra_paths_roots,
    find_comfyui,
    root_option,
)
from mlib.core.errors import MlibError
from mlib.core.records import Root

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEYS = st.sampled_from(
    ["loras", "vae", "unet", "diffusion_models", "clip", "text_encoders", "LLM", "configs"]
)
LINES = st.sampled_from(["a", "b/", "./a", "/abs/a", "/abs/b/../a", " a", "", "c d", "~", "$HOME"])
BASES = st.sampled_from(["/srv", "/srv/./x/..", "rel", "", "~", "$ROOTS_TEST/x", "~nobody-of-that-name/x"])
BLOCKS = st.fixed_dictionaries(
    {},
    optional={"base_path": BASES, "is_default": st.sampled_from([True, False, "false", "", 1, 0, None])},
).flatmap(
    lambda head: st.dictionaries(KEYS, st.lists(LINES, max_size=4).map("\n".join), max_size=4).map(
        lambda body: {**head, **body}
    )
)
FILES = st.dictionaries(st.text("abc", min_size=1), st.none() | BLOCKS, max_size=4)
# Unique paths, since ComfyUI's own table never lists one twice.
AFTER = st.lists(
    st.tuples(
        st.sampled_from(["loras", "vae", "text_encoders"]), st.sampled_from(["/abs/a", "/srv/a", "/old"])
    ),
    unique=True,
    max_size=5,
)

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.dates()
    | st.datetimes()
    | st.binary()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS, inner, max_size=3),
    max_leaves=12,
)
NAMES = KEYS | st.sampled_from(["base_path", "is_default"]) | SCALARS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("yaml")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOTS_TEST", "/from/environment")


def model_of_comfyui(
    content: dict[str, Any], folder: str, table: dict[str, list[str]]
) -> dict[str, list[str]]:
    """The search paths ComfyUI ends up with, told step by step as its documentation of the format goes."""
    for block in content.values():
        settings = block or {}
        anchor = folder
        if "base_path" in settings:
            anchor = os.path.expandvars(os.path.expanduser(settings["base_path"]))
            anchor = anchor if anchor.startswith("/") else f"{folder}/{anchor}"
        for key, text in settings.items():
            if key in {"base_path", "is_default", "configs"}:
                continue
            paths = table.setdefault({"unet": "diffusion_models", "clip": "text_encoders"}.get(key, key), [])
            for line in text.split("\n"):
                path = os.path.normpath(line if line.startswith("/") else f"{anchor}/{line}")
                if line and settings.get("is_default"):
                    paths[:] = [path, *(other for other in paths if other != path)]
                elif line and path not in paths:
                    paths.append(path)
    return {kind: paths for kind, paths in table.items() if paths}


@given(content=FILES, after=AFTER)
def test_paths_are_listed_in_the_order_comfyui_searches_them(
    folder: Path, content: dict[str, Any], after: list[tuple[str, str]]
) -> None:
    path = folder / "paths.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    table: dict[str, list[str]] = {}
    for kind, place in after:
        table.setdefault(kind, []).append(place)
    expected = model_of_comfyui(content, str(folder), table)

    found = extra_paths_roots(str(path), after=[Root(kind, place, "user") for kind, place in after])

    actual: dict[str, list[str]] = {}
    for root in found.roots:
        actual.setdefault(root.type, []).append(root.path)
    assert actual == expected
    assert found.problems == ()
    assert all(root.any_file == (root.type == "LLM") for root in found.roots)


def read(path: Path, data: bytes) -> None:
    """Read whatever `data` is; anything but an MlibError goes on up and fails the test."""
    path.write_bytes(data)
    found, error = None, None
    try:
        found = extra_paths_roots(str(path))
    except MlibError as caught:
        error = caught
    if error is not None:
        assert error.code == "bad_yaml"
        assert error.message.startswith(f"{path}: ")
        assert "\n" not in error.message
    if found is not None:
        for problem in found.problems:
            assert problem.path == str(path)
            assert problem.message.isprintable()
        for root in found.roots:
            assert os.path.isabs(root.path)
            assert b"\0" not in os.fsencode(root.path)
        distinct(found.roots)


@given(data=st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_read_or_refused(folder: Path, data: bytes) -> None:
    read(folder / "bytes.yaml", data)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    text=st.lists(
        st.sampled_from(
            [
                *"ab:-[]{}&*<!|>'\"\\?%#,~0x19.\n \t",
                *("!!int ", "!!bool ", "!!timestamp ", "<<: ", ": ", "\n  ", "&a ", "*a ", "- "),
            ]
        ),
        max_size=40,
    ).map("".join)
)
@example(text="&a {base_path: x, b: *a}")
@example(text="a: !!timestamp x")
@example(text="a: !!float ''")
def test_any_text_that_looks_like_yaml_is_read_or_refused(folder: Path, text: str) -> None:
    read(folder / "text.yaml", text.encode())


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(value=st.dictionaries(NAMES, st.dictionaries(NAMES, VALUES, max_size=4) | VALUES, max_size=3) | VALUES)
def test_any_yaml_value_is_read_or_refused(folder: Path, value: object) -> None:
    read(folder / "value.yaml", yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "surrogatepass"))


@given(value=st.dictionaries(NAMES, VALUES, max_size=5))
def test_a_bad_block_never_costs_another_block_its_folders(folder: Path, value: object) -> None:
    path = folder / "blocks.yaml"
    path.write_bytes(yaml.safe_dump({"a": value, "z": {"mine": "/mnt/mine"}}).encode())
    assert "/mnt/mine" in [root.path for root in extra_paths_roots(str(path)).roots]


def find_from(start: str) -> object:
    return find_comfyui(start=start, environ={})


@pytest.mark.parametrize("call", [root_option, comfyui_roots, extra_paths_roots, find_from])
@given(text=st.text() | st.builds("{}={}".format, st.text(), st.text()))
@example(text="vae=~\0")
@example(text="vae=~\ud800")
@example(text="~\0")
def test_any_text_is_understood_or_refused(call: Callable[[str], object], text: str) -> None:
    with contextlib.suppress(MlibError):
        call(text)


@given(name=st.text())
def test_a_canonical_type_is_its_own_canonical_type(name: str) -> None:
    assert canonical_type(canonical_type(name)) == canonical_type(name)


@given(name=st.text(), any_file=st.booleans())
def test_a_model_where_extensions_count_is_one_where_any_file_counts(name: str, any_file: bool) -> None:
    if is_model_name(name, any_file=any_file):
        assert is_model_name(name, any_file=True)
        assert not name.startswith(".")
        assert os.path.splitext(name)[1] not in {"", "."}


PATHS = st.lists(st.sampled_from(["a", "a/b", "link", "link/b", "b", "other/../a", "gone"]), max_size=8)


@given(names=PATHS)
def test_distinct_keeps_the_first_of_each_directory_in_order(folder: Path, names: list[str]) -> None:
    (folder / "a/b").mkdir(parents=True, exist_ok=True)
    if not (folder / "link").is_symlink():
        (folder / "link").symlink_to("a")
    roots = [Root("vae", str(folder / name), f"number {index}") for index, name in enumerate(names)]
    kept = distinct(roots)
    places = [os.path.realpath(root.path) for root in kept]
    assert len(set(places)) == len(places)
    assert set(places) == {os.path.realpath(root.path) for root in roots}
    firsts = chain.from_iterable(
        [root] for i, root in enumerate(roots) if os.path.realpath(root.path) not in
        {os.path.realpath(earlier.path) for earlier in roots[:i]}
    )  # fmt: skip
    assert kept == tuple(firsts)
