"""Find and read workflow files."""

from __future__ import annotations

import io
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.disk.storage import open_for_reading
from mlib.core.disk.walk import passed_over, reason
from mlib.core.errors import NotFound
from mlib.core.records import Problem
from mlib.core.workflows.graph import WorkflowError
from mlib.core.workflows.mentions import EXTENSIONS, WorkflowContents, read_contents

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlib.core.workflows.mentions import Mentions
    from mlib.core.workflows.needs import Need


class Read(NamedTuple):
    """A file, and the models it names, or why that cannot be told.

    `mentions` is all else in it that may mean a model. `kind` says what the file is that holds no workflow.
    """

    path: str
    needs: tuple[Need, ...] = ()
    problem: Problem | None = None
    mentions: Mentions | None = None
    kind: str = ""


class Other(NamedTuple):
    """A file of a kind that holds no workflows."""

    kind: str


def read_file(path: str) -> Read:
    """What the workflow at `path` needs; whatever is wrong with it is its problem."""
    absolute = os.path.abspath(path) if path else ""
    kind = ""
    try:
        found = _contents(absolute)
        return Read(absolute, found.needs, mentions=found.mentions)
    except WorkflowError as error:
        code, message, kind = error.code, error.message, error.kind
    except (FileNotFoundError, NotADirectoryError):
        code, message = "no_such_path", "there is no such file"
    except IsADirectoryError:
        code, message = "not_a_file", "is a directory"
    except OSError as error:
        code, message = "unreadable", reason(error)
    except ValueError:  # a name with a NUL
        code, message = "no_such_path", "not a valid file name"
    return Read(absolute, problem=Problem(absolute, code, message), kind=kind)


def _contents(path: str) -> WorkflowContents:
    with io.BufferedReader(open_for_reading(path)) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise WorkflowError("not_a_file", "not a file")
        return read_contents(file, status.st_size)


def workflow_files(directories: Sequence[str]) -> Iterator[str | Other | Problem]:
    """Every file below these directories that may hold a workflow, each directory once, in order of names.

    A file may be given too. What cannot hold a workflow comes as `Other`. Raises NotFound for what is not
    there.
    """
    seen: set[tuple[int, int]] = set()
    for given in directories:
        absolute = os.path.abspath(given)
        if not given or not os.path.exists(absolute):
            raise NotFound("no_such_path", f"no such directory: {given}")
        if not os.path.isdir(absolute):
            yield absolute
            continue
        waiting = [absolute]
        while waiting:
            directory = waiting.pop()
            try:
                status = os.stat(directory)
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
                with os.scandir(directory) as listing:
                    entries = sorted(listing, key=lambda entry: entry.name)
            except OSError as error:
                yield Problem(directory, "unreadable", f"cannot list it: {reason(error)}")
                continue
            deeper = []
            for entry in entries:
                if os.path.splitext(entry.name)[1].lower() in EXTENSIONS and _is_file(entry):
                    yield entry.path
                elif _is_directory(entry):
                    if not passed_over(entry.name):
                        deeper.append(entry.path)
                else:
                    yield Other(os.path.splitext(entry.name)[1].lower() or "no extension")
            waiting += reversed(deeper)


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return True  # reading it tells why not


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
