from __future__ import annotations

import errno
import os
import shutil
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.tools import write_bytes, write_model

from mlib.core.disk.walk import PASSED_OVER, Listing, Scope, is_within, reason, topmost_missing, walk
from mlib.core.records import Root

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@pytest.fixture
def loras(tmp_path: Path) -> Path:
    directory = tmp_path / "models" / "loras"
    directory.mkdir(parents=True)
    return directory


def root(path: Path, kind: str = "loras", *, any_file: bool = False) -> Root:
    return Root(type=kind, path=str(path), origin="user", any_file=any_file)


def walked(*directories: Path, any_file: bool = False) -> list[Listing]:
    roots = [root(directory, any_file=any_file) for directory in directories]
    return list(walk([Scope(one, one.path) for one in roots], roots=roots))


def found(listings: Iterable[Listing], below: Path) -> list[str]:
    """Every candidate's path, relative to `below`."""
    return sorted(
        os.path.relpath(os.path.join(listing.directory, name), below)
        for listing in listings
        for name in listing.files
    )


def codes(listings: Iterable[Listing]) -> list[tuple[str, str]]:
    return [(os.path.basename(p.path), p.code) for listing in listings for p in listing.problems]


def left_alone(listings: Iterable[Listing]) -> list[tuple[str, str]]:
    return sorted((os.path.basename(p.path), p.code) for listing in listings for p in listing.left_alone)


# --- what is listed -----------------------------------------------------------------------------------------


def test_model_files_at_every_depth_are_listed_and_others_are_not(loras: Path) -> None:
    write_model(loras / "a.safetensors")
    write_model(loras / "deep" / "er" / "b.GGUF")
    write_bytes(loras / "a.json", b"{}")
    write_bytes(loras / "deep" / "preview.png", b"png")
    assert found(walked(loras), loras) == ["a.safetensors", "deep/er/b.GGUF"]


def test_every_directory_gives_one_listing_even_an_empty_one(loras: Path) -> None:
    (loras / "empty").mkdir()
    (loras / "full").mkdir()
    directories = [listing.directory for listing in walked(loras)]
    assert sorted(directories) == [str(loras), str(loras / "empty"), str(loras / "full")]


def test_a_listing_holds_the_stat_of_the_file_itself(loras: Path) -> None:
    write_model(loras / "a.safetensors")
    (listing,) = walked(loras)
    assert listing.files["a.safetensors"].st_ino == (loras / "a.safetensors").stat().st_ino


def test_where_a_type_has_no_extensions_any_file_counts_that_could_be_a_model(loras: Path) -> None:
    write_bytes(loras / "weights.custom", b"w")
    write_bytes(loras / "readme.md", b"text")
    assert found(walked(loras, any_file=True), loras) == ["weights.custom"]
    assert found(walked(loras), loras) == []


@pytest.mark.parametrize("name", [*sorted(PASSED_OVER), ".Trash-1000", ".Trash"])
def test_folders_that_hold_no_models_are_passed_over(loras: Path, name: str) -> None:
    write_model(loras / name / "a.safetensors")
    assert found(walked(loras), loras) == []


def test_hidden_folders_of_the_users_own_are_walked(loras: Path) -> None:
    write_model(loras / ".private" / "a.safetensors")
    assert found(walked(loras), loras) == [".private/a.safetensors"]


def test_names_with_newlines_escapes_and_bytes_that_are_no_text_are_listed_exactly(loras: Path) -> None:
    names = [b"new\nline.pt", b"\x1b[31mred.pt", b"[bold]b.pt", b"caf\xe9.pt", b"\xff\xfe.pt", b"tab\t.pt"]
    for name in names:
        write_bytes(Path(os.fsdecode(os.fsencode(loras) + b"/" + name)), b"x")
    (listing,) = walked(loras)
    assert sorted(map(os.fsencode, listing.files)) == sorted(names)


def test_a_folder_whose_name_is_no_text_is_walked(loras: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(loras) + b"/\xe9t\xe9"))
    write_model(folder / "a.pt")
    assert found(walked(loras), folder) == ["a.pt"]


# --- links (promise 7) --------------------------------------------------------------------------------------


