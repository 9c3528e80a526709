"""What an examination says, and the commands it names."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from mlib.core.errors import LibraryBusy, MlibError
from mlib.core.shell import library_option

if TYPE_CHECKING:
    from collections.abc import Callable

State = Literal["ok", "warning", "error"]
_DAMAGE = frozenset({"library_corrupt", "library_error", "library_io_error"})


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `mend` is what puts it right, `fixed` if that was done now."""

    name: str
    state: State
    message: str
    mend: str | None = None
    fixed: bool = False


@dataclass(slots=True)
class Diagnosis:
    """Every check, in the order in which they were made."""

    path: str
    checks: list[Check] = field(default_factory=list)

    def count(self, state: State) -> int:
        """How many checks are in this state and were not put right."""
        return sum(check.state == state and not check.fixed for check in self.checks)


def done(check: Check, deed: Callable[[], object], fix: bool) -> Check:
    """The check, put right if that is wanted and can be done."""
    if not fix:
        return check
    with suppress(OSError, MlibError):
        deed()
        return replace(check, fixed=True)
    return check


def broken(name: str, error: MlibError, path: str) -> Check:
    """An error of the library at `path` as a check: only damage is mended by a backup, which is older.

    Raises it again where another program only uses the library.
    """
    if isinstance(error, LibraryBusy):
        raise error
    return Check(
        name, "error", error.message, restoring_command(path) if error.code in _DAMAGE else error.hint
    )


def restoring_command(path: str) -> str:
    """What puts the newest good backup in the place of the library at `path`."""
    return f"mlib restore --latest {library_option(path)}"
