"""Scans as a user runs them: exit codes, exact names, what is opened, and how one is stopped."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.libraries import put_pending, scan_roots
from tests.tools import MLIB, mlib, write_bytes, write_model

from mlib.core.errors import MlibError
from mlib.db.library import open_library
from mlib.services.describing import detail
from mlib.services.resolving import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlib.db.library import Library

#: Names that are lost, cut or take effect wherever one is careless; none of them is a path of a test's own.
ODD_NAMES = [
    b"new\nline.pt", b"tab\tand\rreturn.pt", b"\x1b[2J\x1b]0;title\x07.pt", b"[red]x[/red].pt", b"a[/foo].pt",
    b":fire:.pt", b"caf\xe9.pt", b"\xff\xfe\x80.pt", "\u202egnp.pt".encode(), b"quote\"'\\.pt", b" space .pt",
    b"%s{0}$HOME.pt", "\U0001f98a \u65e5\u672c.pt".encode(), b"-n.pt", b"x" * 252 + b".pt",
]  # fmt: skip


@pytest.fixture
def loras(tmp_path: Path) -> Path:
    folder = tmp_path / "loras"
    folder.mkdir()
    return folder


def scan(loras: Path, library: Path, *options: str | Path, code: int = 0) -> Any:
    return mlib("scan", "--root", f"loras={loras}", "--json", *options, library=library, code=code).json


# --- exit codes ---------------------------------------------------------------------------------------------


def test_a_scan_that_did_everything_exits_0(loras: Path, library_path: Path) -> None:
    sha256 = write_model(loras / "a.pt")
    report = scan(loras, library_path)
    assert (report["scanned"], report["added"], report["problems"]) == (1, 1, [])
    assert mlib("scan", "--quiet", library=library_path).out == ""
    write_model(loras / "b.pt")
    assert mlib("scan", "--quiet", library=library_path).out.split() != [sha256]


@pytest.mark.parametrize("fault", ["broken link", "offline", "conflict"])
def test_a_scan_with_something_left_to_see_to_exits_3(loras: Path, library_path: Path, fault: str) -> None:
    """Promises 5, 7 and 9."""
    sha256 = write_model(loras / "a.pt")
    scan(loras, library_path)
    if fault == "broken link":
        (loras / "broken.pt").symlink_to("nowhere")
    elif fault == "offline":
        loras.rename(loras.with_name("away"))
    else:
        mlib("update", sha256, "--name", "Mine", library=library_path)
        with open_library(str(library_path), mode="write") as library:
            put_pending(library, str(loras / "copy.pt"), sha256=None, name="Theirs")
        shutil.copy2(loras / "a.pt", loras / "copy.pt")
    report = mlib("scan", "--json", library=library_path, code=3).json
    assert (len(report["problems"]), len(report["offline_roots"]), report["conflicts"]) == {
        "broken link": (1, 0, 0),
        "offline": (0, 1, 0),
        "conflict": (0, 0, 1),
    }[fault]


@pytest.mark.parametrize("fault", ["broken link", "offline", "guarded", "conflict"])
def test_a_quiet_scan_says_what_is_to_be_seen_to(loras: Path, library_path: Path, fault: str) -> None:
    """What cron mails: nothing else is printed, and an exit code alone mails nobody."""
    sha256 = write_model(loras / "a.pt")
    scan(loras, library_path)
    assert mlib("scan", "--quiet", library=library_path).err == ""
    if fault == "broken link":
        (loras / "broken.pt").symlink_to("nowhere")
    elif fault == "offline":
        loras.rename(loras.with_name("away"))
    elif fault == "guarded":
        (loras / "a.pt").unlink()
    else:
        mlib("update", sha256, "--name", "Mine", library=library_path)
        with open_library(str(library_path), mode="write") as library:
            put_pending(library, str(loras / "copy.pt"), sha256=None, name="Theirs")
        shutil.copy2(loras / "a.pt", loras / "copy.pt")
    done = mlib("scan", "--quiet", library=library_path, code=4 if fault == "guarded" else 3)
    first = {
        "broken link": "problem: ",
        "offline": "offline: ",
        "guarded": "refused: ",
        "conflict": "in conflict",
    }
    assert (done.out, done.err.startswith(first[fault])) == ("", True)


def test_a_scan_that_would_rather_not_believe_it_exits_4(loras: Path, library_path: Path) -> None:
    """Promise 5."""
    write_model(loras / "a.pt")
    scan(loras, library_path)
    (loras / "a.pt").unlink()
    done = mlib("scan", library=library_path, code=4)
    assert "--accept-missing" in done.err
    assert mlib("scan", "--accept-missing", "--json", library=library_path).json["missing"] == 1


def test_a_path_that_never_was_is_an_error_and_makes_no_library(loras: Path, library_path: Path) -> None:
    done = mlib("scan", "--root", f"loras={loras}", "--json", loras / "typo.pt", library=library_path, code=5)
    assert done.error["code"] == "no_such_path"
    assert not library_path.exists()


# --- names --------------------------------------------------------------------------------------------------


def test_odd_names_are_catalogued_found_unchanged_and_shown_exactly(loras: Path, library_path: Path) -> None:
    """Whatever bytes a name holds: stored, told and found again as they are, and never in force."""
    expected = {
        write_bytes(Path(os.fsdecode(os.fsencode(loras) + b"/" + name)), b"content of " + name): name
        for name in ODD_NAMES
    }
    assert scan(loras, library_path)["added"] == len(ODD_NAMES)
    again = mlib("scan", "--json", library=library_path).json
    assert (again["unchanged"], again["hashed_bytes"]) == (len(ODD_NAMES), 0)
    shown = mlib("show", *expected, "--json", library=library_path).json
    found = {model["sha256"]: os.fsencode(model["files"][0]["loader_name"]) for model in shown}
    assert found == expected


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_a_model_is_found_by_a_path_of_any_name(library: Library, loras: Path, name: bytes) -> None:
    path = os.fsdecode(os.fsencode(loras) + b"/" + name)
    sha256 = write_bytes(Path(path), b"content")
    scan_roots(library, f"loras={loras}")
    assert detail(library, resolve(library, path)).model.sha256 == sha256


def test_a_problem_with_an_odd_name_is_told_exactly_in_json_and_tamely_to_a_person(
    loras: Path, library_path: Path
) -> None:
    """Promise 9."""
    name = b"\x1b[31m\xff\n[red].pt"
    os.symlink(b"nowhere", os.fsencode(loras) + b"/" + name)
    report = scan(loras, library_path, code=3)
    assert os.path.basename(os.fsencode(report["problems"][0]["path"])) == name
    done = mlib("scan", library=library_path, code=3)
    assert b"\x1b" not in done.stdout + done.stderr
    assert r"\x1b[31m\xff\n[red].pt" in done.err


# --- what is opened (promises 7 and 8) ----------------------------------------------------------------------

WATCHED = """
import json, os, sys
opened, forbidden = [], []
def watch(event, arguments):
    # O_DIRECTORY opens nothing but a directory: that is a listing.
    if event == "open" and isinstance(arguments[0], (str, bytes)) and not arguments[2] & os.O_DIRECTORY:
        path = os.fsdecode(arguments[0])
        if path.startswith(sys.argv[1] + "/"):
            opened.append((os.path.basename(path), arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)))
    elif event in ("pickle.find_class", "marshal.loads", "os.system", "subprocess.Popen", "socket.connect"):
        forbidden.append(event)
