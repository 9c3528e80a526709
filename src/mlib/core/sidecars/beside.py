"""What lies beside a model file, as the disk is now."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mlib.core.sidecars.companions import companions

if TYPE_CHECKING:
    from mlib.core.sidecars.companions import Companion


def beside(path: str) -> tuple[Companion, ...]:
    """The companions of the model file at `path`; none where its directory cannot be listed."""
    directory, name = os.path.split(path)
    try:
        names = os.listdir(directory)
    except (OSError, ValueError):  # no directory can have a name with a zero byte
        return ()
    return companions(name, names)
