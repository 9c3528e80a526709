"""Promises 6 and 9: downloads that go on are left alone, and one bad file never stops a scan."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.model_files import gguf, zip_archive
from tests.services.shelf import Shelf, codes, told
from tests.tools import safetensors, set_age, write_bytes, write_model

from mlib.core.events import Event, HashingStarted
from mlib.db import files

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES_IN_PROGRESS = [
    "a.safetensors.part", "a.safetensors.partial", "a.safetensors.crdownload", "a.safetensors.aria2",
    "a.safetensors.incomplete", "a.safetensors.download", "a.safetensors.tmp", "a.safetensors.!qB",
    "a.safetensors.!ut", "a.safetensors.opdownload", "a.safetensors.dl-meta",
]  # fmt: skip
WHOLE = {"a.safetensors": safetensors("a", size=4000), "a.gguf": gguf(), "a.pt": zip_archive()}


@pytest.mark.parametrize("name", NAMES_IN_PROGRESS)
def test_a_name_of_a_download_is_skipped_with_a_reason(shelf: Shelf, name: str) -> None:
    """Promise 6."""
    write_bytes(shelf.loras / name, safetensors("a"))
    report = shelf.scan()
    assert told(report) == {"skipped": 1}
    assert codes(report) == [(name, "unfinished")]


@pytest.mark.parametrize("name", [".a.safetensors.Xy12", ".cache/huggingface/download/a.safetensors"])
def test_hidden_temporaries_are_not_even_mentioned(shelf: Shelf, name: str) -> None:
    """Promise 6: those of rsync and huggingface_hub."""
    write_model(shelf.loras / name)
    assert shelf.told() == {}


@pytest.mark.parametrize("suffix", [".aria2", ".part", ".!qB", ".dl-meta"])
def test_a_control_file_keeps_a_whole_looking_file_out_until_it_is_gone(shelf: Shelf, suffix: str) -> None:
    """Promise 6: aria2 allocates the whole file first."""
    path = shelf.loras / "a.safetensors"
    write_model(path)
    control = Path(f"{path}{suffix}")
    write_bytes(control, b"control")
    assert shelf.told() == {"skipped": 2}
    control.unlink()
    assert shelf.told() == {"added": 1, "read": 1}


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("part", [0, 0.5, 0.99])
def test_a_file_shorter_than_it_says_is_left_alone_until_it_is_whole(
    shelf: Shelf, name: str, part: float
) -> None:
    """Promise 6: curl, wget and browsers write under the final name."""
    path, content = shelf.loras / name, WHOLE[name]
    write_bytes(path, content[: int(len(content) * part)], age=200)
    report = shelf.scan()
    assert codes(report) == [(name, "unfinished")]
    assert shelf.at(path) is None
    sha256 = write_bytes(path, content, age=100)
    report = shelf.scan()
    assert (report.counts["added"], report.skipped) == (1, [])
    assert shelf.at(path) == sha256


def test_a_known_file_that_is_downloaded_over_is_missing_and_the_new_one_waits_for_its_end(
    shelf: Shelf,
) -> None:
    """Promises 4 and 6: its content is no longer there, and the other is not there yet."""
    path = shelf.loras / "a.safetensors"
    old = write_model(path)
    shelf.scan()
    content = safetensors("new")
    write_bytes(path, b"", age=300)
    assert shelf.told() == {"skipped": 1, "missing": 1}
    write_bytes(path, content[: len(content) // 2], age=200)
    assert shelf.told() == {"skipped": 1}
    new = write_bytes(path, content, age=100)
    assert shelf.told() == {"added": 1, "read": 1}
    assert (shelf.places(old), shelf.places(new)) == ({str(path): False}, {str(path): True})


def test_a_known_file_beside_which_a_download_begins_is_not_called_gone(shelf: Shelf) -> None:
    """Promises 5 and 6."""
    path = shelf.loras / "a.safetensors"
    sha256 = write_model(path)
    shelf.scan()
    write_bytes(Path(f"{path}.aria2"), b"control")
    assert shelf.told() == {"skipped": 2}
    assert shelf.at(path) == sha256


# --- files that change, vanish, or cannot be read -----------------------------------------------------------


def write_long_file(path: Path) -> None:
    """Sparse, and read for so long that a writer gets its turn meanwhile."""
    path.touch()
    os.truncate(path, 2**27)
    set_age(path, 300_000)  # a younger one that ends in zeros would be a download


@contextmanager
def written_to(path: Path) -> Iterator[None]:
    """A program that changes the file all the time, and never has it open for writing for long."""
    begun, stop = threading.Event(), threading.Event()

    def write() -> None:
        moment = path.stat().st_mtime_ns
        while not stop.is_set():
            moment += 1_000_000
            os.utime(path, ns=(moment, moment))
            begun.set()

    writer = threading.Thread(target=write)
    writer.start()
    begun.wait()
    try:
        yield
    finally:
        stop.set()
        writer.join()


def test_a_file_that_keeps_changing_is_a_problem_and_is_not_stored(shelf: Shelf) -> None:
    """Promises 2 and 9."""
    path = shelf.loras / "busy.pt"
    write_long_file(path)
    write_model(shelf.loras / "quiet.safetensors")
    with written_to(path):
        report = shelf.scan()
    assert codes(report) == [("busy.pt", "changing")]
    assert report.counts["added"] == 1
    assert files.at_path(shelf.library, str(path)) == []


def test_a_known_file_that_keeps_changing_keeps_its_model_until_it_rests(shelf: Shelf) -> None:
    """Promise 2: reported, never stored, and not called gone."""
    path = shelf.loras / "busy.pt"
    write_long_file(path)
    shelf.scan()
    old = shelf.at(path)
    with written_to(path):
        report = shelf.scan()
    assert codes(report) == [("busy.pt", "changing")]
    assert shelf.at(path) == old is not None


def test_a_file_that_vanishes_before_it_is_read_is_skipped(shelf: Shelf) -> None:
    """Promise 9."""
    for name in ("a", "b"):
        write_model(shelf.loras / f"{name}.safetensors")

    def emit(event: Event) -> None:
        if isinstance(event, HashingStarted):
            (shelf.loras / "a.safetensors").unlink()

    report = shelf.scan(emit=emit)
    assert told(report) == {"added": 1, "skipped": 1, "read": 1}
    assert codes(report) == [("a.safetensors", "vanished")]


def test_a_file_replaced_between_walk_and_read_is_stored_as_what_was_read(shelf: Shelf) -> None:
    """Promise 2: the stat that is kept is the one the bytes belong to."""
    path = shelf.loras / "a.safetensors"
    write_model(path)
    contents = [safetensors("new", size=900)]
    shas: list[str] = []

    def emit(event: Event) -> None:
        if isinstance(event, HashingStarted):
            shas.append(write_bytes(path.with_suffix(".tmp"), contents.pop(), age=70))
            path.with_suffix(".tmp").replace(path)

    shelf.scan(emit=emit)
    assert [shelf.at(path)] == shas
    assert shelf.told() == {"unchanged": 1}


def test_one_bad_file_of_each_kind_is_told_apart_and_stops_nothing(shelf: Shelf) -> None:
    """Promise 9."""
    sha256 = write_model(shelf.loras / "good.safetensors")
    write_bytes(shelf.loras / "empty.safetensors", b"")
    write_bytes(shelf.loras / "short.safetensors", safetensors("x")[:-1])
    write_bytes(shelf.loras / "half.safetensors.part", b"x")
    os.mkfifo(shelf.loras / "fifo.safetensors")
    (shelf.loras / "broken.safetensors").symlink_to("nowhere")
    (shelf.loras / "self.safetensors").symlink_to("self.safetensors")
    report = shelf.scan()
    assert report.added == [sha256]
    assert codes(report) == [
        ("broken.safetensors", "broken_link"),
        ("empty.safetensors", "unfinished"),
        ("fifo.safetensors", "not_a_file"),
        ("half.safetensors.part", "unfinished"),
        ("self.safetensors", "broken_link"),
        ("short.safetensors", "unfinished"),
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"\xff" * 8 + b"{}",
        b"\x00" * 64,
        b"1234567",
        b"GGUF" + b"\xff" * 60,
        b"PK\x03\x04 and no archive after it",
        b"\x80\x04\x95not a pickle",
        b"<html>401 Unauthorized</html>",
    ],
    ids=ascii,
)
def test_content_that_is_no_model_ends_no_scan(shelf: Shelf, content: bytes) -> None:
    """Promises 8 and 9: it is left alone, or a model like any other bytes."""
    write_bytes(shelf.loras / "odd.safetensors", content)
    write_model(shelf.loras / "good.safetensors")
    report = shelf.scan()
    assert report.problems == []
    assert report.counts["added"] + len(report.skipped) == 2
    assert report.counts["added"] >= 1


class TestReservedSpace:
    """A download manager that reserves the space first: the size and the header are whole from the start."""

    @staticmethod
    def content() -> bytes:
        return safetensors("reserved", size=1 << 20)

    @pytest.mark.parametrize("come", [4096, 500_000])
    @pytest.mark.parametrize("reserve", ["zeros", "hole", "fallocate"])
    def test_is_left_alone_until_it_is_written(self, shelf: Shelf, come: int, reserve: str) -> None:
        whole = self.content()
        path = shelf.loras / "a.safetensors"
        with path.open("wb") as file:
            file.write(whole[:come])
            if reserve == "zeros":
                file.write(bytes(len(whole) - come))
            elif reserve == "hole":
                file.truncate(len(whole))
            else:
                file.flush()
                os.posix_fallocate(file.fileno(), 0, len(whole))
        set_age(path, 3600)
        report = shelf.scan()
        assert [(problem.path, problem.code) for problem in report.skipped] == [(str(path), "unfinished")]
        assert report.counts["added"] == 0
        write_bytes(path, whole)
        assert shelf.scan().counts["added"] == 1

    def test_of_long_ago_is_a_model_that_ends_in_zeros(self, shelf: Shelf) -> None:
        write_bytes(
            shelf.loras / "a.safetensors",
            self.content()[:500_000] + bytes(len(self.content()) - 500_000),
            age=200_000,
        )
        assert shelf.scan().counts["added"] == 1

    @pytest.mark.parametrize("lacking", [4096, 20_000])
    def test_a_short_end_tells_within_a_tensor(self, shelf: Shelf, lacking: int) -> None:
        whole = self.content()
        write_bytes(shelf.loras / "a.safetensors", whole[:-lacking] + bytes(lacking), age=3600)
        assert [problem.code for problem in shelf.scan().skipped] == ["unfinished"]

    @pytest.mark.parametrize("age", [3600, 200_000])
    def test_a_last_tensor_of_zeros_does_not(self, shelf: Shelf, age: int) -> None:
        path = shelf.loras / "a.safetensors"
        header = {
            name: {"dtype": "U8", "shape": [end - begin], "data_offsets": [begin, end]}
            for name, begin, end in (("down", 0, 300_000), ("up", 300_000, 330_000))
        }
        text = json.dumps(header).encode()
        whole = len(text).to_bytes(8, "little") + text + b"x" * 300_000
        with path.open("wb") as file:  # as a copy that leaves out what is zero has it
            file.write(whole)
            file.truncate(len(whole) + 30_000)
        set_age(path, age)
        assert shelf.scan().counts["added"] == 1

    @pytest.mark.parametrize("reserve", ["hole", "fallocate"])
    def test_of_long_ago_is_unfinished_where_the_disk_has_nothing(self, shelf: Shelf, reserve: str) -> None:
        whole = self.content()
        path = shelf.loras / "a.safetensors"
        with path.open("wb") as file:
            file.write(whole[:500_000])
            file.flush()
            if reserve == "hole":
                file.truncate(len(whole))
            else:
                os.posix_fallocate(file.fileno(), 0, len(whole))
            os.fsync(file.fileno())
            if os.lseek(file.fileno(), 0, os.SEEK_HOLE) == len(whole):
                pytest.skip("this filesystem does not tell where nothing was written")
        set_age(path, 200_000)
        assert [problem.code for problem in shelf.scan().skipped] == ["unfinished"]

    def test_a_part_in_the_middle_may_be_what_lacks(self, shelf: Shelf) -> None:
        whole = self.content()
        path = shelf.loras / "a.safetensors"
        with path.open("wb") as file:
            file.write(whole[:400_000])
            file.seek(900_000)
            file.write(whole[900_000:])
        set_age(path, 3600)
        assert [problem.code for problem in shelf.scan().skipped] == ["unfinished"]

    def test_a_file_that_another_program_writes_is_left_alone(self, shelf: Shelf) -> None:
        path = shelf.loras / "a.safetensors"
        write_bytes(path, self.content())
        code = f"import sys; f = open({str(path)!r}, 'r+b'); print(flush=True); sys.stdin.read()"
        writer = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        try:
            (left,) = shelf.scan().skipped
        finally:
            writer.communicate(timeout=30)
        assert (left.code, left.message) == ("unfinished", "another program has it open for writing")
        assert shelf.scan().counts["added"] == 1