def test_a_link_to_a_file_is_listed_with_the_stat_of_its_target(loras: Path, tmp_path: Path) -> None:
    """Promise 7: only so can two names of one file be recognised."""
    write_model(tmp_path / "elsewhere" / "a.safetensors")
    (loras / "link.safetensors").symlink_to(tmp_path / "elsewhere" / "a.safetensors")
    (listing,) = walked(loras)
    assert (
        listing.files["link.safetensors"].st_ino == (tmp_path / "elsewhere" / "a.safetensors").stat().st_ino
    )


def test_a_linked_folder_outside_the_roots_is_walked(loras: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "disk2" / "sub" / "a.safetensors")
    (loras / "more").symlink_to(tmp_path / "disk2")
    assert found(walked(loras), loras) == ["more/sub/a.safetensors"]


def test_two_links_to_one_folder_are_walked_once(loras: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "disk2" / "a.safetensors")
    (loras / "one").symlink_to(tmp_path / "disk2")
    (loras / "two").symlink_to(tmp_path / "disk2")
    assert found(walked(loras), loras) == ["one/a.safetensors"]


@pytest.mark.parametrize("target", [".", "..", "../..", "/"])
def test_a_link_to_an_ancestor_ends(loras: Path, target: str) -> None:
    """Promise 7: loops end. A root is never walked through a link in another."""
    write_model(loras / "sub" / "a.safetensors")
    place = loras / "sub" / "loop"
    place.symlink_to(target if target != "/" else loras)
    assert found(walked(loras), loras) == ["sub/a.safetensors"]


def test_two_folders_that_link_to_each_other_end(loras: Path, tmp_path: Path) -> None:
    """Promise 7: loops end."""
    one, two = tmp_path / "one", tmp_path / "two"
    write_model(one / "a.safetensors")
    write_model(two / "b.safetensors")
    (one / "two").symlink_to(two)
    (two / "one").symlink_to(one)
    (loras / "in").symlink_to(one)
    assert found(walked(loras), loras) == ["in/a.safetensors", "in/two/b.safetensors"]


def test_a_linked_folder_that_lies_in_a_root_is_left_to_that_root(loras: Path, tmp_path: Path) -> None:
    vae = tmp_path / "models" / "vae"
    write_model(vae / "sub" / "a.safetensors")
    (loras / "vaes").symlink_to(vae / "sub")
    listings = list(walk([Scope(root(loras), str(loras))], roots=[root(loras), root(vae, "vae")]))
    assert found(listings, loras) == []
    assert found(walked(loras, vae), vae) == ["sub/a.safetensors"]


@pytest.mark.parametrize("tree", ["/proc", "/sys", "/dev"])
def test_a_link_into_the_kernels_trees_is_not_followed(loras: Path, tree: str) -> None:
    (loras / "kernel").symlink_to(tree)
    assert [listing.directory for listing in walked(loras)] == [str(loras)]


def test_a_broken_link_that_could_be_a_model_is_a_problem_and_its_path_is_unknown(loras: Path) -> None:
    """Promise 7: a broken link is a problem, not a crash."""
    (loras / "gone.safetensors").symlink_to(loras / "nowhere.safetensors")
    listings = walked(loras)
    assert codes(listings) == [("gone.safetensors", "broken_link")]
    assert listings[0].unknown == (str(loras / "gone.safetensors"),)
    assert not listings[0].failed


def test_a_broken_link_that_could_be_a_folder_of_models_makes_what_lies_below_unknown(loras: Path) -> None:
    (loras / "drive").symlink_to(loras / "not-mounted")
    (listing,) = walked(loras)
    assert listing.unknown == (str(loras / "drive"),)


def test_a_link_to_itself_is_a_broken_link(loras: Path) -> None:
    """Promise 7: loops end."""
    (loras / "me.safetensors").symlink_to("me.safetensors")
    (loras / "me").symlink_to("me")
    listings = walked(loras)
    assert codes(listings) == [("me.safetensors", "broken_link")]
    assert not listings[0].failed


def test_a_root_that_is_a_link_is_walked_under_its_own_name(loras: Path, tmp_path: Path) -> None:
    write_model(loras / "a.safetensors")
    link = tmp_path / "link"
    link.symlink_to(loras)
    assert found(walked(link), link) == ["a.safetensors"]


# --- nested and doubly listed roots -------------------------------------------------------------------------


def owners(listings: Iterable[Listing]) -> dict[str, str]:
    """Which root's type each candidate was listed for."""
    return {name: listing.root.type for listing in listings for name in listing.files}


