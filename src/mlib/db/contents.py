"""Facts by content: kind, use, header, findings, and hashes besides the SHA-256."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.formats.header import Finding
from mlib.core.records import Content, OtherHashes
from mlib.core.text import visible
from mlib.db.rows import FINDING_HOLDS, path_of, stored_path, upsert

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from mlib.core.records import KnownFile
    from mlib.db.library import Library


_JUDGED = "judged"


class JudgedVersion(NamedTuple):
    """The version by which contents were judged, and where that was cut off: `after` is the last one done.

    None where it was not.
    """

    version: int
    after: str | None


#: Where a finding lies that is about content, wherever that is.
_ANYWHERE = ("", "")


def get(library: Library, sha256: str) -> Content | None:
    """What is kept of the content with this full SHA-256."""
    row = library.one(
        "SELECT sha256, format, kind, base_model, evidence, usage_json FROM contents WHERE sha256 = ?",
        [sha256],
    )
    if row is None:
        return None
    _, format_, kind, base_model, evidence, usage_json = row
    return Content(sha256, format_, kind, base_model, tuple(filter(None, evidence.split("\n"))), usage_json)


def put(library: Library, content: Content, *, header: bytes | None, findings: Iterable[Finding]) -> None:
    """Keep what was found out about content, with its header packed, in place of what was kept before."""
    renew(library, content, findings=findings)
    if header is None:
        library.execute("DELETE FROM headers WHERE sha256 = ?", [content.sha256])
    else:
        upsert(library, "headers", [{"sha256": content.sha256, "header": header}], key=("sha256",))


def renew(library: Library, content: Content, *, findings: Iterable[Finding]) -> None:
    """Keep what was found out about content of which the header is kept already."""
    row = {
        "sha256": content.sha256,
        "format": content.format,
        "kind": content.kind,
        "base_model": content.base_model,
        "evidence": "\n".join(content.evidence),
        "usage_json": content.usage_json,
    }
    upsert(library, "contents", [row], key=("sha256",))
    library.execute(
        "DELETE FROM findings WHERE sha256 = ? AND directory = ? AND name = ?", [content.sha256, *_ANYWHERE]
    )
    _put_findings(library, content.sha256, *_ANYWHERE, findings)


def judged(library: Library) -> JudgedVersion:
    """By which version all contents were judged; the first one left no note."""
    row = library.one("SELECT value FROM db_meta WHERE key = ?", [_JUDGED])
    return JudgedVersion._make(json.loads(row[0])) if row is not None else JudgedVersion(1, None)


def note_judged(library: Library, state: JudgedVersion) -> None:
    """Keep how far that has come; only inside `transaction`."""
    library.execute("REPLACE INTO db_meta (key, value) VALUES (?, ?)", [_JUDGED, json.dumps(state)])


def count(library: Library) -> int:
    """How many contents are known."""
    return int(library.all("SELECT count(*) FROM contents")[0][0])


def ids_after(library: Library, sha256: str, *, limit: int) -> list[str]:
    """The next SHA-256s of contents behind this one, in order."""
    rows = library.all(
        "SELECT sha256 FROM contents WHERE sha256 > ? ORDER BY sha256 LIMIT ?", [sha256, limit]
    )
    return [found for (found,) in rows]


def header(library: Library, sha256: str) -> bytes | None:
    """The packed header, if it is kept."""
    row = library.one("SELECT header FROM headers WHERE sha256 = ?", [sha256])
    return None if row is None else row[0]


def put_place_findings(
    library: Library, file: KnownFile, findings: Iterable[Finding], *, codes: Collection[str]
) -> None:
    """Keep what is wrong with this place of the content, in place of what was kept with these codes."""
    place = (file.sha256, stored_path(file.directory), stored_path(file.name))
    for code in codes:
        library.execute(
            "DELETE FROM findings WHERE sha256 = ? AND directory = ? AND name = ? AND code = ?",
            [*place, code],
        )
    _put_findings(library, *place, findings)


def forget_place(library: Library, file: KnownFile) -> None:
    """Drop what was wrong with a place at which this content lies no more, unless a model's file did."""
    place = [file.sha256, stored_path(file.directory), stored_path(file.name)]
    library.execute(
        "DELETE FROM findings WHERE sha256 = ?1 AND directory = ?2 AND name = ?3 AND NOT EXISTS"
        " (SELECT 1 FROM files WHERE sha256 = ?1 AND directory = ?2 AND name = ?3)",
        place,
    )


