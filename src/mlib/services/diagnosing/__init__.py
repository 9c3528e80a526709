"""Examining a library and what it stands on: what is wrong, and the command that mends it."""

from mlib.services.diagnosing.checks import Check, Diagnosis, State
from mlib.services.diagnosing.examining import examine

__all__ = ["Check", "Diagnosis", "State", "examine"]
