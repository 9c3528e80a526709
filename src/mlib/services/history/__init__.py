"""What was done to the library: telling it, and taking it back."""

from mlib.services.history.entries import FieldChange, Told, forgotten, log, told
from mlib.services.history.undo import UndoReport, undo

__all__ = ["FieldChange", "Told", "UndoReport", "forgotten", "log", "told", "undo"]
