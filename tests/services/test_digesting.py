"""Every hash of any file, and those of models kept as soon as they are known."""

from __future__ import annotations

import hashlib
import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from blake3 import blake3
from tests.libraries import SHA, dump, known_file, put_files, put_model, snapshot
from tests.tools import safetensors, write_bytes, write_model

from mlib.core.disk.storage import RETRIES
from mlib.core.errors import MlibError, NotFound
from mlib.core.events import HashingAdvanced, HashingStarted
from mlib.core.hashes import Hashes, compute
from mlib.core.records import OtherHashes
from mlib.db import contents
from mlib.services.files import extra_hashes
from mlib.services.files.extra_hashes import digest_files, digest_models

if TYPE_CHECKING:
    from tests.services.shelf import Shelf

    from mlib.core.events import Event
    from mlib.services.files.extra_hashes import DigestReport

#: A regular file that says it is empty and whose first byte cannot be read, even by root.
UNREADABLE = "/proc/self/mem"
MIB = 1 << 20


def codes(report: DigestReport) -> list[tuple[str, str]]:
    return [(problem.path, problem.code) for problem in report.problems]


def expected(content: bytes, *, header: int | None) -> Hashes:
    """By their definitions; `header` is where the tensors begin."""
    return Hashes(
        sha256=hashlib.sha256(content).hexdigest(),
        autov1=hashlib.sha256(content[MIB : MIB + 65536]).hexdigest()[:8]
        if len(content) >= 2 * MIB
        else None,
        autov3=None if header is None else hashlib.sha256(content[header:]).hexdigest(),
        crc32=zlib.crc32(content).to_bytes(4, "little").hex(),
        blake3=blake3(content).hexdigest(),
        xxh3=digest_of(content),
    )


def digest_of(content: bytes) -> str:
    from xxhash import xxh3_128_hexdigest

    return xxh3_128_hexdigest(content)


def in_all_ways(content: bytes) -> Hashes:
    return expected(content, header=8 + int.from_bytes(content[:8], "little"))


