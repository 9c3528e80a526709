"""What a machine that follows a pickle has before it, between two instructions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlib.core.formats.pickle_source import Source
    from mlib.core.formats.pickle_values import Global, Persistent


class Machine:
    """Where a pickle has got to: its stack and memo, and what has been seen of the world outside."""

    __slots__ = (
        "frame_end",
        "globals",
        "memo",
        "persistent",
        "protocol",
        "running",
        "source",
        "stack",
        "stacks",
    )

    def __init__(self, source: Source) -> None:
        self.source = source
        self.stack: list[object] = []
        self.stacks: list[list[object]] = []  # one for each open mark
        self.memo: dict[int, object] = {}
        self.globals: dict[tuple[bytes, bytes], Global] = {}
        self.persistent: list[Persistent] = []
        self.protocol = 0
        self.frame_end = 0
        self.running = True

    def push(self, value: object) -> None:
        self.stack.append(value)

    def pop_mark(self) -> list[object]:
        """What was pushed since the last mark."""
        items = self.stack
        self.stack = self.stacks.pop()
        return items
