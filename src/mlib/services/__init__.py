"""The decisions: one verb per module, from a library and inputs to a report."""