from mlib.cli.app import run
import mlib.cli.commands.scan
sys.addaudithook(watch)
code = run(sys.argv[2:])
forbidden = [event for event in forbidden if event != "marshal.loads"]  # what importing a module does
print(json.dumps({"code": code, "opened": opened, "forbidden": forbidden}), file=sys.stderr)
"""


def watched(loras: Path, *arguments: str, code: int = 0) -> dict[str, Any]:
    """Run a command line and tell which files below `loras` it opened, and whether for writing."""
    command = [sys.executable, "-c", WATCHED, str(loras), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stderr.splitlines()[-1])
    assert told["code"] == code, done.stderr
    return told


class Trap:
    """What a pickle that is no model does when somebody loads it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (os.fspath(self.path), "w"))


def test_model_files_are_opened_for_reading_only_and_never_run(
    loras: Path, library_path: Path, tmp_path: Path
) -> None:
    """Promise 8."""
    write_model(loras / "a.safetensors")
    for suffix in ("ckpt", "pt", "pth", "bin", "pkl"):
        write_bytes(loras / f"trap.{suffix}", pickle.dumps((suffix, Trap(tmp_path / "sprung"))))
    # What may run code is a serious finding.
    told = watched(loras, "--library", str(library_path), "scan", "--root", f"loras={loras}", code=3)
    assert len(told["opened"]) == 6
    assert {flags for _, flags in told["opened"]} == {0}
    assert told["forbidden"] == []
    assert not (tmp_path / "sprung").exists()