@pytest.mark.parametrize("inner_first", [True, False])
def test_a_nested_root_lists_its_own_files_whatever_the_order(loras: Path, inner_first: bool) -> None:
    write_model(loras / "outer.pt")
    write_model(loras / "vae" / "deep" / "inner.pt")
    roots = [root(loras), root(loras / "vae", "vae")]
    if inner_first:
        roots.reverse()
    listings = walk([Scope(one, one.path) for one in roots], roots=roots)
    assert owners(listings) == {"outer.pt": "loras", "inner.pt": "vae"}


def test_a_nested_root_that_is_not_walked_keeps_its_files_from_the_outer_one(loras: Path) -> None:
    write_model(loras / "vae" / "inner.pt")
    listings = list(walk([Scope(root(loras), str(loras))], roots=[root(loras), root(loras / "vae", "vae")]))
    assert owners(listings) == {}


@pytest.mark.parametrize("inner_first", [True, False])
def test_a_nested_root_reached_by_a_link_lists_its_own_files(
    loras: Path, tmp_path: Path, inner_first: bool
) -> None:
    write_model(loras / "vae" / "inner.pt")
    (tmp_path / "vae").symlink_to(loras / "vae")
    roots = [root(loras), root(tmp_path / "vae", "vae")]
    if inner_first:
        roots.reverse()
    listings = walk([Scope(one, one.path) for one in roots], roots=roots)
    assert owners(listings) == {"inner.pt": "vae"}


def test_one_folder_listed_as_two_roots_is_walked_once(loras: Path, tmp_path: Path) -> None:
    write_model(loras / "a.pt")
    (tmp_path / "again").symlink_to(loras)
    assert found(walked(loras, tmp_path / "again"), loras) == ["a.pt"]


# --- what is no file, and what is no whole file -------------------------------------------------------------


