"""A model library for people who run ComfyUI and like a shell.

Words
    model            a content, known by its SHA-256, whatever its files are called and wherever they are
    file             a path at which a model is, or was (`missing_since`); one model may have several
    root             a folder of models of one type, as ComfyUI is configured; scans walk the roots
    offline          a root that is not there now, or suddenly empty: nothing in it counts as missing
    pending import   what an older manager, an export or `scan --stage` says of a model, not yet imported
    user data        what a person typed: names, notes, tags, metadata; only a person changes it
    facts            what files and sidecars say: hashes, kind, base model, findings; a scan renews them
    library          the SQLite file that holds all of this, and a history that can be undone

Floors, each of which imports only those below it
    cli         the command line: parsing, questions, layout, progress, exit codes. `commands` holds the
                commands, `options` what they share, `output` all that is printed
    session     the door for every face: verbs that open the library, record, back up and report
    documents   reports and records as JSON documents, the same for every face
    services    the decisions. `scanning` and `importing` fill the library; `updating`, `tagging`,
                `forgetting`, `cleaning` and `history` change it; `files` moves, trashes, hashes and verifies
                model files; `workflows` reads what workflows need; `listing`, `describing` and `resolving`
                answer. They have an order too (a contract in pyproject.toml)
    db          SQL and nothing else: schema, rows and records, search, history, backups, damage
    core        files and values, without database and terminal. `disk` walks, hashes, writes, moves, trashes
                (only core.disk.system asks which platform this is);
                `comfyui` knows ComfyUI's folders and settings; `formats` reads headers, `kinds` tells what a
                model is by them; `sidecars` reads what other managers wrote; `workflows` reads workflows;
                `query` is the language of `mlib list`

A scan
    cli.commands.scan, session, services.scanning.run. In there: `request` chooses the roots, `survey` walks
    them (core.disk.walk) and compares each directory with the library (core.disk.compare), `identify` hashes
    (core.disk.hashing) and inspects (core.inspection) what is new, `ledger` writes it batch by batch and has
    it imported (services.importing.importer), `mark_missing` judges what is gone, `sidecar_changes` reads the
    sidecars.

An edit
    cli.commands.update, session (which records it: db.history), services.updating, db.models and db.tags.
    Triggers write the history in the same transaction; services.history.undo reads it backwards.

Promises, and the tests that prove them
    user data is never lost; what was done can be undone        tests/properties, tests/test_session.py
    a kill, a full disk or a pulled plug leaves nothing halved  tests/faults
    any number of processes at once                             tests/faults/test_concurrency.py
    no other program's file is overwritten or taken             tests/core/disk/test_one_way.py, tests/faults
    without what only Unix has, all but moves still works       tests/cli/test_robbed_system.py
    nothing in a model file is executed, and all is bounded     tests/core/formats, tests/fuzz
    what a header says is told rightly or not at all            tests/core/kinds
    a damaged library says so, and can be restored              tests/db/test_damage.py
    README, help and JSON say what the program does             tests/test_readme.py, tests/golden.py
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os

    from mlib.session import Session

__version__ = "0.1.0"


def open(path: str | os.PathLike[str] | None = None) -> Session:  # noqa: A001 - read as `mlib.open`
    """A session with the library at `path`, by default the one that the command line uses.

    Use it in a `with` statement, from one thread. The file is opened by the first verb that needs it. The
    verbs keep the promises of the commands: what they change is recorded and can be undone, and a backup
    comes before what could lose something.
    """
    import os

    from mlib.session import Session, default_path

    return Session(default_path(os.environ) if path is None else os.fspath(path))
