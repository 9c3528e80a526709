"""Imports: what older managers, exports and sidecars say becomes pending, and then a model or a conflict."""
