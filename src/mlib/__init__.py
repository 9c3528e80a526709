"""A model library for people who run ComfyUI and like a shell."""

__version__ = "0.1.0"