def test_two_thousand_files_are_read_once_and_the_rescan_opens_none(loras: Path, library_path: Path) -> None:
    """Promise 2: an unchanged library costs a stat a file."""
    names = [f"{n}.safetensors" for n in range(2000)]
    for n, name in enumerate(names):
        write_model(loras / f"{n % 20}" / name)
    options = ["--library", str(library_path), "scan", "--root", f"loras={loras}"]
    first = watched(loras, *options)
    assert sorted(name for name, _ in first["opened"]) == sorted(names)
    assert watched(loras, *options)["opened"] == []
    again = scan(loras, library_path)
    assert (again["scanned"], again["unchanged"], again["hashed_bytes"]) == (2000, 2000, 0)


# --- what may not be seen (promise 5) -----------------------------------------------------------------------


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A folder that users without any rights can reach and write to."""
    folder = Path("/dev/shm") / f"mlib-process-{os.getpid()}"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    yield folder
    for directory, _, _ in os.walk(folder):
        Path(directory).chmod(0o700)
    shutil.rmtree(folder)


#: A user whom permissions bind: the super-user may read anything.
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups") if os.geteuid() == 0 else ()


def test_a_folder_that_may_not_be_listed_takes_its_root_offline(open_to_all: Path) -> None:
    """Promise 5: nothing under the root is marked, neither there nor elsewhere in it."""
    library, loras = open_to_all / "library.db", open_to_all / "loras"
    for name in ("shut/a.pt", "open/b.pt", "open/gone.pt"):
        write_model(loras / name)
    options = ["--library", str(library), "scan", "--json", "--root", f"loras={loras}"]
    assert mlib(*options, prefix=NOBODY, env={"HOME": "/"}).json["added"] == 3
    (loras / "shut").chmod(0)
    (loras / "open" / "gone.pt").unlink()
    report = mlib(*options, prefix=NOBODY, env={"HOME": "/"}, code=3).json
    assert (report["missing"], report["unchanged"], report["offline_roots"]) == (0, 1, [str(loras)])
    assert [problem["code"] for problem in report["problems"]] == ["unreadable"]
    (loras / "shut").chmod(0o755)
    report = mlib(*options, prefix=NOBODY, env={"HOME": "/"}).json
    assert (report["missing"], report["unchanged"]) == (1, 2)


def test_a_file_that_may_not_be_read_is_a_problem_and_keeps_its_model(open_to_all: Path) -> None:
    """Promise 9."""
    library, loras = open_to_all / "library.db", open_to_all / "loras"
    write_model(loras / "a.pt")
    write_model(loras / "b.pt")
    options = ["--library", str(library), "scan", "--json", "--root", f"loras={loras}"]
    mlib(*options, prefix=NOBODY, env={"HOME": "/"})
    write_model(loras / "a.pt", "other", age=100)
    (loras / "a.pt").chmod(0)
    report = mlib(*options, prefix=NOBODY, env={"HOME": "/"}, code=3).json
    assert [problem["code"] for problem in report["problems"]] == ["unreadable"]
    assert (report["unchanged"], report["missing"], report["replaced"]) == (1, 0, 0)


# --- Ctrl-C (promise 11) ------------------------------------------------------------------------------------


def stored(library_path: Path) -> int:
    """How many files another process sees in the library."""
    try:
        with open_library(str(library_path), mode="read") as library:
            return int(library.all("SELECT count(*) FROM files")[0][0])
    except MlibError:
        return 0


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=str)
def test_a_scan_that_is_stopped_keeps_what_is_finished_and_the_next_one_goes_on(
    loras: Path, library_path: Path, sent: signal.Signals, code: int
) -> None:
    """Promise 11: a huge file is being read when the signal comes."""
    for n in range(20):
        write_model(loras / f"{n}.pt")
    (loras / "huge.pt").touch()
    os.truncate(loras / "huge.pt", 2**40)
    command = [
        *MLIB,
        "--library",
        str(library_path),
        "scan",
        "--json",
        "--jobs",
        "2",
        "--root",
        f"loras={loras}",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 30
        while stored(library_path) < 20:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(sent)
        sent_at = time.monotonic()
        out, err = process.communicate(timeout=20)
    assert process.returncode == code, err
    assert time.monotonic() - sent_at < 5
    report = json.loads(out)
    assert (report["interrupted"], report["added"], report["missing"]) == (True, 20, 0)
    (loras / "huge.pt").unlink()
    again = scan(loras, library_path)
    assert (again["unchanged"], again["added"], again["hashed_bytes"]) == (20, 0, 0)
