"""Keeping signals out of the moments in which what is written and what is remembered must stay one."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mlib.core.errors import Terminated

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from mlib.services.scanning.report import ScanReport


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM take effect only at the end of the block."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[tuple[int, FrameType | None]] = []
    handlers = {
        number: signal.signal(number, lambda number, frame: waiting.append((number, frame)))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if waiting:
        first, frame = waiting[0]
        handler = handlers[signal.Signals(first)]
        if callable(handler):
            handler(first, frame)


@contextmanager
def noted(report: ScanReport) -> Iterator[None]:
    """Let an interruption end what is done here, and note it in the report."""
    try:
        yield
    except (KeyboardInterrupt, Terminated) as interruption:
        report.interrupted = interruption
