"""Find the models that a ComfyUI workflow needs, in its JSON or in media that it is embedded in."""
