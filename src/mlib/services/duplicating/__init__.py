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

__all__ = [
    "Choice",
    "Copy",
    "Deed",
    "DuplicatesReport",
    "Group",
    "carry_out",
    "choose",
    "find_duplicates",
    "find_same_weights",
    "foresee",
]
