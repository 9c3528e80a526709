"""A tree of small model files that is changed as people change theirs, and what it really holds.

Nothing here knows the program under test: what a file is worth is told by comparing its bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from tests.tools import safetensors

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Two files of the same size and one of another, all of them whole.
CONTENTS = tuple(safetensors(f"content {n}", size=96 if n % 3 == 0 else 64) for n in range(8))
SHA256 = tuple(hashlib.sha256(content).hexdigest() for content in CONTENTS)
_SHA_OF = dict(zip(CONTENTS, SHA256, strict=True))

ROOTS = ("checkpoints", "loras")
FOLDERS = ("", "sub", "sub/deep")
NAMES = ("a.safetensors", "b.safetensors", "c.safetensors", "d.sft")
#: Beside a file, these say that its download goes on.
CONTROL = (".part", ".aria2")


class State(Enum):
    """A file that has no content to speak of: a download under way, or one that cannot be judged."""

    UNFINISHED = "unfinished"
    UNKNOWN = "unknown"


@dataclass
class ModelTree:
    """The roots below `base`. Every write gets a time of change of its own, long ago."""

    base: Path
    writes: int = 0
    #: Final paths of downloads and what they will hold.
    downloads: dict[Path, bytes] = field(default_factory=dict)
    #: Paths whose files lie outside of the roots, and where.
    aside: dict[Path, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.epoch = time.time_ns() - 30 * 86_400 * 1_000_000_000
        for root in ROOTS:
            self.root(root).mkdir(parents=True)

    def root(self, name: str) -> Path:
        return self.base / name

    def plugged(self) -> list[Path]:
        return [self.root(name) for name in ROOTS if self.root(name).is_dir()]

    def place(self, root: str, folder: str, name: str) -> Path | None:
        """Where a file may be put, its folder made; None if the root is off."""
        if not self.root(root).is_dir():
            return None
        path = self.root(root) / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def files(self) -> list[Path]:
        """Everything in the roots that are on and is no directory, broken links and downloads included."""
        return sorted(
            Path(directory, name)
            for root in self.plugged()
            for directory, _, names in os.walk(root)
            for name in names
        )

    def write(self, path: Path, content: bytes) -> None:
        """Write in place, through links; the time of change is one that no other write had."""
        with contextlib.suppress(OSError):  # a link that leads to itself, or where nothing can be made
            path.write_bytes(content)
            self.touch(path)

    def touch(self, path: Path) -> None:
        self.writes += 1
        moment = self.epoch + self.writes * 1_000_000_000
        with contextlib.suppress(OSError):
            os.utime(path, ns=(moment, moment))

    def copy(self, source: Path, target: Path, *, keep_time: bool) -> None:
        if not source.exists() or (target.exists() and source.samefile(target)):
            return
        with contextlib.suppress(OSError):
            shutil.copy2(source, target)
            if not keep_time:
                self.touch(target)

    def hard_link(self, source: Path, target: Path) -> None:
        if source.exists() and not os.path.lexists(target):
            os.link(os.path.realpath(source), target)

    def soft_link(self, source: Path, target: Path) -> None:
        if not os.path.lexists(target):
            target.symlink_to(source)

    def swap(self, one: Path, other: Path) -> None:
        aside = self.base / "aside"
        one.rename(aside)
        if one != other:
            other.rename(one)
        aside.rename(other)

    def put_aside(self, path: Path) -> None:
        """Move a file out of all roots."""
        self.writes += 1
        self.aside[path] = self.base / f"aside {self.writes}"
        path.replace(self.aside[path])

    def bring_back(self, path: Path) -> None:
        """Move it back as it was, over what may lie there by now."""
        away = self.aside.pop(path)
        if path.parent.is_dir():
            away.replace(path)

    def start_download(self, path: Path, content: bytes, how: str) -> None:
        """Begin to write a file: under a longer name, or in place (empty, or only its beginning)."""
        self.downloads[path] = content
        if how in CONTROL:
            self.write(Path(f"{path}{how}"), content[:30])
        if how != ".part":
            self.write(path, b"" if how == "empty" else content[:-20])

    def finish_download(self, path: Path) -> None:
        content = self.downloads.pop(path)
        if not path.parent.is_dir():
            return
        part = Path(f"{path}.part")
        if part.exists():
            self.write(part, content)
            part.replace(path)
        else:
            self.write(path, content)
        Path(f"{path}.aria2").unlink(missing_ok=True)

    def unplug(self, root: str, *, mount_point: bool) -> None:
        """Take a root away; its empty directory may stay behind, as that of an unmounted disk does."""
        if not self._away(root).exists():
            self.root(root).rename(self._away(root))
            if mount_point:
                self.root(root).mkdir()

    def plug(self, root: str) -> None:
        if self._away(root).exists():
            shutil.rmtree(self.root(root), ignore_errors=True)
            self._away(root).rename(self.root(root))

    def _away(self, root: str) -> Path:
        return self.base / f"{root} (off)"

    def holds(self, path: Path) -> str | State | None:
        """The SHA-256 of the whole model at a path, or what else is to be said; None: there is no file."""
        if not os.path.lexists(path) or path.is_dir():
            return None
        if not path.exists() or any(os.path.lexists(f"{path}{suffix}") for suffix in CONTROL):
            return State.UNKNOWN
        return _SHA_OF.get(path.read_bytes(), State.UNFINISHED)

    def contents(self) -> Iterator[tuple[Path, str | State]]:
        """Every path with the name of a model in the roots that are on, and what it holds."""
        for path in self.files():
            if path.name in NAMES and (held := self.holds(path)) is not None:
                yield path, held
