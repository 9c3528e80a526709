"""What a model file is, for which base model, and how to use it: told from its header alone."""
