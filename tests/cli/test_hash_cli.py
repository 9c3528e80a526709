"""`mlib hash`: every hash of any file, and those of models kept."""

from __future__ import annotations

import hashlib
import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from blake3 import blake3
from tests.faults.machine import require
from tests.inprocess import mlib_here
from tests.libraries import dump, put_pending, scan_roots, snapshot
from tests.terminal import BOLD, PLAIN, on_terminal, steering
from tests.tools import Result, mlib, safetensors, write_bytes, write_model
from xxhash import xxh3_128_hexdigest

if TYPE_CHECKING:
    from mlib.db.library import Library

MIB = 1 << 20
NAMES = ["sha256", "autov1", "autov2", "autov3", "sha256_12", "crc32", "blake3", "xxh3_128"]
UNREADABLE = "/proc/self/mem"
WITHOUT_RIGHTS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")


def by_hand(content: bytes) -> dict[str, str | None]:
    """Every hash as the world defines it."""
    sha256 = hashlib.sha256(content).hexdigest()
    tensors = content[8 + int.from_bytes(content[:8], "little") :]
    big = len(content) >= 2 * MIB
    return {
        "sha256": sha256,
        "autov1": hashlib.sha256(content[MIB : MIB + 65536]).hexdigest()[:8] if big else None,
        "autov2": sha256[:10],
        "autov3": hashlib.sha256(tensors).hexdigest()[:12],
        "sha256_12": sha256[:12],
        "crc32": zlib.crc32(content).to_bytes(4, "little").hex(),
        "blake3": blake3(content).hexdigest(),
        "xxh3_128": xxh3_128_hexdigest(content),
    }


@pytest.fixture
def mira(tmp_path: Path) -> Path:
    """A model file that no library knows."""
    write_bytes(tmp_path / "m" / "mira.safetensors", safetensors("mira", size=2 * MIB))
    return tmp_path / "m" / "mira.safetensors"


@pytest.fixture
def models(library: Library, tmp_path: Path) -> list[str]:
    """Two models of a library, of which no hash but the SHA-256 and xxh3 is kept, the smaller first."""
    made = [write_model(tmp_path / "r" / f"{n}.safetensors", size=64 * n) for n in (1, 2)]
    scan_roots(library, f"loras={tmp_path}/r")
    with library.transaction():
        library.execute("DELETE FROM hashes", [])
    return made


def hashed(result: Result) -> list[str]:
    return [document["sha256"] for document in result.json["hashed"]]


