"""Errors a person can act on: a line, a stable code, a hint where one exists, and what each face answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Kind(NamedTuple):
    """A kind of error, as a shell and a web client are told of it."""

    name: str
    exit_code: int
    http_status: int


#: Something did not work.
FAILED = Kind("failed", 1, 500)
#: What was asked for is wrong in itself.
USAGE = Kind("usage", 2, 400)
#: Going on could cost the user data, so nothing was done.
REFUSED = Kind("refused", 4, 409)
#: A name leads to nothing, or to more than one thing.
NOT_FOUND = Kind("not_found", 5, 404)
#: Another process held the library for longer than the time allowed.
BUSY = Kind("busy", 6, 503)

#: Exit codes that no error has. Finished, but some items failed, conflict or are corrupt; they were listed.
FINISHED_WITH_PROBLEMS = 3
#: Ended by Ctrl-C or SIGTERM; what was finished is kept.
INTERRUPTED, TERMINATED = 130, 143

#: Every code by the kinds of errors that have it; scripts rely on both.
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

#: Arguments of the program; what begins with a dash are options to add to the command that failed.
Command = tuple[str, ...]


class _Hint(NamedTuple):
    text: str
    values: tuple[str | Command | Hint, ...]


class Hint(_Hint):
    """What may help: `Hint("{} lists them", ("pending",))`. Each face has its own words for the commands.

    Every `{}` of the text stands for one of the values: a command, a text as it is, or another hint. Without
    values the text is meant as it stands.
    """

    __slots__ = ()

    def __new__(cls, text: str, *values: str | Command | Hint) -> Hint:
        return super().__new__(cls, text, values)


class MlibError(Exception):
    """Something stopped the command; `code` is stable and meant for scripts.

    `damaged` is the path of a library that a backup may bring back. Which one could is found out, by reading
    them, where the error is shown: `services.backing_up.hint_of`.
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
    """The command line itself is wrong."""

    kind = USAGE


class Refused(MlibError):
    """Going on could cost the user data, so nothing was done."""

    kind = REFUSED


class NotFound(MlibError):
    """A name leads to no model, or to more than one."""

    kind = NOT_FOUND


class LibraryBusy(MlibError):
    """Another process held the library for longer than the time allowed."""

    kind = BUSY


class Terminated(BaseException):
    """SIGTERM, raised where KeyboardInterrupt would be for Ctrl-C."""
