"""Hashes beside the SHA-256, kept where somebody asked for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlib.core.models import OtherHashes
from mlib.db.writing import upsert

if TYPE_CHECKING:
    from mlib.db.library import Library

_NAMES = frozenset({"autov1", "autov3", "crc32", "blake3"})


def get(library: Library, sha256: str) -> OtherHashes | None:
    """What is kept for the content with this full SHA-256."""
    row = library.one("SELECT autov1, autov3, crc32, blake3 FROM hashes WHERE sha256 = ?", [sha256])
    return None if row is None else OtherHashes(*row)


def put(library: Library, sha256: str, hashes: OtherHashes) -> None:
    """Keep them; one that is None leaves what is known."""
    known = get(library, sha256) or OtherHashes()
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
