"""Workflows: check what they need against the library, and find models none of them uses."""
