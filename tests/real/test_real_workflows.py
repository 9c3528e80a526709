"""The official workflow templates and subgraph blueprints, all of them: what they need, and a library that
has it. The oracle knows nothing of nodes: it takes every text that ends like a model file."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.faults.machine import lacking
from tests.tools import mlib, write_model

from mlib.core.workflows.graph import WorkflowError
from mlib.core.workflows.mentions import read_contents, read_workflow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlib.core.workflows.needs import Need

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("real")]

PACKAGE = "comfyui-workflow-templates-json==0.1.123"
WORKFLOWS = 644
OTHERS = 16
BLUEPRINTS = "comfyui-subgraph-blueprints==0.0.13"
BLUEPRINT_COUNT = 115
#: Declared here and not taken over from the code that is tested.
MODEL_FILE = re.compile(r"[^/\\\s]+\.(?:safetensors|sft|ckpt|pt2?|pth|bin|pkl|gguf|onnx)", re.IGNORECASE)


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of templates; MLIB_TEST_CACHE keeps it. Without a network it skips, but not in CI."""
    return _downloaded(tmp_path_factory, PACKAGE, "templates", WORKFLOWS + OTHERS)


@pytest.fixture(scope="session")
def blueprints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of subgraph blueprints, likewise."""
    return _downloaded(tmp_path_factory, BLUEPRINTS, "blueprints", BLUEPRINT_COUNT)


def _downloaded(tmp_path_factory: pytest.TempPathFactory, package: str, name: str, count: int) -> Path:
    kept = os.environ.get("MLIB_TEST_CACHE")
    folder = Path(kept or tmp_path_factory.mktemp("workflows")) / name
    if len(list(folder.glob("*.json"))) == count:
        return folder
    wheels = tmp_path_factory.mktemp("wheels")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    try:
        subprocess.run(
            [*pip, "--no-deps", "--only-binary", ":all:", "--dest", wheels, package],
            check=True,
            capture_output=True,
        )
    except subprocess.CalledProcessError as error:
        lacking(f"the package index cannot be reached: {error.stderr.decode()[-200:]}")
    folder.mkdir(parents=True, exist_ok=True)
    [wheel] = wheels.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            if f"/{name}/" in member and member.endswith(".json"):
                (folder / os.path.basename(member)).write_bytes(archive.read(member))
    return folder


@pytest.fixture(scope="session")
def needs(templates: Path) -> dict[str, tuple[Need, ...]]:
    """What each template needs."""
    found: dict[str, tuple[Need, ...]] = {}
    codes = set()
    for path in sorted(templates.iterdir()):
        content = path.read_bytes()
        try:
            found[path.name] = read_workflow(io.BytesIO(content), len(content))
        except WorkflowError as error:
            codes.add(error.code)
    assert codes == {"not_a_workflow"}
    return found


def test_every_template_is_read_and_nothing_else_is(
    templates: Path, needs: dict[str, tuple[Need, ...]]
) -> None:
    assert len(needs) == WORKFLOWS
    others = {path.name for path in templates.iterdir()} - needs.keys()
    assert len(others) == OTHERS
    assert all(name.startswith(("index", "fuse_options")) for name in others)


def test_they_need_what_they_declare(needs: dict[str, tuple[Need, ...]]) -> None:
    every = [need for found in needs.values() for need in found]
    assert sum(map(bool, needs.values())) == 261
    assert len({(need.type, need.name) for need in every}) == 354
    assert len({need.url for need in every}) == 389
    assert len([need for need in every if need.hash]) == 18
    assert all(need.url and need.url.startswith("https://huggingface.co/") for need in every)
    assert all(need.name.endswith(".safetensors") and need.form == "file" for need in every)
    # 1,204 entries are declared; those that say the same in one template are one need.
    assert len(every) == 999
    assert Counter(need.type for need in every) == {
        "text_encoders": 280, "diffusion_models": 228, "vae": 214, "loras": 130, "checkpoints": 63,
        "clip_vision": 24, "latent_upscale_models": 16, "geometry_estimation": 11, "model_patches": 8,
        "controlnet": 6, "audio_encoders": 4, "background_removal": 4, "upscale_models": 4, "embeddings": 3,
        "style_models": 1, "detection": 1, "frame_interpolation": 1, "optical_flow": 1,
    }  # fmt: skip


def test_the_nodes_tell_the_same_types_as_the_declarations(templates: Path) -> None:
    """The table of loaders must not disagree with the templates' own word."""
    for path in sorted(templates.iterdir()):
        text = path.read_text()
        if '"models"' not in text or '"nodes"' not in text:
            continue
        content = json.dumps(_without_declarations(json.loads(text))).encode()
        declared = read_workflow(io.BytesIO(text.encode()), len(text.encode()))
        alone = read_workflow(io.BytesIO(content), len(content))
        assert {(need.name, need.type) for need in alone} == {(need.name, need.type) for need in declared}, (
            path
        )


