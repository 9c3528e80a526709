"""The program `mlib`, also as `python -m mlib`."""

from __future__ import annotations

from mlib.cli.exit_codes import INTERRUPTED


def main() -> None:
    """Run the command line; Ctrl-C while the program still loads is no fault of it either."""
    try:
        from mlib.cli.app import main as run
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    run()


if __name__ == "__main__":
    main()
