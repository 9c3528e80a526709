"""The program `mlib`, also as `python -m mlib`."""

from __future__ import annotations

import gc

from mlib.cli import signals

#: So many new objects before any garbage is looked for. By default it is 700: what a command loads is none of
#: it, and was looked through again and again, for 10 ms.
_NEW_OBJECTS = 50_000


def main() -> None:
    """Run the command line; a signal while the program still loads, or already ends, is not its fault."""
    gc.set_threshold(_NEW_OBJECTS)
    try:
        signals.listen()
        from mlib.cli.app import main as run

        run()
    except BaseException:  # a signal may surface as any exception while modules load
        code = signals.exit_code()
        if code is None:
            raise
        raise SystemExit(code) from None


if __name__ == "__main__":
    main()
