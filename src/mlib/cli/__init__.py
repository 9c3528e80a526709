"""The command line: parsing, questions, layout, progress and exit codes."""
