"""What these tests need of the machine: tools, privileges and mounts."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path


def lacking(what: str) -> NoReturn:
    """This machine cannot run the test: a failure where it must be able to, else a reason to skip."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


def require(*tools: str) -> None:
    """Go on only if these programs are installed."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        lacking(f"not installed: {', '.join(missing)}")


def require_root() -> None:
    """Go on only with the rights to mount."""
    if os.geteuid() != 0:
        lacking("needs root")


@contextmanager
def mounted(*what: str, at: Path, pass_fds: tuple[int, ...] = ()) -> Iterator[None]:
    """Mount something, and take it off again whoever still uses it; `what` is as mount(8) wants it."""
    require("mount", "umount")
    require_root()
    done = subprocess.run(
        ["mount", *what, at], capture_output=True, pass_fds=pass_fds, check=False, text=True
    )
    if done.returncode != 0:
        lacking(f"cannot mount: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", at], check=True)


def tmpfs(*, size: int, at: Path) -> AbstractContextManager[None]:
    """A file system in memory that holds so many bytes."""
    return mounted("-t", "tmpfs", "-o", f"size={size}", "tmpfs", at=at)


@contextmanager
def hanging_reads(path: Path) -> Iterator[None]:
    """Let every read of a file hang, as on a network drive whose server is gone.

    The reader waits for a fanotify(7) listener to allow the read, and this one never does.
    """
    content_class, add_mark, access_permission, from_here = 0x4, 0x1, ctypes.c_uint64(0x20000), -100
    libc = ctypes.CDLL(None, use_errno=True)
    listener = libc.fanotify_init(content_class, os.O_RDONLY)
    if listener < 0:
        lacking(f"cannot watch files: {os.strerror(ctypes.get_errno())}")
    try:
        marked = libc.fanotify_mark(listener, add_mark, access_permission, from_here, os.fsencode(path))
        if marked != 0:
            lacking(f"cannot hold up reads: {os.strerror(ctypes.get_errno())}")
        yield
    finally:
        os.close(listener)


@contextmanager
def dead_fuse(*, at: Path) -> Iterator[None]:
    """A FUSE file system whose program has died, as fuse(4) has it: every call on it gives ENOTCONN."""
    require_root()
    if not os.path.exists("/dev/fuse"):
        lacking("there is no /dev/fuse")
    with open("/dev/fuse", "r+b", buffering=0) as channel:
        number = channel.fileno()
        options = f"fd={number},rootmode=40000,user_id=0,group_id=0"
        # -i: no helper program, the kernel alone.
        with mounted("-i", "-t", "fuse", "-o", options, "dead", at=at, pass_fds=(number,)):
            channel.close()
            yield
