"""A Python without what only Unix has: no locks, no descriptors of directories, no owners. On PYTHONPATH."""

import errno
import os
import sys
from collections.abc import Callable
from typing import Any

_open, _stat = os.open, os.stat


def _open_file(path: Any, *rest: Any, dir_fd: None = None) -> int:
    _refuse(dir_fd)
    if os.path.isdir(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    return _open(path, *rest)


def _stat_path(path: Any, *, dir_fd: None = None, follow_symlinks: bool = True) -> os.stat_result:
    _refuse(dir_fd)
    return _stat(path, follow_symlinks=follow_symlinks)


def _refuse(*descriptors: object) -> None:
    if any(each is not None for each in descriptors):
        raise NotImplementedError("unavailable on this platform")


def _by_path(function: Callable[..., Any]) -> Callable[..., Any]:
    def by_path(*words: Any, **named: Any) -> Any:
        _refuse(*(named.get(name) for name in ("dir_fd", "src_dir_fd", "dst_dir_fd")))
        _refuse(*(each for each in words[:1] if isinstance(each, int)), named.get("follow_symlinks"))
        return function(*words, **named)

    return by_path


for _name in ("link", "listdir", "mkdir", "readlink", "rename", "rmdir", "scandir", "symlink", "unlink"):
    setattr(os, _name, _by_path(getattr(os, _name)))
for _name in ("O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK", "O_PATH", "fchown"):
    delattr(os, _name)
for _name in ("geteuid", "getuid", "posix_fadvise"):
    delattr(os, _name)
for _all in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
    _all.clear()
os.open, os.stat = _open_file, _stat_path  # type: ignore[assignment]
sys.modules["fcntl"] = None  # type: ignore[assignment]
