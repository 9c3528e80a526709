"""What can be told of a root without walking it."""

from __future__ import annotations

import os
from typing import Literal

Standing = Literal["present", "absent", "empty", "unreadable"]


def standing(directory: str) -> Standing:
    """Whether a root is there: `empty` is also what a drive leaves behind that is switched off."""
    try:
        with os.scandir(directory) as entries:
            return "empty" if next(entries, None) is None else "present"
    except (FileNotFoundError, NotADirectoryError):
        return "absent"
    except OSError:
        return "unreadable"
