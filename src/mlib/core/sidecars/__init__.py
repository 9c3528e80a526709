"""The files that other managers write beside a model: find, read and write them."""
