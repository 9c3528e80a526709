"""Errors for people: one line, a stable code, a hint if there is one, and the exit code and HTTP status."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Kind(NamedTuple):
    """A kind of error: its exit code and HTTP status."""

    name: str
    exit_code: int
    http_status: int


#: Something failed.
FAILED = Kind("failed", 1, 500)
#: The request itself is invalid.
USAGE = Kind("usage", 2, 400)
#: Continuing could lose user data, so nothing was done.
REFUSED = Kind("refused", 4, 409)
#: A name matches nothing, or more than one thing.
NOT_FOUND = Kind("not_found", 5, 404)
#: Another process held the library longer than the time limit.
BUSY = Kind("busy", 6, 503)

#: Exit codes without an error. Finished, but some items failed, conflict or are corrupt; they were listed.
FINISHED_WITH_PROBLEMS = 3
#: Stopped by Ctrl-C or SIGTERM; finished work is kept.
INTERRUPTED, TERMINATED = 130, 143

#: The codes of each kind of error; scripts rely on both.
CODES: Mapping[Kind, frozenset[str]] = {
    FAILED: frozenset({
        "backup_failed", "bad_backup", "bad_yaml", "busy", "cannot_link", "cannot_move", "cannot_trash",
        "cannot_move_safely", "cannot_write", "changed", "changed_since", "copy_differs", "corrupt_database",
        "database_in_use", "database_too_big", "database_too_slow",
        "disk_full", "empty_file", "exists", "gone", "half_moved",
        "internal_error", "library_corrupt", "library_error", "library_io_error", "library_read_only",
        "library_replaced", "library_unreadable", "library_unwritable", "no_comfyui", "no_directory",
        "no_home", "no_journal", "no_roots", "no_temporary_copy", "not_a_database", "not_a_directory",
        "not_a_file", "not_a_library", "not_exclusive", "not_installed", "not_json", "not_text", "not_yaml",
        "other_file_system", "other_permissions", "output_failed", "outside_roots", "own_library",
        "part_of_set", "rotten", "same_file", "shared_stem", "sidecar_mismatch", "temporary_copy_failed",
        "too_large", "unknown_database", "unknown_export", "unreadable",
        "unreadable_file", "unreadable_root", "wrong_kind",
    }),
    USAGE: frozenset({
        "bad_format", "bad_id", "bad_input", "bad_key", "bad_library", "bad_map", "bad_name", "bad_options",
        "bad_query", "bad_rate", "bad_ref", "bad_root", "bad_set", "bad_sort", "bad_span", "bad_tag",
        "bad_text", "empty_ref", "image_payload", "keep_what", "no_files", "no_models",
        "no_workflows_given", "not_a_model", "nothing_to_do", "only_a_list", "passed_over", "same_library",
        "two_deeds", "unknown_field", "unknown_shell", "unknown_type", "usage",
    }),
    REFUSED: frozenset({
        "already_undone", "changed_since", "cleaning_is_not_undone", "export_too_new", "file_exists",
        "files_are_not_undone", "library_altered", "library_too_new", "needs_yes", "no_file_of_it",
        "no_workflows", "not_a_file", "not_confirmed", "part_of_set", "same_file", "too_many",
    }),
    NOT_FOUND: frozenset({
        "ambiguous_ref", "model_not_found", "no_backup", "no_file", "no_library", "no_such_directory",
        "no_such_entry", "no_such_file", "no_such_key", "no_such_path", "no_such_topic", "nothing_to_undo",
        "pending_not_found", "ref_too_short", "root_not_found", "several_files", "tag_not_found",
    }),
    BUSY: frozenset({
        "files_busy", "library_busy",
    }),
}  # fmt: skip

#: Arguments of the program; if they begin with a dash, options to add to the command that failed.
Command = tuple[str, ...]


class _Hint(NamedTuple):
    text: str
    values: tuple[str | Command | Hint, ...]


class Hint(_Hint):
    """A suggestion, such as `Hint("{} lists them", ("pending",))`; each face words the commands itself.

    Every `{}` in the text stands for one of the values: a command, a literal text, or another hint. Without
    values the text is literal.
    """

    __slots__ = ()

    def __new__(cls, text: str, *values: str | Command | Hint) -> Hint:
        return super().__new__(cls, text, values)


class MlibError(Exception):
    """The command failed; `code` is stable and meant for scripts.

    `damaged` is the path of a library that a backup may restore. Which backup is good is determined only when
    the error is shown, by reading them: `services.backing_up.hint_of`.
    """

    kind = FAILED

    def __init__(
        self, code: str, message: str, *, hint: str | Hint | None = None, damaged: str | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.damaged = damaged

    @property
    def exit_code(self) -> int:
        return self.kind.exit_code


class WrongUsage(MlibError):
    """The request itself is invalid."""

    kind = USAGE


class Refused(MlibError):
    """Continuing could lose user data, so nothing was done."""

    kind = REFUSED


class NotFound(MlibError):
    """A name matches nothing, or more than one thing."""

    kind = NOT_FOUND


class LibraryBusy(MlibError):
    """Another process held the library longer than the time limit."""

    kind = BUSY


class Terminated(BaseException):
    """SIGTERM, raised as KeyboardInterrupt is for Ctrl-C."""
