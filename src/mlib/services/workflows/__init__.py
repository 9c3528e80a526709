"""What workflows need, and what they leave lying: checking them against the library."""

from mlib.services.workflows.checking import Checked, CheckReport, check
from mlib.services.workflows.unused import Unused, UnusedReport, unused

__all__ = ["CheckReport", "Checked", "Unused", "UnusedReport", "check", "unused"]
