"""The files that other managers lay beside a model: which they are, and what they say of it."""