def test_fifos_sockets_and_devices_are_left_alone(loras: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise 7: FIFOs and devices are never opened for reading (a FIFO would hang this test)."""
    os.mkfifo(loras / "fifo.safetensors")
    monkeypatch.chdir(loras)  # a socket's path is short
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind("socket.safetensors")
    (loras / "zero.safetensors").symlink_to("/dev/zero")
    listings = walked(loras)
    assert found(listings, loras) == []
    assert left_alone(listings) == [
        ("fifo.safetensors", "not_a_file"),
        ("socket.safetensors", "not_a_file"),
        ("zero.safetensors", "not_a_file"),
    ]
    assert listings[0].unknown == ()


def test_a_folder_with_the_name_of_a_model_is_walked_as_a_folder(loras: Path) -> None:
    write_model(loras / "checkpoint.pt" / "inner.pt")
    assert found(walked(loras), loras) == ["checkpoint.pt/inner.pt"]


def test_a_download_under_its_own_name_is_left_alone(loras: Path) -> None:
    """Promise 6."""
    write_bytes(loras / "a.safetensors.part", b"half")
    listings = walked(loras)
    assert left_alone(listings) == [("a.safetensors.part", "unfinished")]
    assert listings[0].unknown == ()


def test_a_download_with_its_control_file_beside_it_is_left_alone_and_its_path_unknown(loras: Path) -> None:
    """Promise 6: the file that lay there before must not be called gone."""
    write_model(loras / "a.safetensors")
    write_bytes(loras / "a.safetensors.aria2", b"control")
    (listing,) = walked(loras)
    assert listing.files == {}
    assert ("a.safetensors", "unfinished") in left_alone([listing])
    assert listing.unknown == (str(loras / "a.safetensors"),)


# --- what cannot be seen (promise 5) ------------------------------------------------------------------------


def test_a_root_that_is_not_there_has_failed(loras: Path) -> None:
    """Promise 5."""
    (listing,) = walked(loras / "not-mounted")
    assert listing.failed
    assert listing.problems == ()


def test_a_root_that_is_a_file_is_a_problem(loras: Path) -> None:
    """Promise 9: a problem, not a crash."""
    write_model(loras / "a.pt")
    (listing,) = walked(loras / "a.pt")
    assert listing.failed
    assert codes([listing]) == [("a.pt", "unreadable")]


def test_a_folder_that_cannot_be_listed_fails_its_root_and_is_unknown_below() -> None:
    """Promise 5. Run as a user whom permissions bind: root may list anything."""
    shared = Path("/dev/shm") / f"mlib-walk-{os.getpid()}"
    script = (
        "import sys\nfrom mlib.core.records import Root\nfrom mlib.core.disk.walk import Scope, walk\n"
        "root = Root(type='loras', path=sys.argv[1], origin='user')\n"
        "for one in walk([Scope(root, root.path)], roots=[root]):\n"
        "    print(one.directory, one.failed, list(one.files), one.unknown, [p.code for p in one.problems])\n"
    )
    try:
        write_model(shared / "open" / "a.pt")
        write_model(shared / "shut" / "b.pt")
        (shared / "shut").chmod(0)
        shared.chmod(0o755)
        (shared / "open").chmod(0o755)
        command = [sys.executable, "-c", script, str(shared)]
        if os.geteuid() == 0:
            command[:0] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)
    finally:
        (shared / "shut").chmod(0o700)
        shutil.rmtree(shared)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"{shared} False [] () []",
        f"{shared}/open False ['a.pt'] () []",
        f"{shared}/shut True [] ('{shared}/shut',) ['unreadable']",
    ]


def test_a_folder_that_vanishes_during_the_walk_fails_nothing(loras: Path) -> None:
    (loras / "z").mkdir()
    listings: Iterator[Listing] = walk([Scope(root(loras), str(loras))], roots=[root(loras)])
    first = next(listings)
    (loras / "z").rmdir()
    rest = list(listings)
    assert first.directory == str(loras)
    assert [(listing.directory, listing.failed, listing.problems) for listing in rest] == [
        (str(loras / "z"), False, ())
    ]


def test_a_path_longer_than_the_system_takes_is_a_problem(
    loras: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise 9: a problem, not a crash. The folders are made step by step, as no path can name them all."""
    monkeypatch.chdir(loras)
    for _ in range(20):
        os.mkdir("d" * 250)
        os.chdir("d" * 250)
    listings = walked(loras)
    monkeypatch.chdir("/")
    assert [code for _, code in codes(listings)] == ["unreadable"]
    assert listings[-1].failed


# --- limited scopes -----------------------------------------------------------------------------------------


def test_a_subtree_is_walked_alone(loras: Path) -> None:
    write_model(loras / "a.pt")
    write_model(loras / "sub" / "b.pt")
    listings = walk([Scope(root(loras), str(loras / "sub"))], roots=[root(loras)])
    assert found(listings, loras) == ["sub/b.pt"]


def test_names_limit_a_scope_to_these_and_to_no_folder_below(loras: Path) -> None:
    write_model(loras / "a.pt")
    write_model(loras / "b.pt")
    write_model(loras / "sub" / "a.pt")
    scope = Scope(root(loras), str(loras), frozenset({"a.pt", "not-there.pt"}))
    assert found(walk([scope], roots=[root(loras)]), loras) == ["a.pt"]


def test_a_named_file_with_a_control_file_beside_it_is_still_a_download(loras: Path) -> None:
    """Promise 6: the neighbour tells, although it was not asked for."""
    write_model(loras / "a.pt")
    write_bytes(loras / "a.pt.aria2", b"control")
    scope = Scope(root(loras), str(loras), frozenset({"a.pt"}))
    assert found(walk([scope], roots=[root(loras)]), loras) == []


# --- small words --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "directory", "expected"),
    [
        ("/m/loras", "/m/loras", True),
        ("/m/loras/a", "/m/loras", True),
        ("/m/loras2/a", "/m/loras", False),
        ("/m", "/m/loras", False),
        ("/anything", "/", True),
    ],
)
def test_a_path_lies_within_a_directory_by_whole_names(path: str, directory: str, expected: bool) -> None:
    assert is_within(path, directory) is expected


@pytest.mark.parametrize(
    ("path", "missing"),
    [
        ("there", None),
        ("gone", "gone"),
        ("there/gone/deeper", "there/gone"),
        ("a/b/c", "a"),  # with nothing above it that could be looked at: it once went round for ever
        ("", None),
    ],
)
def test_the_topmost_missing_directory_of_a_path_that_is_not_absolute(
    path: str, missing: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    assert topmost_missing(path) == missing
    if path:
        absolute = None if missing is None else str(tmp_path / missing)
        assert topmost_missing(str(tmp_path / path)) == absolute


def test_a_reason_is_in_words_without_number_and_path() -> None:
    assert reason(OSError(errno.EACCES, os.strerror(errno.EACCES), "/m/a")) == "permission denied"
    assert reason(OSError("plain")) == "plain"
    assert reason(OSError()) == "oserror"
