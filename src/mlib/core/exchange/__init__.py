"""The lines of an export: JSON objects, a line each, that say all that a library holds about its models.

The first line is the header: `format`, `version`, the `schema` of the library it comes from, and its `roots`.
Then a line a model in the order of their SHA-256, then a line a pending import (`"pending": true`).
Times are milliseconds since the epoch. A path may hold lone surrogates: bytes that are no UTF-8.
"""

from mlib.core.exchange.reading import exported_of, header_of
from mlib.core.exchange.records import FORMAT, VERSION, BadLineError, Exported, Facts, Header, Place
from mlib.core.exchange.writing import header_line, line

__all__ = [
    "FORMAT",
    "VERSION",
    "BadLineError",
    "Exported",
    "Facts",
    "Header",
    "Place",
    "exported_of",
    "header_line",
    "header_of",
    "line",
]
