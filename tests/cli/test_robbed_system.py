"""Every command that can work does so without locks, descriptors of directories and owners; moves refuse.

`tests/data/robbed/sitecustomize.py` takes from a Python on Linux what one on Windows does not have.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.tools import Result, write_model
from tests.tools import mlib as mlib_whole

from mlib.core.errors import FAILED

if TYPE_CHECKING:
    from collections.abc import Mapping

ROBBED = Path(__file__).parent.parent / "data" / "robbed"
MISSING = ("O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK", "geteuid", "getuid", "posix_fadvise")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="is robbed of what Linux has")


class Shelf:
    """Two models, one of them in two files, and a library of its own."""

    def __init__(self, home: Path) -> None:
        self.models, self.library, self.home = home / "models", home / "library.db", home
        self.a, self.b, self.twin = (
            self.models / name for name in ("a.safetensors", "b.safetensors", "sub/b.safetensors")
        )
        for path, seed in ((self.a, "a"), (self.b, "b"), (self.twin, "b")):
            write_model(path, seed)

    def mlib(self, *words: str | os.PathLike[str], code: int = 0, stdin: bytes | None = None) -> Result:
        return mlib_whole(*words, library=self.library, code=code, env=_env(), stdin=stdin)

    def files(self) -> Mapping[str, tuple[bytes, int]]:
        return {
            str(path): (path.read_bytes(), path.stat().st_ino)
            for path in self.models.rglob("*")
            if path.is_file()
        }


def _env() -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join([str(ROBBED), *filter(None, [os.environ.get("PYTHONPATH")])])}


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    shelf = Shelf(tmp_path)
    shelf.mlib("scan", "--root", f"loras={shelf.models}")
    return shelf


def test_the_interpreter_is_robbed(tmp_path: Path) -> None:
    import subprocess

    text = (
        "import os\n"
        f"assert not [name for name in {MISSING} if hasattr(os, name)]\n"
        "for what in (lambda: __import__('fcntl'), lambda: os.open('.', os.O_RDONLY),\n"
        "             lambda: os.scandir(0), lambda: os.stat('.', dir_fd=0),\n"
        "             lambda: os.unlink('x', dir_fd=0)):\n"
        "    try:\n        what()\n"
        "    except (ImportError, PermissionError, NotImplementedError):\n        continue\n"
        "    raise SystemExit('not robbed')\n"
    )
    subprocess.run([sys.executable, "-c", text], check=True, env={**os.environ, **_env()}, cwd=tmp_path)


class TestWhatReads:
    def test_scan_finds_what_is_there_and_what_is_new_and_missing(self, shelf: Shelf) -> None:
        assert len(shelf.mlib("list", "--json").json) == 2
        write_model(shelf.models / "c.safetensors", "c")
        (shelf.models / "linked").symlink_to(shelf.models)  # a loop
        os.mkfifo(shelf.models / "pipe.safetensors")
        shelf.a.unlink()
        told = shelf.mlib("scan", "--json").json
        assert (told["added"], told["missing"]) == (1, 1), told

    @pytest.mark.parametrize(
        "words",
        [
            ["show", "a.safetensors", "--json"],
            ["list", "--paths"],
            ["stats", "--json"],
            ["log", "--json"],
            ["roots", "--json"],
            ["missing", "--json"],
            ["pending", "--json"],
            ["duplicates", "--json"],
            ["hash", "a.safetensors", "--json"],
            ["verify", "--json"],
            ["doctor", "--json"],
            ["export", "--json"],
        ],
        ids=" ".join,
    )
    def test_it_says_the_same(self, shelf: Shelf, words: list[str]) -> None:
        robbed = shelf.mlib(*words)
        whole = mlib_whole(*words, library=shelf.library)
        assert robbed.err == whole.err
        if words[0] not in {"verify", "export", "doctor"}:  # which name the moment, and the free space
            assert robbed.out == whole.out

    def test_inspect_reads_a_file(self, shelf: Shelf) -> None:
        words = ["inspect", str(shelf.a), "--json"]
        assert shelf.mlib(*words).json == mlib_whole(*words, library=shelf.library).json

    def test_verify_sees_rot(self, shelf: Shelf) -> None:
        status = shelf.a.stat()
        content = bytearray(shelf.a.read_bytes())
        content[-1] ^= 1
        shelf.a.write_bytes(content)
        os.utime(shelf.a, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert b"rotten" in shelf.mlib("verify", "--deep", "--json", code=3).stdout


class TestWhatWrites:
    def test_update_and_undo(self, shelf: Shelf) -> None:
        shelf.mlib("update", "a.safetensors", "--notes", "mine", "--tag", "style")
        assert shelf.mlib("show", "a.safetensors", "--field", "notes").out.strip() == "mine"
        shelf.mlib("tags", "delete", "style", "--yes")
        shelf.mlib("undo")
        shelf.mlib("undo")
        assert shelf.mlib("show", "a.safetensors", "--field", "notes").out.strip() == ""

    def test_a_backup_restores(self, shelf: Shelf) -> None:
        shelf.mlib("update", "a.safetensors", "--notes", "mine")
        shelf.mlib("backup")
        shelf.mlib("update", "a.safetensors", "--notes", "other")
        shelf.mlib("restore", "--latest", "--yes")
        assert shelf.mlib("show", "a.safetensors", "--field", "notes").out.strip() == "mine"

    def test_an_export_is_written_replaced_and_imported(self, shelf: Shelf) -> None:
        shelf.mlib("update", "a.safetensors", "--notes", "mine")
        out = shelf.home / "out.jsonl"
        shelf.mlib("export", "-o", out)
        shelf.mlib("export", "-o", out, code=4)
        before = out.read_bytes()
        shelf.mlib("update", "a.safetensors", "--notes", "newer")
        shelf.mlib("export", "-o", out, "--yes")
        assert out.read_bytes() != before
        assert not list(shelf.home.glob(".mlib-*"))
        other = shelf.home / "other.db"
        for words in (["scan", "--root", f"loras={shelf.models}"], ["import", "--from", str(out)]):
            mlib_whole(*words, library=other, env=_env())
        shown = mlib_whole("show", "a.safetensors", "--field", "notes", library=other, env=_env())
        assert shown.out.strip() == "newer"

    def test_a_library_is_imported(self, shelf: Shelf) -> None:
        """By way of `untrusted`, which opens other people's databases."""
        other = shelf.home / "other.db"
        shelf.mlib("update", "a.safetensors", "--notes", "mine")
        result = mlib_whole("import", "--from", shelf.library, "--json", library=other, env=_env(), code=None)
        whole = mlib_whole(
            "import", "--from", shelf.library, "--json", library=shelf.home / "w.db", code=None
        )
        assert (result.code, result.err) == (whole.code, whole.err)

    def test_sidecars_are_written_and_replaced(self, shelf: Shelf) -> None:
        for notes in ("one", "two"):
            shelf.mlib("update", "a.safetensors", "--notes", notes)
            shelf.mlib("export", "--sidecars", "--yes")
            assert notes in shelf.a.with_suffix(".metadata.json").read_text()
        assert not list(shelf.models.rglob(".mlib-*"))


@pytest.mark.parametrize("more", [[], ["--dry-run"]], ids=["done", "dry run"])
@pytest.mark.parametrize(
    "words",
    [
        ["mv", "a.safetensors", "sub/"],
        ["rename", "a.safetensors", "z.safetensors"],
        ["trash", "a.safetensors"],
        ["duplicates", "--trash", "--keep", "oldest"],
        ["duplicates", "--hardlink", "--keep", "oldest"],
    ],
    ids=" ".join,
)
def test_what_moves_or_removes_files_refuses(shelf: Shelf, words: list[str], more: list[str]) -> None:
    before = shelf.files()
    words = [str(shelf.models / word) if word == "sub/" else word for word in words]
    yes = ["--yes"] if words[0] in {"trash", "duplicates"} and not more else []
    error: dict[str, Any] = shelf.mlib(*words, *yes, *more, "--json", code=FAILED.exit_code).error
    assert error["code"] == "cannot_move_safely"
    assert shelf.files() == before
