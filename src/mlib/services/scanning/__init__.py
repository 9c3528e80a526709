"""A scan: roots, walk, compare, hash, write, report."""
