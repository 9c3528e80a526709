"""`mlib doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

from mlib.cli import format as fmt
from mlib.cli import output
from mlib.cli.exit_codes import FINISHED_WITH_PROBLEMS
from mlib.cli.options import DryRunOption, JsonOption, LibraryOption, library_path


def doctor(
    ctx: typer.Context,
    fix: Annotated[
        bool,
        typer.Option("--fix", help="Put right what is safe: permissions, leftovers, lost facts, free pages."),
    ] = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    library: LibraryOption = None,
) -> None:
    """Examine the library and say what mends it.

    Looks at the file itself and at what it stands on; names the command that mends what is wrong. Works
    on a damaged library too. Exit code 3 if there is an error. --fix touches nothing that you typed.
    """
    from mlib.services.diagnosing import examine

    diagnosis = examine(library_path(ctx, library), fix=fix and not dry_run)
    errors, warnings = diagnosis.count("error"), diagnosis.count("warning")
    if as_json:
        output.write_json(
            {
                "library": diagnosis.path,
                "checks": [
                    {
                        "name": check.name,
                        "state": check.state,
                        "message": check.message,
                        "mend": check.mend,
                        "fixed": check.fixed,
                    }
                    for check in diagnosis.checks
                ],
                "errors": errors,
                "warnings": warnings,
                "dry_run": dry_run,
            }
        )
    elif output.is_terminal():
        for check in diagnosis.checks:
            output.write_lines(
                [f"{'fixed' if check.fixed else check.state:<8} {check.name}: {check.message}"]
            )
            if check.mend and check.state != "ok" and not check.fixed:
                output.write_lines([f"{'':<8} mend: {check.mend}"])
    else:
        output.write_rows(
            (check.name, "fixed" if check.fixed else check.state, check.message, check.mend or "")
            for check in diagnosis.checks
        )
    if not as_json:
        output.note(f"{fmt.plural(errors, 'error')}, {fmt.plural(warnings, 'warning')}")
    if errors:
        raise typer.Exit(FINISHED_WITH_PROBLEMS)
