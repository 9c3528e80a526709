"""The decisions: one verb each, from a library and inputs to a report."""
