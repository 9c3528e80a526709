"""What workflows need: checking it against the library, and finding what none of them uses."""
