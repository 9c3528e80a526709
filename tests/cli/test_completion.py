"""Completion as a shell asks for it, and as bash, zsh and fish themselves carry it out."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.faults.machine import require
from tests.inprocess import mlib_here
from tests.libraries import OTHER, SHA, THIRD, put_model
from tests.shells import completed

if TYPE_CHECKING:
    from pathlib import Path

    from mlib.db.library import Library


@pytest.fixture
def filled(library: Library) -> Library:
    put_model(library, SHA, name="water color.safetensors", tags_=["soft, wet", "style"])
    put_model(library, OTHER, name="$(touch pwned).safetensors", type="vae")
    put_model(library, THIRD, name='9" of $it`s \\.pt', type="vae")
    put_model(library, "d" * 64, name="-dash.pt")
    return library


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("mlib cl", ["clean-meta"]),
        ("mlib update x --type lo", ["loras"]),
        ("mlib update x --tag st", ["style"]),
        ("mlib update x --untag ST", ["style"]),
        ("mlib show wat", ["water color.safetensors"]),
        ('mlib show "wat', ["water color.safetensors"]),
        ("mlib show A1A1", ["a1" * 5]),
        ("mlib list type:lor", ["type:loras"]),
        ("mlib list -tag:so", ['-tag:"soft, wet"']),
        ("mlib list anime upd", ["updated:"]),
        ("mlib list missing:", ["missing:yes", "missing:no"]),
        ("mlib update --query type:ch", ["type:checkpoints"]),
        ("mlib import --on-conflict m", ["merge"]),
        ("mlib list --lim", ["--limit"]),
        ("mlib update x --tag=st", ["--tag=style"]),
        ("mlib trash --query=type:lor", ["--query=type:loras"]),
        ("mlib tags delete ST", ["style"]),
        ("mlib tags rename so", ["soft, wet"]),
        ("mlib tags ", ["rename", "delete"]),
        ("mlib roots add lor", ["loras="]),
        ("mlib scan --root=lor", ["--root=loras="]),
        ("mlib scan --root lor", ["loras="]),
        ("mlib list type:vae,lor", ["type:vae,loras"]),
        ('mlib list \'tag:"soft, wet",st', ['tag:"soft, wet",style']),
        ("mlib list 'tag:\"so", ['tag:"soft, wet"']),
        ("mlib list 'tag:\"soft, w", ['tag:"soft, wet"']),
        ("mlib import --sidecars wat", ["water color.safetensors"]),
        ("mlib show -- -da", ["-dash.pt"]),
        ("mlib show nothing-like-it", []),
        ("mlib nonsense ", []),
    ],
)
def test_a_line_goes_on(filled: Library, line: str, found: list[str]) -> None:
    os.environ["MLIB_LIBRARY"] = filled.path
    try:
        assert [each for each in mlib_here("--complete-line", line).out.split("\n") if each] == found
    finally:
        del os.environ["MLIB_LIBRARY"]


@pytest.mark.parametrize("typed", ["caf\u00e9", "cafe\u0301"])
def test_a_name_goes_on_in_either_form_of_unicode(
    library: Library, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    names = ["caf\u00e9 1.safetensors", "cafe\u0301 2.safetensors"]
    put_model(library, SHA, name=names[0], type="cafe\u0301s", tags_=["Caf\u00e9 noir"])
    put_model(library, OTHER, name=names[1])
    monkeypatch.setenv("MLIB_LIBRARY", library.path)

    def candidates(words: str) -> list[str]:
        return mlib_here("--complete-line", f"mlib {words}{typed}").out.splitlines()

    assert sorted(candidates("show ")) == sorted(names)
    assert candidates("list type:") == ["type:cafe\u0301s"]
    assert candidates("scan --root ") == ["cafe\u0301s="]
    assert candidates("list tag:") == ['tag:"Caf\u00e9 noir"']
    assert candidates("update x --tag ") == ["Caf\u00e9 noir"]


def test_without_a_library_nothing_is_said_and_nothing_made(own_home: Path) -> None:
    result = mlib_here("--complete-line", "mlib show wa")
    assert result.out == result.err == ""
    assert list(own_home.iterdir()) == []


def on_path(folder: Path) -> str:
    """A PATH whose `mlib` is the program under test."""
    (folder / "mlib").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mlib "$@"\n')
    (folder / "mlib").chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def bash(library: str, folder: Path, line: str) -> list[str]:
    """What bash makes of a line with the program's own script, word by word as readline parts it."""
    path = on_path(folder)
    words = line.split(" ")
    asking = (
        f'eval "$(mlib --show-completion bash)"; COMP_LINE=$1; COMP_POINT=${{#1}};'
        f" COMP_CWORD={len(words) - 1}; COMP_WORDS=($1); _mlib_complete;"
        f' printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run(
        ["bash", "-c", asking, "bash", line],
        env={**os.environ, "PATH": path, "MLIB_LIBRARY": library},
        cwd=folder, capture_output=True, check=True, text=True,
    )  # fmt: skip
    return [each for each in done.stdout.split("\n") if each]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("mlib cle", ["clean-meta"]),
        ("mlib show wat", [r"water\ color.safetensors"]),
        ("mlib list type:lor", ["loras"]),
        ("mlib show $(to", [r"\$\(touch\ pwned\).safetensors"]),
    ],
)
def test_bash_completes_and_evaluates_nothing(
    filled: Library, tmp_path: Path, line: str, found: list[str]
) -> None:
    assert bash(filled.path, tmp_path, line) == found
    assert not (tmp_path / "pwned").exists()


