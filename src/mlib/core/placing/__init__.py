"""Moving, linking and trashing files: every byte ends under one final name, or stays where it was."""
