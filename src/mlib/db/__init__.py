"""The library file: schema, rows and plain reading and writing. No policy."""
