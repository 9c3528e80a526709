"""What keeps a file from being read as a workflow."""

from __future__ import annotations


class WorkflowError(Exception):
    """The file names no models that could be read; `code` is stable: `not_a_workflow`, `bad_json`,
    `bad_image`, `too_large`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
