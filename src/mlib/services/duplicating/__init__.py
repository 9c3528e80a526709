"""Copies of the same content: finding them, and making one file of them without ever losing the last."""

from mlib.services.duplicating.acting import Deed, DuplicatesReport, carry_out, foresee
from mlib.services.duplicating.finding import (
    Choice,
    Copy,
    Group,
    choose,
    find_duplicates,
    find_same_weights,
)
from mlib.services.duplicating.needed import Needed, spare_needed

__all__ = [
    "Choice",
    "Copy",
    "Deed",
    "DuplicatesReport",
    "Group",
    "Needed",
    "carry_out",
    "choose",
    "find_duplicates",
    "find_same_weights",
    "foresee",
    "spare_needed",
]
