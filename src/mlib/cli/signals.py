"""Ctrl-C and SIGTERM: wherever they arrive, the command ends with their exit code and no traceback."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from mlib.core.errors import INTERRUPTED, TERMINATED, Terminated

if TYPE_CHECKING:
    from types import FrameType

_CODES: dict[int, int] = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}
#: Seconds after which an interruption that Python dropped is raised again.
_SOON = 0.001

_arrived: list[int] = []


def listen() -> None:
    """Raise KeyboardInterrupt on Ctrl-C and Terminated on SIGTERM from now on; forget earlier ones.

    A signal that the parent process ignores (`nohup`, `&` in a script) stays ignored.
    """
    _arrived.clear()
    sys.unraisablehook = _raise_again
    for number in _CODES:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def listen_no_more() -> None:
    """Ignore both signals from now on: the work is done and the exit code is final."""
    for number in _CODES:
        signal.signal(number, signal.SIG_IGN)


def exit_code() -> int | None:
    """The exit code of the first signal that arrived, if any."""
    return _CODES[_arrived[0]] if _arrived else None


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    _arrived.append(number)
    _raise(number)


def _raise(number: int) -> NoReturn:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise Terminated


def _raise_again(unraisable: sys.UnraisableHookArgs) -> None:
    """Raise an interruption again that arrived where Python cannot raise: an import callback, a `__del__`.

    Python would print a traceback, drop the interruption and let the command continue.
    """
    if not isinstance(unraisable.exc_value, (KeyboardInterrupt, Terminated)):
        sys.__unraisablehook__(unraisable)
        return
    signal.signal(signal.SIGALRM, lambda *_: _raise(_arrived[0]))
    signal.setitimer(signal.ITIMER_REAL, _SOON)
