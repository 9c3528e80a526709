"""ComfyUI's model folders and types, its extra_model_paths.yaml, and the roots that they name."""
