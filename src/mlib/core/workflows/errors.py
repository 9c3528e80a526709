"""What keeps a file from being read as a workflow."""

from __future__ import annotations


class WorkflowError(Exception):
    """The file names no models that could be read.

    `code` is stable: `not_a_workflow`, `bad_json`, `bad_image`, `too_large`, `empty_file`, `lfs_pointer`,
    `apple_double`. `kind` says what a file is that is no workflow: `json`, `png`, `mp4` …
    """

    def __init__(self, code: str, message: str, kind: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.kind = kind
