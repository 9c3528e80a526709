"""Where the library is, and where options may stand."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING

import pytest
from tests.faults.machine import lacking, require_root
from tests.inprocess import mlib_here
from tests.libraries import OTHER, SHA, put_model
from tests.tools import mlib

from mlib.db.library import open_library

if TYPE_CHECKING:
    from pathlib import Path


def library_with(path: Path, sha256: str = SHA) -> Path:
    """A library that holds one model."""
    with open_library(str(path), mode="create") as library:
        put_model(library, sha256)
    return path


def shown(*words: str) -> str:
    """The SHA-256 of the model the program finds by its name."""
    return mlib_here(*words, "show", "file.safetensors", "-q").out.strip()


class TestLibrary:
    def test_by_option(self, tmp_path: Path) -> None:
        assert shown("--library", str(library_with(tmp_path / "a.db"))) == SHA

    def test_by_environment(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MLIB_LIBRARY", str(library_with(tmp_path / "a.db")))
        assert shown() == SHA

    def test_the_option_comes_before_the_environment(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MLIB_LIBRARY", str(library_with(tmp_path / "a.db", OTHER)))
        assert shown("--library", str(library_with(tmp_path / "b.db"))) == SHA

    def test_by_default_in_the_data_directory_of_the_user(self, own_home: Path) -> None:
        library_with(own_home / ".local/share/mlib/library.db")
        assert shown() == SHA

    def test_an_empty_variable_says_nothing(self, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MLIB_LIBRARY", "")
        monkeypatch.setenv("XDG_DATA_HOME", "")
        library_with(own_home / ".local/share/mlib/library.db")
        assert shown() == SHA

    def test_xdg_data_home_is_honoured(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
        library_with(tmp_path / "data/mlib/library.db")
        assert shown() == SHA

    def test_a_relative_one_is_not(
        self, tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Fault 73: the XDG specification says to ignore it."""
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("XDG_DATA_HOME", "data")
        library_with(own_home / ".local/share/mlib/library.db")
        library_with(tmp_path / "data/mlib/library.db", OTHER)
        assert shown() == SHA

    def test_a_relative_file_is_where_one_stands(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        library_with(tmp_path / "a.db")
        monkeypatch.chdir(tmp_path)
        assert shown("--library", "a.db") == SHA

    def test_an_empty_name_is_wrong_usage(self) -> None:
        failed = mlib_here("--library", "", "show", "x", code=2)
        assert failed.err.startswith("error: --library")

    @pytest.mark.parametrize("home", ["relative", ""])
    def test_a_home_that_is_none_is_never_made_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str
    ) -> None:
        """Fault 73: it says where it looked, or asks; it makes no folder where one happens to stand."""
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", home)
        failed = mlib_here("show", "x", "--json", code=None)
        assert (failed.code, failed.error["code"]) in ((1, "no_home"), (5, "no_library"))
        assert os.listdir(tmp_path) == ["home"]

    def test_without_home_and_user_it_asks(self) -> None:
        """Fault 73: HOME unset and no entry for the user, as in many containers."""
        require_root()
        unknown = ("env", "-u", "HOME", "setpriv", "--reuid=54321", "--regid=54321", "--clear-groups")
        if mlib("--version", prefix=unknown, code=None).code != 0:
            lacking(f"another user may not run {sys.executable}")
        failed = mlib("show", "x", "--json", prefix=unknown, code=1)
        assert failed.error["code"] == "no_home"

    def test_a_first_scan_makes_it_for_its_user_alone(self, own_home: Path, tmp_path: Path) -> None:
        (tmp_path / "r").mkdir()
        mlib_here("scan", "--root", f"loras={tmp_path}/r")
        made = own_home / ".local/share/mlib"
        assert stat.S_IMODE(made.stat().st_mode) == 0o700
        assert stat.S_IMODE((made / "library.db").stat().st_mode) == 0o600


class TestPlaces:
    def test_the_library_may_be_named_before_or_after_the_subcommand(self, tmp_path: Path) -> None:
        path = str(library_with(tmp_path / "a.db"))
        for words in (["--library", path, "show", SHA], ["show", SHA, "--library", path]):
            assert mlib_here(*words, "-q").out == f"{SHA}\n"

    def test_the_nearer_one_counts(self, tmp_path: Path) -> None:
        path, other = library_with(tmp_path / "a.db"), library_with(tmp_path / "b.db", OTHER)
        assert mlib_here("--library", other, "show", SHA, "--library", path, "-q").out == f"{SHA}\n"

    @pytest.mark.parametrize("command", ["scan", "show", "update", "import", "clean-meta"])
    def test_every_command_takes_the_common_options_and_has_help(self, command: str) -> None:
        for flag in ("--help", "-h"):
            text = mlib_here(command, flag).out
            assert "--library" in text
            assert "--json" in text
            assert (command == "show") != ("--dry-run" in text)

    def test_the_version_is_told(self) -> None:
        from mlib import __version__

        assert mlib_here("--version").out == f"mlib {__version__}\n"

    def test_alone_it_tells_what_it_can_do(self) -> None:
        text = mlib_here(code=None).out
        assert all(command in text for command in ("scan", "show", "update", "import", "clean-meta"))

    def test_a_ref_that_looks_like_an_option_follows_two_dashes(self, tmp_path: Path) -> None:
        path = library_with(tmp_path / "a.db")
        mlib_here("update", SHA, "--name", "-q", library=path)
        assert mlib_here("show", "--field", "sha256", "--", "-q", library=path).out == f"{SHA}\n"
