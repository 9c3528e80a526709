"""Imports: older managers, exports and sidecars become pending imports, then models or conflicts."""
