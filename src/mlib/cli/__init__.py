"""The command line: words, colours and exit codes."""
