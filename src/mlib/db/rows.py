"""Rows to records and back: the one place that knows how values are spelt in the tables."""

from __future__ import annotations

import os
from typing import Any

from mlib.core.models import KnownFile, Model, Pending, Root, Stat

Row = tuple[Any, ...]
#: A path in a column of type ANY: text, or the bytes where they are no UTF-8.
StoredPath = str | bytes

#: Whether a finding `w` is about content, or about a place at which a file of it is present.
FINDING_HOLDS = (
    "(w.name = '' OR EXISTS (SELECT 1 FROM files AS f WHERE f.directory = w.directory AND f.name = w.name"
    " AND f.sha256 = w.sha256 AND f.missing_since IS NULL))"
)

FILE_COLUMNS = (
    "directory, name, sha256, root_id, size_bytes, mtime_ns, device, inode, "
    "xxh3, hashed_at, racy, missing_since"
)
MODEL_COLUMNS = (
    "sha256, name, type, base_model, size_bytes, description, notes, created_at, updated_at, edited"
)
PENDING_COLUMNS = (
    "id, path, sha256, claimed_hash, name, type, base_model, size_bytes, description, notes, created_at, "
    "edited, source, meta_json"
)
ROOT_COLUMNS = "id, type, path, origin, any_file"


def stored_path(path: str) -> StoredPath:
    """A path as it is kept."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return os.fsencode(path)
    return path


def path_of(stored: StoredPath) -> str:
    """A kept path as the program knows it."""
    return os.fsdecode(stored)


def stored_fields(fields: frozenset[str]) -> str:
    """A set of field names as it is kept."""
    return ",".join(sorted(fields))


def fields_of(stored: str) -> frozenset[str]:
    """A kept set of field names."""
    return frozenset(filter(None, stored.split(",")))


def file_row(file: KnownFile) -> dict[str, Any]:
    """Every column of `files`."""
    stat = file.stat
    return {
        "directory": stored_path(file.directory),
        "name": stored_path(file.name),
        "sha256": file.sha256,
        "root_id": file.root_id,
        "size_bytes": stat.size_bytes if stat else None,
        "mtime_ns": stat.mtime_ns if stat else None,
        "device": stat.device if stat else None,
        "inode": stat.inode if stat else None,
        "xxh3": file.xxh3,
        "hashed_at": file.hashed_at,
        "racy": int(file.racy),
        "missing_since": file.missing_since,
    }


def file_of(row: Row) -> KnownFile:
    """A KnownFile from FILE_COLUMNS."""
    directory, name, sha256, root_id, size, mtime_ns, device, inode, xxh3, hashed_at, racy, missing_since = (
        row
    )
    return KnownFile(
        directory=path_of(directory),
        name=path_of(name),
        sha256=sha256,
        root_id=root_id,
        stat=None if mtime_ns is None else Stat(size, mtime_ns, device, inode),
        xxh3=xxh3,
        hashed_at=hashed_at,
        racy=bool(racy),
        missing_since=missing_since,
    )


def model_row(model: Model) -> dict[str, Any]:
    """Every column of `models`."""
    return {
        "sha256": model.sha256,
        "name": model.name,
        "type": model.type,
        "base_model": model.base_model,
        "size_bytes": model.size_bytes,
        "description": model.description,
        "notes": model.notes,
        "created_at": model.created_at,
        "updated_at": model.updated_at,
        "edited": stored_fields(model.edited),
    }


def model_of(row: Row) -> Model:
    """A Model from MODEL_COLUMNS."""
    *values, edited = row
    return Model(*values)._replace(edited=fields_of(edited))


def pending_row(pending: Pending) -> dict[str, Any]:
    """Every column of `pending_import` but the id."""
    return {
        "path": stored_path(pending.path),
        "sha256": pending.sha256,
        "claimed_hash": pending.claimed_hash,
        "name": pending.name,
        "type": pending.type,
        "base_model": pending.base_model,
        "size_bytes": pending.size_bytes,
        "description": pending.description,
        "notes": pending.notes,
        "created_at": pending.created_at,
        "edited": stored_fields(pending.edited),
        "source": pending.source,
        "meta_json": pending.meta_json,
    }


def root_of(row: Row) -> Root:
    """A Root from ROOT_COLUMNS."""
    identifier, kind, path, origin, any_file = row
    return Root(type=kind, path=path_of(path), origin=origin, any_file=bool(any_file), id=identifier)


def pending_of(row: Row) -> Pending:
    """A pending import from PENDING_COLUMNS, without its tags and the file that was hashed."""
    (
        pending_id, path, sha256, claimed_hash, name, kind, base_model, size_bytes, description, notes,
        created_at, edited, source, meta_json,
    ) = row  # fmt: skip
    return Pending(
        id=pending_id,
        path=path_of(path),
        sha256=sha256,
        claimed_hash=claimed_hash,
        name=name,
        type=kind,
        base_model=base_model,
        size_bytes=size_bytes,
        description=description,
        notes=notes,
        created_at=created_at,
        edited=fields_of(edited),
        source=source,
        meta_json=meta_json,
    )
