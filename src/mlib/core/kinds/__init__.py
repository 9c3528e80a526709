"""Determine what a model file is, for which base model, and how to use it, from its header alone."""