#: Lines as they are typed, and what they are when TAB was pressed behind them.
TYPED = {
    "mlib cle": "mlib clean-meta ",
    "mlib show wat": r"mlib show water\ color.safetensors ",
    'mlib show "wat': 'mlib show "water color.safetensors" ',
    "mlib show 'wat": "mlib show 'water color.safetensors' ",
    "mlib update x --untag ST": "mlib update x --untag style ",
    "mlib show A1A1": "mlib show a1a1a1a1a1 ",
    "mlib list type:lor": "mlib list type:loras ",
    "mlib list typ": "mlib list type:",
    "mlib list -tag:so": r"mlib list -tag:\"soft,\ wet\" ",
    "mlib scan -q | mlib show wat": r"mlib scan -q | mlib show water\ color.safetensors ",
    "X=1 mlib cle": "X=1 mlib clean-meta ",
    "mlib show '$(to": "mlib show '$(touch pwned).safetensors' ",
    "mlib scan my": r"mlib scan my\ files/",
    "mlib scan eq": "mlib scan eq=uals/",
    "mlib scan --root lor": "mlib scan --root loras=",
    "mlib scan --root loras=my": r"mlib scan --root loras=my\ files/",
    "mlib update x --tag=so": r"mlib update x --tag=soft,\ wet ",
    "mlib tags delete ST": "mlib tags delete style ",
    "mlib list type:vae,lor": "mlib list type:vae,loras ",
}


#: What bash quotes otherwise, or takes for something else than the others do.
IN_BASH = {
    "mlib list -tag:so": r"mlib list -tag:\"soft\,\ wet\" ",
    "mlib update x --tag=so": r"mlib update x --tag=soft\,\ wet ",
    "mlib scan eq": r"mlib scan eq\=uals/",
    "mlib list type:vae,lor": r"mlib list type:vae\,loras ",
    'mlib show "$(to': r'mlib show "\$(touch pwned).safetensors" ',
    """mlib show '9""": r"""mlib show '9" of $it`s \.pt' """,
    "mlib show 9": r"mlib show 9\"\ of\ \$it\`s\ \\.pt ",
    r'mlib show "9\"': r'mlib show "9\" of \$it\`s \\.pt" ',
}
#: How each is told to read the script, or where it was installed.
SETUP = {
    "bash": 'eval "$(mlib --show-completion bash)"',
    "zsh": 'autoload -U compinit; compinit -u -D; eval "$(mlib --show-completion zsh)"',
    "zsh installed": "fpath+=~/.zfunc; autoload -U compinit; compinit -u -D",
    "fish": "mlib --show-completion fish | source",
    "fish installed": "",
}


@pytest.mark.parametrize("setup", SETUP)
def test_a_shell_completes_and_evaluates_nothing(
    filled: Library, tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch, setup: str
) -> None:
    shell, _, installed = setup.partition(" ")
    require(shell, "setsid")
    monkeypatch.setenv("MLIB_LIBRARY", filled.path)
    (own_home / "my files").mkdir()
    (own_home / "eq=uals").mkdir()
    if installed:
        mlib_here("--install-completion", shell)
    typed = TYPED | (IN_BASH if shell == "bash" else {})
    made = completed(shell, [*typed], home=own_home, setup=SETUP[setup], path=on_path(tmp_path))
    assert dict(zip(typed, made, strict=True)) == typed
    assert not (own_home / "pwned").exists()


@pytest.mark.parametrize(
    ("shell", "place"),
    [
        ("bash", ".local/share/bash-completion/completions/mlib"),
        ("zsh", ".zfunc/_mlib"),
        ("fish", ".config/fish/completions/mlib.fish"),
    ],
)
def test_it_is_put_where_the_shell_looks(own_home: Path, shell: str, place: str) -> None:
    script = mlib_here("--show-completion", shell).out
    assert "--complete-line" in script
    assert place in mlib_here("--install-completion", shell).err
    assert (own_home / place).read_text() == script


def test_another_shell_is_wrong_usage() -> None:
    assert "fish" in mlib_here("--show-completion", "tcsh", code=2).err