class TestFile:
    def test_has_every_hash_and_no_library_is_made(self, tmp_path: Path, mira: Path) -> None:
        before = snapshot(tmp_path)
        done = mlib("hash", mira, "--json", env={"MLIB_LIBRARY": str(tmp_path / "none/library.db")})
        assert done.json == {"hashed": [{"path": str(mira), **by_hand(mira.read_bytes())}], "problems": []}
        assert done.err == ""
        assert snapshot(tmp_path) == before

    def test_in_a_pipe_is_a_row_a_hash(self, mira: Path) -> None:
        rows = [line.split("\t") for line in mlib_here("hash", mira).out.splitlines()]
        assert rows == [[name, value, str(mira)] for name, value in by_hand(mira.read_bytes()).items()]
        assert [row[0] for row in rows] == NAMES

    def test_without_an_autov1_has_an_empty_cell_a_null_and_a_dash(self, tmp_path: Path) -> None:
        path = tmp_path / "small.bin"
        write_bytes(path, b"small")
        assert f"autov1\t\t{path}\n" in mlib_here("hash", path).out
        (document,) = mlib_here("hash", path, "--json").json["hashed"]
        assert document["autov1"] is document["autov3"] is None
        _, page = on_terminal("hash", path, library="/nowhere", env={"NO_COLOR": "1"})
        assert "  autov1       -\n" in page

    def test_quiet_is_its_sha256(self, tmp_path: Path, mira: Path) -> None:
        other = write_model(tmp_path / "other.safetensors")
        done = mlib_here("hash", "-q", mira, tmp_path / "other.safetensors")
        assert done.out == f"{by_hand(mira.read_bytes())['sha256']}\n{other}\n"

    def test_named_twice_is_hashed_once(self, mira: Path) -> None:
        assert len(mlib_here("hash", mira, mira, "--json").json["hashed"]) == 1

    def test_in_a_folder_that_nobody_may_write_to(self, mira: Path) -> None:
        require("setpriv")
        mira.parent.chmod(0o555)
        try:
            done = mlib("hash", "-q", mira.name, prefix=WITHOUT_RIGHTS, cwd=mira.parent)
        finally:
            mira.parent.chmod(0o755)
        assert done.out.strip() == by_hand(mira.read_bytes())["sha256"]

    def test_in_a_library_changes_nothing_there(
        self, library: Library, models: list[str], tmp_path: Path
    ) -> None:
        before = snapshot(tmp_path)
        done = mlib("hash", tmp_path / "r/1.safetensors", "--json", library=Path(library.path))
        assert hashed(done) == models[:1]
        assert snapshot(tmp_path) == before

    def test_none_on_standard_input_is_nothing_to_say(self, library: Library) -> None:
        done = mlib_here("hash", "-", library=Path(library.path), stdin=b"")
        assert (done.out, done.err) == ("", "")

    def test_before_a_model_of_the_same_name(
        self, library: Library, models: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = write_model(tmp_path / "here/1.safetensors", "another")
        monkeypatch.chdir(tmp_path / "here")
        assert hashed(mlib_here("hash", "1.safetensors", "--json", library=Path(library.path))) == [other]
        monkeypatch.chdir(tmp_path)
        done = mlib_here("hash", "1.safetensors", "--json", library=Path(library.path))
        assert hashed(done) == models[:1]

    @pytest.mark.parametrize("digits", [4, 10, 64])
    def test_by_a_ref_is_one_of_the_models_files(
        self, library: Library, models: list[str], digits: int
    ) -> None:
        before = dump(library.path)
        done = mlib_here("hash", models[1][:digits].upper(), "--json", library=Path(library.path))
        assert hashed(done) == models[1:]
        assert dump(library.path) == before

    def test_refs_from_standard_input(self, library: Library, models: list[str]) -> None:
        refs = "\n".join(models).encode()
        assert hashed(mlib_here("hash", "-", "--json", library=Path(library.path), stdin=refs)) == models


class TestPage:
    @pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
    def test_fits_80_columns(self, mira: Path, env: dict[str, str]) -> None:
        code, page = on_terminal("hash", "-q", mira, library="/nowhere", env=env)
        assert (code, page.split()[-1]) == (0, by_hand(mira.read_bytes())["sha256"])
        code, page = on_terminal("hash", mira, library="/nowhere", env=env)
        lines = page[page.rindex(str(mira)) :].splitlines()
        assert [line.split()[0] for line in lines[1:]] == NAMES
        assert max(map(len, lines[1:])) <= 80
        assert steering("\n".join(lines)) == set()

    def test_heading_is_bold(self, mira: Path) -> None:
        _, page = on_terminal("hash", mira, library="/nowhere")
        assert f"{BOLD}{mira}{PLAIN}" in page

    @pytest.mark.parametrize("words", [[], ["--json"], ["-q"]])
    def test_no_name_steers_the_terminal(self, tmp_path: Path, words: list[str]) -> None:
        path = tmp_path / os.fsdecode(b"\x1b]0;title\x07\x9b31m\xff\xe2\x80\xae[red].bin")
        write_bytes(path, b"small")
        out = mlib_here("hash", path, *words).out
        assert steering(out) == set()
        assert len(out) > 60
        os.rename(path, tmp_path / os.fsdecode(b"\x1b[31mgone"))
        failed = mlib_here("hash", path, *words, code=5)
        assert steering(failed.err) == set()


class TestAll:
    def test_keeps_the_hashes_so_that_each_finds_the_model(
        self, library: Library, models: list[str], tmp_path: Path
    ) -> None:
        at = Path(library.path)
        assert hashed(mlib_here("hash", "--all", "--json", library=at)) == models
        known = by_hand((tmp_path / "r/1.safetensors").read_bytes())
        for name in ("autov3", "crc32", "blake3"):
            value = known[name]
            assert value is not None
            assert mlib_here("show", value.upper(), "-q", library=at).out == f"{models[0]}\n"
            assert mlib_here("show", models[0], "--field", name, library=at).out == f"{value}\n"
        turned = bytes.fromhex(known["crc32"] or "")[::-1].hex()
        assert mlib_here("show", f"0x{turned}", "-q", library=at).out == f"{models[0]}\n"

    def test_goes_on_where_it_was_left(self, library: Library, models: list[str]) -> None:
        at = Path(library.path)
        assert hashed(mlib_here("hash", "--all", models[0], "--json", library=at)) == models[:1]
        assert hashed(mlib_here("hash", "--all", "--json", library=at)) == models[1:]
        assert mlib_here("hash", "--all", "--json", library=at).json == {"hashed": [], "problems": []}

    def test_a_dry_run_tells_them_and_keeps_nothing(self, library: Library, models: list[str]) -> None:
        at = Path(library.path)
        before = dump(at)
        assert hashed(mlib_here("hash", "--all", "-n", "--json", library=at)) == models
        assert dump(at) == before

    def test_with_nothing_left_to_do_says_so(self, library: Library, models: list[str]) -> None:
        at = Path(library.path)
        assert mlib_here("hash", "--all", "-q", library=at).out == "".join(f"{sha256}\n" for sha256 in models)
        done = mlib_here("hash", "--all", library=at)
        assert (done.out, done.err) == ("", "all hashes are up to date\n")
        assert mlib_here("hash", "--all", "-q", library=at).err == ""
        assert mlib_here("hash", "--all", "--query", "nothing", library=at).err == "no models found\n"

    def test_of_an_empty_library_is_nothing(self, library: Library) -> None:
        assert mlib_here("hash", "--all", "--json", library=Path(library.path)).json["hashed"] == []

    def test_a_file_that_is_missing_changed_or_unreadable_is_a_problem(
        self, library: Library, models: list[str], tmp_path: Path
    ) -> None:
        require("setpriv")
        shut = write_model(tmp_path / "r/shut.safetensors")
        whole = write_model(tmp_path / "r/whole.safetensors")
        scan_roots(library)
        (tmp_path / "r/1.safetensors").unlink()
        write_model(tmp_path / "r/2.safetensors", "changed", size=128)
        (tmp_path / "r/shut.safetensors").chmod(0)
        words = ("hash", "--all", "--json", *models, shut, whole)
        done = mlib(*words, library=Path(library.path), code=3, prefix=WITHOUT_RIGHTS)
        assert hashed(done) == [whole]
        assert [(Path(each["path"]).name, each["code"]) for each in done.json["problems"]] == [
            ("1.safetensors", "no_file"),
            ("2.safetensors", "changed"),
            ("shut.safetensors", "unreadable"),
        ]
        assert len(done.err.splitlines()) == 3
        assert all(line.startswith("problem: ") for line in done.err.splitlines())

    def test_of_a_pending_import_is_wrong_usage(self, library: Library) -> None:
        put_pending(library)
        failed = mlib_here("hash", "--all", "pending:1", library=Path(library.path), code=2)
        assert failed.err.startswith("error: cannot store hashes of a pending import")


class TestBadInput:
    @pytest.mark.parametrize(
        ("words", "code", "error"),
        [
            (["hash"], 2, "no_files"),
            (["hash", "/nothing/there"], 5, "no_such_path"),
            (["hash", "nothing"], 5, "no_such_path"),
            (["hash", "/"], 1, "not_a_file"),
            (["hash", "/dev/null"], 1, "not_a_file"),
            (["hash", "--all"], 5, "no_library"),
            (["hash", "--all", "abcd"], 5, "no_library"),
            (["hash", "\x1b[31m"], 5, "no_such_path"),
        ],
    )
    def test_without_a_library_is_one_line(
        self, tmp_path: Path, words: list[str], code: int, error: str
    ) -> None:
        at = tmp_path / "none/library.db"
        failed = mlib_here(*words, library=at, code=code)
        assert failed.out == ""
        assert failed.err.startswith("error: ")
        assert len(failed.err.splitlines()) <= 2
        assert steering(failed.err) == set()
        assert mlib_here(*words, "--json", library=at, code=code).error["code"] == error
        assert not at.parent.exists()

    def test_with_a_library_may_be_no_model_either(self, library: Library) -> None:
        failed = mlib_here("hash", "nothing", "--json", library=Path(library.path), code=5)
        assert failed.error["code"] == "model_not_found"

    def test_a_model_that_is_missing_has_no_file(
        self, library: Library, models: list[str], tmp_path: Path
    ) -> None:
        (tmp_path / "r/1.safetensors").unlink()
        scan_roots(library)
        failed = mlib_here("hash", models[0], "--json", library=Path(library.path), code=5)
        assert failed.error["code"] == "no_file"

    def test_a_fifo_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        assert "not a file" in mlib("hash", tmp_path / "fifo", code=1, timeout=10).err

    def test_what_is_no_file_among_all_names_of_a_folder_is_a_problem(self, mira: Path) -> None:
        """`mlib hash *`."""
        folder = mira.parent
        (folder / "a folder").mkdir()
        os.mkfifo(folder / "fifo")
        (folder / "link").symlink_to("nowhere")
        names = sorted(folder.iterdir())
        done = mlib("hash", *names, "--json", code=3, timeout=20)
        assert hashed(done) == [by_hand(mira.read_bytes())["sha256"]]
        assert [(each["path"], each["code"]) for each in done.json["problems"]] == [
            (str(folder / "a folder"), "not_a_file"),
            (str(folder / "fifo"), "not_a_file"),
            (str(folder / "link"), "no_such_path"),
        ]
        assert done.err.splitlines() == [
            f"problem: not a file: {folder / 'a folder'}",
            f"problem: not a file: {folder / 'fifo'}",
            f"problem: no such file: {folder / 'link'}",
        ]
        assert mlib_here("hash", "-q", *names, code=3).out.strip() == hashed(done)[0]

    def test_a_file_that_cannot_be_read_is_a_problem_beside_the_others(self, mira: Path) -> None:
        done = mlib_here("hash", UNREADABLE, mira, "--json", code=3)
        assert hashed(done) == [by_hand(mira.read_bytes())["sha256"]]
        assert [(each["path"], each["code"]) for each in done.json["problems"]] == [
            (UNREADABLE, "unreadable")
        ]
        alone = mlib_here("hash", UNREADABLE, code=3)
        assert (alone.out, len(alone.err.splitlines())) == ("", 1)
