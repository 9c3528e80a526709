"""What is wrong with how files are called and where they lie, which changes with the name and the folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlib.core.inspection import PLACE_CODES, place_findings
from mlib.db import contents

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlib.core.formats.header import Finding
    from mlib.core.models import KnownFile, Root
    from mlib.db.library import Library


def judge_places(
    library: Library, rows: Iterable[KnownFile], roots: Sequence[Root]
) -> list[tuple[str, Finding]]:
    """Keep what is wrong with the names and folders of these files; part of a transaction.

    `roots` are those that they belong to. Gives what was found, by path.
    """
    types = {root.id: root.type for root in roots}
    found: list[tuple[str, Finding]] = []
    for row in rows:
        content = contents.get(library, row.sha256)
        if content is not None:
            folder_type = types.get(row.root_id)
            wrong = place_findings(content.format, content.kind, name=row.name, folder_type=folder_type)
            contents.put_place_findings(library, row, wrong, codes=PLACE_CODES)
            found += [(row.path, finding) for finding in wrong]
    return found
