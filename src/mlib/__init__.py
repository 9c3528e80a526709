"""A model library for people who run ComfyUI and like the command line.

Terms
    model            content, identified by its SHA-256, whatever its files are named and wherever they are
    file             a path at which a model is, or was (`missing_since`); a model can have several
    root             a folder with models of one type, as configured in ComfyUI; scans walk the roots
    offline          a root that cannot be read or is suddenly empty: nothing in it is marked missing
    pending import   an entry from an older manager, an export or `scan --stage` that is not a model yet
    user data        what the user typed: names, notes, tags, metadata; only the user changes it
    facts            what files and sidecars contain: hashes, kind, base model, findings; scans update them
    library          the SQLite file that holds all of this, with a history that can be undone

Layers (each imports only those below it)
    cli         the command line: parsing, questions, layout, progress, exit codes. `commands` holds the
                commands, `options` what they share, `output` does all printing
    session     the entry point for every face: verbs that open the library, record, back up and report
    documents   reports and records as JSON documents, the same for every face
    services    the decisions. `scanning` and `importing` fill the library; `updating`, `tagging`,
                `forgetting`, `cleaning` and `history` change it; `files` moves, trashes, hashes and verifies
                model files; `workflows` finds the models that workflows need; `listing`, `describing` and
                `resolving` answer queries. A contract in pyproject.toml orders them too
    db          the only SQL: schema, rows and records, search, history, backups, damage
    core        files and values, without database or terminal. `disk` walks, hashes, writes, moves, trashes
                (only core.disk.system asks which platform this is);
                `comfyui` knows ComfyUI's folders and settings; `formats` reads headers, `kinds` derives a
                model's kind from them; `sidecars` reads the files of other managers; `workflows` reads
                workflows; `query` is the query language of `mlib list`

How a scan works
    cli.commands.scan calls session, which calls services.scanning.run. There, `request` chooses the roots,
    `survey` walks them (core.disk.walk) and compares each directory with the library (core.disk.compare),
    `identify` hashes (core.disk.hashing) and inspects (core.inspection) new files, `ledger` writes them in
    batches and imports them (services.importing.importer), `mark_missing` decides which files are missing,
    and `sidecar_changes` reads the sidecars.

How an edit works
    cli.commands.update calls session (which records it: db.history), services.updating, db.models and
    db.tags. Triggers write the history in the same transaction; services.history.undo applies it backwards.

Promises, and the tests that prove them
    user data is never lost; changes can be undone              tests/properties, tests/test_session.py
    a kill, full disk or power cut leaves nothing half done     tests/faults
    any number of processes at once                             tests/faults/test_concurrency.py
    no other program's file is overwritten or taken             tests/core/disk/test_one_way.py, tests/faults
    without what only Unix has, all but moves still works       tests/cli/test_robbed_system.py
    nothing in a model file is executed; all costs are bounded  tests/core/formats, tests/fuzz
    a header is interpreted correctly or not at all             tests/core/kinds
    a damaged library is reported and can be restored           tests/db/test_damage.py
    README, help and JSON match what the program does           tests/test_readme.py, tests/golden.py
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlib.core.errors import MlibError

if TYPE_CHECKING:
    import os

    from mlib.session import Session

__all__ = ["MlibError", "__version__", "open"]

__version__ = "0.1.0"


def open(path: str | os.PathLike[str] | None = None) -> Session:  # noqa: A001 - read as `mlib.open`
    """Return a session with the library at `path`, by default the one that the command line uses.

    Use it in a `with` statement, from one thread. The first verb that needs the file opens it. The verbs keep
    the promises of the commands: changes are recorded and can be undone, and a backup is made before anything
    that could lose data.
    """
    import os

    from mlib.session import Session, default_path

    return Session(default_path(os.environ) if path is None else os.fspath(path))
