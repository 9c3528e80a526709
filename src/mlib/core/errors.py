"""Errors a person can act on: one line, a stable code, a hint where one exists, and an exit code."""

from __future__ import annotations


class MlibError(Exception):
    """Something stopped the command; `code` is stable and meant for scripts.

    `damaged` is the path of a library that a backup may bring back. Which one could is found out, by reading
    them, where the error is shown: `services.backing_up.hint_of`.
    """

    exit_code = 1

    def __init__(
        self, code: str, message: str, *, hint: str | None = None, damaged: str | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.damaged = damaged


class WrongUsage(MlibError):
    """The command line itself is wrong."""

    exit_code = 2


class Refused(MlibError):
    """Going on could cost the user data, so nothing was done."""

    exit_code = 4


class NotFound(MlibError):
    """A name leads to no model, or to more than one."""

    exit_code = 5


class LibraryBusy(MlibError):
    """Another process held the library for longer than the time allowed."""

    exit_code = 6


class Terminated(BaseException):
    """SIGTERM, raised where KeyboardInterrupt would be for Ctrl-C."""
