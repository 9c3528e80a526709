"""Readers of model files: headers only, bounded in time and memory, nothing executed."""
