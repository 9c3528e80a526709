"""The sample tree in the repository is what its generator makes, and a scan finds in it what it should."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.data.make_sample import sample_files

from mlib.services.scanning.request import ScanRequest
from mlib.services.scanning.run import scan

if TYPE_CHECKING:
    from mlib.db.library import Library

SAMPLE = Path(__file__).parent.parent / "data" / "ComfyUI"


def test_the_committed_tree_is_what_the_generator_makes() -> None:
    committed = {
        str(path.relative_to(SAMPLE)): path.read_bytes() for path in SAMPLE.rglob("*") if path.is_file()
    }
    assert committed == sample_files()


def test_a_scan_of_it_finds_each_model_once_under_its_type(library: Library) -> None:
    report = scan(library, ScanRequest(comfyui=[str(SAMPLE)]))
    assert (report.counts["added"], report.counts["copied"], len(report.skipped)) == (11, 1, 3)
    assert not report.problems
    types = library.all("SELECT type, count(*) FROM models GROUP BY type ORDER BY type")
    assert types == [
        ("checkpoints", 3),
        ("diffusion_models", 1),
        ("embeddings", 1),
        ("face_restore", 1),
        ("loras", 2),
        ("text_encoders", 1),
        ("upscale_models", 1),
        ("vae", 1),
    ]
