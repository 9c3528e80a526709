"""Progress bars on standard error; none if it is not a terminal."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from mlib.core.events import Event, FileStored, HashingAdvanced, HashingStarted, Judging, Walking
from mlib.core.text import visible

if TYPE_CHECKING:
    from rich.progress import Progress as Bars


class Progress:
    """Progress bars on standard error, if it is a terminal; pass `emit` to a service."""

    def __init__(self, *, wanted: bool) -> None:
        self._visible = wanted and sys.stderr is not None and sys.stderr.isatty() and _can_redraw()
        self._bars: Bars | None = None
        self._walk: Any = None
        self._hash: Any = None
        self._files = (0, 0)

    def emit(self, event: Event) -> None:
        if not self._visible:
            return
        match event:
            case Walking(files):
                self._show_walk(f"looking for models: {files:,} files")
            case HashingStarted(files, size):
                self._start_hashing(files, size)
            case HashingAdvanced(size, slow):
                self._advance(size, slow)
            case Judging(done, total):
                self._show_walk(f"inspecting again: {done:,}/{total:,}")
            case FileStored():
                self._count()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def _started(self) -> Bars:
        if self._bars is None:
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                DownloadColumn,
                TextColumn,
                TimeRemainingColumn,
                TransferSpeedColumn,
            )
            from rich.progress import Progress as Bars

            self._bars = Bars(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=None),
                DownloadColumn(),
                TransferSpeedColumn(),
                TimeRemainingColumn(compact=True),
                console=Console(stderr=True),
                transient=True,
            )
            self._bars.start()
        return self._bars

    def _show_walk(self, text: str) -> None:
        bars = self._started()
        if self._walk is None:
            self._walk = bars.add_task(text, total=None)
        bars.update(self._walk, description=text)

    def _start_hashing(self, files: int, size: int) -> None:
        bars = self._started()
        if self._walk is not None:
            bars.remove_task(self._walk)
            self._walk = None
        self._files = (0, files)
        self._hash = bars.add_task(f"reading 0/{files:,}", total=size or None)

    def _advance(self, size: int, slow: str | None) -> None:
        if self._bars is None or self._hash is None:
            return
        done, total = self._files
        label = f"reading {done:,}/{total:,}" if slow is None else f"waiting for {visible(slow)}"
        self._bars.update(self._hash, completed=size, description=label)

    def _count(self) -> None:
        done, total = self._files
        self._files = (min(done + 1, total), total)


def _can_redraw() -> bool:
    return os.environ.get("TERM", "dumb") != "dumb"
