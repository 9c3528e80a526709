"""The subcommands: options, questions and output; the work is done by the session."""
