"""`python -m mlib`."""

from mlib.cli.app import main

main()