def places_found(library: Library, directory: str, code: str) -> dict[tuple[str, str], set[str]]:
    """The messages kept with this code about present files of a directory, by name and SHA-256."""
    rows = library.all(
        "SELECT f.name, f.sha256, w.message FROM files AS f JOIN findings AS w"
        " ON w.sha256 = f.sha256 AND w.directory = f.directory AND w.name = f.name"
        " WHERE f.directory = ? AND f.missing_since IS NULL AND w.code = ?",
        [stored_path(directory), code],
    )
    found: dict[tuple[str, str], set[str]] = {}
    for name, sha256, message in rows:
        found.setdefault((path_of(name), sha256), set()).add(message)
    return found


def findings(
    library: Library, sha256: str, *, staged_at: str | None = None
) -> list[tuple[str | None, Finding]]:
    """What is wrong with content (None) and with its places (their paths), the serious first.

    Of places only those at which a file is present, or where one was seen that is no model's file yet.
    """
    directory, name = os.path.split(staged_at or "")
    rows = library.all(
        "SELECT w.directory, w.name, w.code, w.message, w.serious FROM findings AS w WHERE w.sha256 = ?"
        f" AND ((w.directory = ? AND w.name = ?) OR {FINDING_HOLDS})"
        " ORDER BY w.serious DESC, w.code, w.directory, w.name",
        [sha256, stored_path(directory), stored_path(name)],
    )
    return [
        (
            os.path.join(path_of(directory), path_of(name)) if name else None,
            Finding(code, message, bool(serious)),
        )
        for directory, name, code, message, serious in rows
    ]


def _put_findings(
    library: Library, sha256: str, directory: str | bytes, name: str | bytes, findings: Iterable[Finding]
) -> None:
    rows = [
        {
            "sha256": sha256,
            "directory": directory,
            "name": name,
            "code": each.code,
            "serious": int(each.serious),
            "message": visible(each.message),
        }
        for each in findings
    ]
    upsert(library, "findings", rows, key=("sha256", "directory", "name", "code", "message"))


# --- Other hashes

_NAMES = frozenset({"autov1", "autov3", "crc32", "blake3"})


def hashes_of(library: Library, sha256: str) -> OtherHashes | None:
    """What is kept for the content with this full SHA-256."""
    row = library.one("SELECT autov1, autov3, crc32, blake3 FROM hashes WHERE sha256 = ?", [sha256])
    return None if row is None else OtherHashes(*row)


def put_hashes(library: Library, sha256: str, hashes: OtherHashes) -> None:
    """Keep them; one that is None leaves what is known."""
    known = hashes_of(library, sha256) or OtherHashes()
    row = {
        "sha256": sha256,
        "autov1": hashes.autov1 or known.autov1,
        "autov3": hashes.autov3 or known.autov3,
        "crc32": hashes.crc32 or known.crc32,
        "blake3": hashes.blake3 or known.blake3,
    }
    upsert(library, "hashes", [row], key=("sha256",))


def find(library: Library, name: str, digits: str, *, limit: int) -> list[str]:
    """Full SHA-256s of the contents whose hash of this name begins with these lower-case hex digits."""
    if name not in _NAMES:
        raise ValueError(f"no hash that is kept: {name}")
    rows = library.all(
        f"SELECT h.sha256 FROM hashes AS h JOIN models AS m ON m.sha256 = h.sha256"
        f" WHERE h.{name} >= ? AND h.{name} < ? ORDER BY h.sha256 LIMIT ?",
        [digits, digits + "g", limit],
    )
    return [sha256 for (sha256,) in rows]


def same_weights(library: Library, sha256: str) -> list[str]:
    """Full SHA-256s of the other models whose tensors are the same bytes."""
    rows = library.all(
        "SELECT other.sha256 FROM hashes AS own JOIN hashes AS other ON other.autov3 = own.autov3"
        " JOIN models AS m ON m.sha256 = other.sha256"
        " WHERE own.sha256 = ? AND other.sha256 != own.sha256 ORDER BY other.sha256",
        [sha256],
    )
    return [other for (other,) in rows]


def incomplete(library: Library, *, with_blake3: bool) -> list[str]:
    """Full SHA-256s of the models with a file that nobody has hashed in every way, the smallest first."""
    rows = library.all(
        "SELECT m.sha256 FROM models AS m LEFT JOIN hashes AS h ON h.sha256 = m.sha256"
        " WHERE (h.crc32 IS NULL OR (? AND h.blake3 IS NULL)) AND EXISTS"
        " (SELECT 1 FROM files AS f WHERE f.sha256 = m.sha256 AND f.missing_since IS NULL)"
        " ORDER BY m.size_bytes, m.sha256",
        [with_blake3],
    )
    return [sha256 for (sha256,) in rows]
