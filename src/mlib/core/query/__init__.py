"""The language of queries: read, printed, and what its sizes and moments mean. It knows no library."""

from mlib.core.query.parse import parse
from mlib.core.query.terms import Query, Term, Value, mentions, printed

__all__ = ["Query", "Term", "Value", "mentions", "parse", "printed"]
