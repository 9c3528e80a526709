"""Files and values: no database, no terminal."""
