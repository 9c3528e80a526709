"""Print what scripts see of every command on the sample tree: `python tests/golden.py > FILE`.

Two runs are compared with diff(1): before a change that must change nothing, and after it. Exit codes and
JSON documents are printed as they are, but for times, durations and the folder that the run works in.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SAMPLE = Path(__file__).parent / "data" / "ComfyUI"
LONG_AGO = 1_700_000_000

#: One command line each, in this order; what fails on purpose is here too.
SCRIPT = r"""
list --json
scan -n --comfyui ComfyUI --json
scan --comfyui ComfyUI --json
scan --json
scan -q
scan nowhere --json
list --json
list type:loras --json
list -q
list --paths
list --jsonl
list 'size:>' --json
list --format '{name}|{type}|{files}'
show watercolor.safetensors --json
show watercolor.safetensors
show watercolor.safetensors --meta --json
show watercolor.safetensors --field sha256
show nothing-such --json
show zz --json
update watercolor.safetensors --tag style --tag 'water colour' --notes 'wet' --set source=forum -n --json
update watercolor.safetensors --tag style --tag 'water colour' --notes 'wet' --set source=forum --json
update watercolor.safetensors --tag style --json
update watercolor.safetensors --json
update watercolor.safetensors --type nonsense --json
update --query type:checkpoints --tag base -q
tags --json
tags rename style look --json
list tag:look --json
tags delete look --json
tags delete look -y --json
log --json
log watercolor.safetensors --json
undo -n --json
undo --json
undo --json
stats --json
stats --by type --json
inspect ComfyUI/models/loras/watercolor.safetensors ComfyUI/models/loras/cut_short.safetensors --json
hash watercolor.safetensors --json
hash ComfyUI/models/vae/tiny_vae.safetensors --json
verify --json
duplicates --json
duplicates --hardlink --keep oldest -n --json
duplicates --trash --keep oldest --json
missing --json
roots --json
roots add loras=more --json
export --json
export -o out.jsonl --json
export --format csv
export --sidecars -n --json
pending --json
import --json
import --from out.jsonl -n --json
import --sidecars -n --json
clean-meta -n --json
clean-meta --json
workflow check ComfyUI/user/default/workflows --json
workflow check nowhere.json --json
unused --workflows ComfyUI/user/default/workflows --json
rename ComfyUI/models/loras/watercolor.safetensors aquarelle.safetensors -n --json
rename ComfyUI/models/loras/watercolor.safetensors aquarelle.safetensors --json
mv aquarelle.safetensors ComfyUI/models/loras/wet -n --json
mv aquarelle.safetensors ComfyUI/models/loras/wet --json
trash aquarelle.safetensors -n --json
trash aquarelle.safetensors --json
trash aquarelle.safetensors -y --json
scan --json
missing --json
prune --missing-for 90d -n --json
prune --missing-for 0d -y --json
forget aquarelle.safetensors -y --json
backup --json
backup copy.db --json
restore --json
restore copy.db -y --json
doctor --json
help
help query
--version
frobnicate
list --frobnicate --json
""".strip().splitlines()

_TIMES = (
    (re.compile(rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?Z?"), b"TIME"),
    (re.compile(rb"\d{8}T\d{6}(\.\d+)?Z"), b"TIME"),
    (
        re.compile(rb'"(seconds|age_seconds|at|hashed_at|verified_at|mtime|device|inode)": ?[\d.]+'),
        rb'"\1": TIME',
    ),
    (re.compile(rb"\b\d+\.\d+ s\b"), b"TIME"),
    (re.compile(rb"[\d,]+ bytes free"), b"SPACE"),
)


def main() -> None:
    """Run the script in a home of its own and print what it gave."""
    with tempfile.TemporaryDirectory(prefix="mlib-golden-") as home:
        shutil.copytree(SAMPLE, Path(home) / "ComfyUI")
        for path in (Path(home) / "ComfyUI").rglob("*"):
            os.utime(path, (LONG_AGO, LONG_AGO))
        environment = {
            "HOME": home,
            "PATH": os.environ["PATH"],
            "LC_ALL": "C.UTF-8",
            "COLUMNS": "100",
            "PYTHONPATH": str(Path(__file__).parent.parent / "src"),
        }
        for line in SCRIPT:
            done = subprocess.run(
                [sys.executable, "-m", "mlib", *shlex.split(line)],
                cwd=home,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=120,
            )
            sys.stdout.buffer.write(f"$ mlib {line}\n".encode())
            for stream in (done.stdout, done.stderr if done.stderr.startswith(b"{") else b""):
                sys.stdout.buffer.write(_normal(stream, home))
            sys.stdout.buffer.write(f"= {done.returncode}\n".encode())


def _normal(text: bytes, home: str) -> bytes:
    text = text.replace(home.encode(), b"HOME")
    for pattern, word in _TIMES:
        text = pattern.sub(word, text)
    return text


if __name__ == "__main__":
    main()
