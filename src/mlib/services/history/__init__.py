"""What was done to the library: showing it, and undoing it."""
