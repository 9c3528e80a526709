"""ComfyUI: its model folders, extra_model_paths.yaml, and the roots they name."""
