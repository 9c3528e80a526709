"""What a ComfyUI workflow needs: its models, read from the JSON it is saved as or the image it made."""
