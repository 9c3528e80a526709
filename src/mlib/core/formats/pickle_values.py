"""What a pickle builds, as inert values: records of what a load would have made, and nothing that can act.

Numbers, None and booleans are themselves. A text is its UTF-8 bytes, undecoded. Lists and sets are lists,
tuples are tuples. No container is ever hashed or compared: a file could make that recurse without end.
"""

from __future__ import annotations

from typing import Final


class Opaque:
    """A value nobody asks about: bytes, an enormous text or number."""

    __slots__ = ()


OPAQUE: Final = Opaque()


class Pairs(list[object]):
    """A dict as key, value, key, value, in the order in which they were set."""

    __slots__ = ()


class Global:
    """A name that a load would import, as `module` and `name`."""

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name

    @property
    def path(self) -> str:
        return f"{self.module}.{self.name}"


class Call:
    """An object that a load would make by calling `function`; then what is set on it."""

    __slots__ = ("args", "function", "pairs", "state")

    def __init__(self, function: object, args: object) -> None:
        self.function = function
        self.args = args
        self.pairs: Pairs | None = None
        self.state: object = None

    @property
    def path(self) -> str:
        """Dotted name of what is called, or nothing where that is itself a result."""
        return self.function.path if isinstance(self.function, Global) else ""


class Persistent:
    """Something that lies outside the pickle, by the key that the pickle has for it."""

    __slots__ = ("key",)

    def __init__(self, key: object) -> None:
        self.key = key
