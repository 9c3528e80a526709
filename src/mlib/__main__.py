"""The program `mlib`, also as `python -m mlib`."""

from __future__ import annotations

import gc

from mlib.cli.exit_codes import INTERRUPTED

#: So many new objects before any garbage is looked for. By default it is 700: what a command loads is none of
#: it, and was looked through again and again, for 10 ms.
_NEW_OBJECTS = 50_000


def main() -> None:
    """Run the command line; Ctrl-C while the program still loads is no fault of it either."""
    gc.set_threshold(_NEW_OBJECTS)
    try:
        from mlib.cli.app import main as run
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    run()


if __name__ == "__main__":
    main()