def test_every_text_that_ends_like_a_model_file_is_a_need_and_nothing_else_is(
    templates: Path, blueprints: Path
) -> None:
    looked_at = 0
    for path in sorted([*templates.iterdir(), *blueprints.iterdir()]):
        content = path.read_bytes()
        try:
            found = read_contents(io.BytesIO(content), len(content))
        except WorkflowError:
            continue
        looked_at += 1
        document = json.loads(content)
        said = {
            _normal(text) for text in _texts(_what_is_loaded(document)) if MODEL_FILE.fullmatch(_normal(text))
        }
        assert {_normal(need.name) for need in found.needs} == said, path
        # `unused` takes whatever any text holds: notes, links and what older versions left in the file too.
        heard = "\n".join([*found.mentions.endings, ""])
        for text in _texts(_without_sockets(document)):
            for match in MODEL_FILE.finditer(text):
                assert f"{match[0]}\n" in heard, path
    assert looked_at == WORKFLOWS + BLUEPRINT_COUNT


def _what_is_loaded(value: object) -> object:
    """A workflow without notes, and without what its files keep of earlier versions."""
    if isinstance(value, dict):
        if value.get("type") in {"Note", "MarkdownNote"}:
            return None
        kept = (key for key in value if key not in {"extra", "widgets_values_named"})
        return {key: _what_is_loaded(value[key]) for key in kept}
    return [_what_is_loaded(inner) for inner in value] if isinstance(value, list) else value


def _without_sockets(value: object) -> object:
    """A workflow without the lists of all that could be chosen, which old files keep at inputs and links."""
    if isinstance(value, dict):
        kept = (key for key in value if key not in {"inputs", "outputs", "links"})
        return {key: _without_sockets(value[key]) for key in kept}
    return [_without_sockets(inner) for inner in value] if isinstance(value, list) else value


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


def _normal(name: str) -> str:
    return name if "://" in name else name.replace("\\", "/").rpartition("/")[2]


def _without_declarations(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_declarations(inner) for key, inner in value.items() if key != "models"}
    return [_without_declarations(inner) for inner in value] if isinstance(value, list) else value


def test_a_library_that_has_it_all_lacks_nothing_and_leaves_only_the_rest_unused(
    templates: Path, needs: dict[str, tuple[Need, ...]], tmp_path: Path, library_path: Path
) -> None:
    wanted = {(need.type, need.name) for found in needs.values() for need in found}
    models = tmp_path / "ComfyUI" / "models"
    for kind, name in wanted:
        write_model(models / str(kind) / name, f"{kind}/{name}")
    spare = write_model(models / "loras" / "spare.safetensors")
    mlib("scan", "--comfyui", tmp_path / "ComfyUI", library=library_path)
    files = [templates / name for name in needs]
    report = mlib("workflow", "check", "--bypassed", "--json", *files, library=library_path).json
    assert {key: report[key] for key in ("found", "ambiguous", "missing")} == {
        "found": 354, "ambiguous": 0, "missing": 0,
    }  # fmt: skip
    told = mlib("unused", "--workflows", templates, "--json", library=library_path).json
    assert [model["sha256"] for model in told["models"]] == [spare]
    assert (told["workflows"], told["others"], told["examined"]) == (WORKFLOWS, OTHERS, 355)
