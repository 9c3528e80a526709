"""Finding what a person means, and telling all that is known of it."""

from mlib.services.catalog.detail import Detail, Place, Related, detail
from mlib.services.catalog.refs import CANDIDATES, read_refs, resolve, resolve_all

__all__ = [
    "CANDIDATES",
    "Detail",
    "Place",
    "Related",
    "detail",
    "read_refs",
    "resolve",
    "resolve_all",
]