class TestFiles:
    def test_every_hash_is_computed_and_nothing_is_written(self, tmp_path: Path) -> None:
        small, big = safetensors("a"), safetensors("b", size=2 * MIB)
        write_bytes(tmp_path / "a.safetensors", small)
        write_bytes(tmp_path / "b.safetensors", big)
        write_bytes(tmp_path / "c.gguf", b"no model")
        before = snapshot(tmp_path)
        paths = [str(tmp_path / name) for name in ("a.safetensors", "b.safetensors", "c.gguf")]
        report = digest_files(paths)
        assert [digest.path for digest in report.digests] == paths
        assert [digest.hashes for digest in report.digests] == [
            in_all_ways(small),
            in_all_ways(big),
            expected(b"no model", header=None),
        ]
        assert (report.digests[0].hashes.autov1, report.problems) == (None, [])
        assert snapshot(tmp_path) == before

    def test_a_relative_path_is_told_whole(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_model(tmp_path / "a.safetensors")
        monkeypatch.chdir(tmp_path)
        (digest,) = digest_files(["a.safetensors"]).digests
        assert digest.path == str(tmp_path / "a.safetensors")

    def test_one_that_cannot_be_read_is_a_problem_and_the_others_are_hashed(self, tmp_path: Path) -> None:
        sha256 = write_model(tmp_path / "a.safetensors")
        report = digest_files([UNREADABLE, str(tmp_path / "a.safetensors")])
        assert codes(report) == [(UNREADABLE, "unreadable")]
        assert [digest.hashes.sha256 for digest in report.digests] == [sha256]

    def test_one_that_keeps_changing_is_tried_again_and_then_a_problem(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tries = []
        monkeypatch.setattr(extra_hashes, "compute", lambda path, **_: tries.append(path))
        write_model(tmp_path / "a.safetensors")
        assert codes(digest_files([str(tmp_path / "a.safetensors")])) == [
            (str(tmp_path / "a.safetensors"), "changing")
        ]
        assert len(tries) == 1 + RETRIES

    @pytest.mark.parametrize("name", ["nothing", "link", "file/below", "a\0b", "\ud800"])
    def test_one_that_is_not_there_is_an_error_alone_and_a_problem_beside_others(
        self, tmp_path: Path, name: str
    ) -> None:
        sha256 = write_model(tmp_path / "file")
        (tmp_path / "link").symlink_to("nowhere")
        path = f"{tmp_path}/{name}"
        events: list[Event] = []
        with pytest.raises(NotFound) as caught:
            digest_files([path], emit=events.append)
        assert (caught.value.code, events) == ("no_such_path", [])
        report = digest_files([path, str(tmp_path / "file")])
        assert codes(report) == [(path, "no_such_path")]
        assert [digest.hashes.sha256 for digest in report.digests] == [sha256]

    def test_what_is_no_file_is_refused(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        for path in (tmp_path, tmp_path / "fifo", Path("/dev/zero")):
            with pytest.raises(MlibError) as caught:
                digest_files([str(path)])
            assert caught.value.code == "not_a_file"

    def test_progress_is_told(self, tmp_path: Path) -> None:
        write_model(tmp_path / "a.safetensors", size=3 * MIB)
        size = (tmp_path / "a.safetensors").stat().st_size
        events: list[Event] = []
        digest_files([str(tmp_path / "a.safetensors")], emit=events.append)
        assert events[0] == HashingStarted(1, size)
        assert all(isinstance(event, HashingAdvanced) for event in events[1:])

    def test_no_file_is_no_work(self) -> None:
        events: list[Event] = []
        assert digest_files([], emit=events.append).digests == []
        assert events == []


class TestModels:
    @pytest.fixture
    def models(self, shelf: Shelf) -> list[str]:
        """Three models, the smallest first; a scan kept no more than SHA-256 and xxh3 of them."""
        made = [
            write_model(shelf.loras / f"{name}.safetensors", size=size)
            for name, size in (("c", 64), ("b", 128), ("a", 2 * MIB))
        ]
        shelf.scan()
        with shelf.library.transaction():
            shelf.library.execute("DELETE FROM hashes", [])
        return made

    def test_all_are_computed_and_kept_the_smallest_first(self, shelf: Shelf, models: list[str]) -> None:
        report = digest_models(shelf.library, None)
        assert [digest.hashes.sha256 for digest in report.digests] == models
        for digest in report.digests:
            content = Path(digest.path or "").read_bytes()
            assert digest.hashes == in_all_ways(content)
            assert contents.hashes_of(shelf.library, digest.hashes.sha256) == OtherHashes(
                digest.hashes.autov1, digest.hashes.autov3, digest.hashes.crc32, digest.hashes.blake3
            )

    def test_what_is_known_is_not_computed_again(self, shelf: Shelf, models: list[str]) -> None:
        digest_models(shelf.library, models[:1])
        assert [digest.hashes.sha256 for digest in digest_models(shelf.library, None).digests] == models[1:]
        before = dump(shelf.library.path)
        assert digest_models(shelf.library, None).digests == []
        assert dump(shelf.library.path) == before

    def test_that_are_named_are_computed_whether_known_or_not(self, shelf: Shelf, models: list[str]) -> None:
        for _ in range(2):
            (digest,) = digest_models(shelf.library, [models[1]]).digests
            assert digest.hashes.sha256 == models[1]

    def test_what_was_done_when_it_is_interrupted_is_kept_and_the_rest_follows(
        self, shelf: Shelf, models: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = compute

        def interrupted(path: str, **more: object) -> Hashes | None:
            if path.endswith("b.safetensors"):
                raise KeyboardInterrupt
            return real(path, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(extra_hashes, "compute", interrupted)
        with pytest.raises(KeyboardInterrupt):
            digest_models(shelf.library, None)
        assert [contents.hashes_of(shelf.library, sha256) is not None for sha256 in models] == [
            True,
            False,
            False,
        ]
        monkeypatch.setattr(extra_hashes, "compute", real)
        assert [digest.hashes.sha256 for digest in digest_models(shelf.library, None).digests] == models[1:]

    def test_a_file_that_changed_since_is_a_problem_and_nothing_is_kept_of_it(
        self, shelf: Shelf, models: list[str]
    ) -> None:
        path = shelf.loras / "b.safetensors"
        write_bytes(path, safetensors("another", size=128))
        report = digest_models(shelf.library, None)
        assert codes(report) == [(str(path), "changed")]
        assert "the next scan" in report.problems[0].message
        assert len(report.digests) == 2
        assert contents.hashes_of(shelf.library, models[1]) is None

    def test_a_file_that_is_gone_without_a_scan_is_a_problem(self, shelf: Shelf, models: list[str]) -> None:
        (shelf.loras / "b.safetensors").unlink()
        report = digest_models(shelf.library, models)
        assert codes(report) == [("b.safetensors", "no_file")]
        assert len(report.digests) == 2

    def test_a_model_that_is_missing_is_a_problem_where_it_was_named(
        self, shelf: Shelf, models: list[str]
    ) -> None:
        (shelf.loras / "b.safetensors").unlink()
        shelf.scan()
        assert codes(digest_models(shelf.library, [models[1]])) == [("b.safetensors", "no_file")]
        assert codes(digest_models(shelf.library, None)) == []

    def test_of_two_copies_the_one_that_is_there_is_read(self, shelf: Shelf, models: list[str]) -> None:
        write_model(shelf.vae / "copy.safetensors", "b.safetensors", size=128)
        shelf.scan()
        (shelf.loras / "b.safetensors").unlink()
        report = digest_models(shelf.library, [models[1]])
        assert [digest.path for digest in report.digests] == [str(shelf.vae / "copy.safetensors")]

    def test_a_file_that_cannot_be_read_is_a_problem(self, shelf: Shelf) -> None:
        put_model(shelf.library, SHA, name="mem")
        put_files(shelf.library, known_file(UNREADABLE, SHA))
        assert codes(digest_models(shelf.library, [SHA])) == [(UNREADABLE, "unreadable")]
        assert contents.hashes_of(shelf.library, SHA) is None

    def test_a_fifo_where_a_file_was_is_not_waited_for(self, shelf: Shelf, models: list[str]) -> None:
        (shelf.loras / "b.safetensors").unlink()
        os.mkfifo(shelf.loras / "b.safetensors")
        assert codes(digest_models(shelf.library, [models[1]])) == [("b.safetensors", "no_file")]

    def test_what_a_person_typed_and_what_a_scan_knows_stay(self, shelf: Shelf, models: list[str]) -> None:
        shelf.edit(models[0], name="Mira", tag=("x",))
        before = {name: rows for name, rows in dump(shelf.library.path).items() if name != "hashes"}
        digest_models(shelf.library, None)
        after = {name: rows for name, rows in dump(shelf.library.path).items() if name != "hashes"}
        assert after == before

    def test_without_blake3_what_is_known_of_it_stays(
        self, shelf: Shelf, models: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The package came and went: what it computed is as true as before."""
        digest_models(shelf.library, models[:1])
        known = contents.hashes_of(shelf.library, models[0])
        monkeypatch.setattr("mlib.core.hashes._blake3", lambda *, wanted: None)  # noqa: ARG005
        (digest,) = digest_models(shelf.library, models[:1]).digests
        assert digest.hashes.blake3 is None
        assert contents.hashes_of(shelf.library, models[0]) == known

    def test_a_scan_afterwards_reads_nothing(self, shelf: Shelf, models: list[str]) -> None:
        digest_models(shelf.library, models)
        assert shelf.told() == {"unchanged": 3}
