"""Rows to records and back: whatever a name is made of."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.libraries import OTHER, SHA, known_file, put_files, put_model, put_pending

from mlib.core.records import Model, Root
from mlib.db import files, models, pending, roots
from mlib.db.rows import fields_of, path_of, stored_fields, stored_path

if TYPE_CHECKING:
    from mlib.db.library import Library

#: File names as bytes: what a directory may hold, and what SQLite could take for something else.
NAMES = [
    b"plain",
    "角色".encode(),
    b"\xff\xfe",
    b"e\xcc\x81",
    b"a\nb\t\x1b[31m",
    b"'; DROP TABLE models",
    b"%_\\",
]

paths = st.binary(min_size=1).filter(lambda raw: b"\0" not in raw).map(os.fsdecode)


@given(paths)
def test_a_path_comes_back_as_the_bytes_it_is(path: str) -> None:
    """Fault 42."""
    assert path_of(stored_path(path)) == path


@given(paths)
def test_only_what_is_no_utf8_is_kept_as_bytes(path: str) -> None:
    stored = stored_path(path)
    assert isinstance(stored, bytes) == any("\udc80" <= character <= "\udcff" for character in path)


@pytest.mark.parametrize("fields", [set(), {"name"}, {"notes", "base_model", "type"}])
def test_the_set_of_typed_fields_comes_back(fields: set[str]) -> None:
    assert fields_of(stored_fields(frozenset(fields))) == fields


@pytest.mark.parametrize("name", NAMES)
def test_a_file_comes_back_whole(library: Library, name: bytes) -> None:
    row = known_file(f"/m/{os.fsdecode(name)}/{os.fsdecode(name)}")
    put_model(library)
    put_files(library, row)
    assert files.at_path(library, row.path) == [row]
    assert files.in_directory(library, row.directory) == [row]
    assert files.of_model(library, SHA) == [row]


def test_a_file_nobody_has_seen_comes_back_without_a_stat(library: Library) -> None:
    row = known_file("C:\\a", stat=None, xxh3=None, hashed_at=None, racy=True, missing_since=5)
    put_model(library)
    put_files(library, row)
    assert files.of_model(library, SHA) == [row]


@pytest.mark.parametrize("name", NAMES)
def test_a_pending_import_comes_back_whole(library: Library, name: bytes) -> None:
    path = f"/m/{os.fsdecode(name)}"
    words = {"name": "n", "type": "vae", "base_model": "b", "description": "d\ne", "notes": "角色"}
    pending_id = put_pending(library, path, seen=True, tags_=["A", "b, c"], meta_json='{"n":1.10}', **words)
    (entry,) = pending.at_path(library, path)
    assert entry == pending.get(library, pending_id)
    assert (entry.path, entry.tags, entry.meta_json) == (path, ("A", "b, c"), '{"n":1.10}')
    assert {field: getattr(entry, field) for field in words} == words
    assert entry.edited == words.keys()
    assert entry.observed == known_file(path)


def test_a_model_comes_back_whole(library: Library) -> None:
    model = Model(
        sha256=SHA,
        name="角色\n",
        type="loras",
        base_model="SDXL",
        size_bytes=2**62,
        description="d",
        notes="n",
        created_at=1,
        updated_at=2,
        edited=frozenset({"name", "notes"}),
    )
    with library.transaction():
        models.put(library, [model, model._replace(sha256=OTHER, size_bytes=None)])
    assert models.get(library, SHA) == model
    assert models.get(library, OTHER) == model._replace(sha256=OTHER, size_bytes=None)


@pytest.mark.parametrize("name", NAMES)
def test_a_root_comes_back_whole(library: Library, name: bytes) -> None:
    root = Root(type="loras", path=f"/m/{os.fsdecode(name)}", origin="user", any_file=True)
    with library.transaction():
        roots.remember(library, [root])
    assert [found._replace(id=None) for found in roots.all_roots(library)] == [root]


def test_a_root_is_one_by_its_path_and_keeps_its_id(library: Library) -> None:
    with library.transaction():
        roots.remember(library, [Root("loras", "/a", "user"), Root("vae", "/b", "user")])
    before = {root.path: root.id for root in roots.all_roots(library)}
    with library.transaction():
        roots.remember(library, [Root("vae", "/b", "user"), Root("checkpoints", "/a", "extra:/y")])
    after = roots.all_roots(library)
    assert [(root.path, root.type, root.origin) for root in after] == [
        ("/b", "vae", "user"),
        ("/a", "checkpoints", "extra:/y"),
    ]
    assert {root.path: root.id for root in after} == before


def test_rows_in_one_write_may_differ_in_what_they_leave_empty(library: Library) -> None:
    """An upsert of uneven rows would erase what is there: every column is named each time."""
    put_model(library)
    rows = [known_file("/m/a"), known_file("/m/b", stat=None, xxh3=None)]
    put_files(library, *rows)
    put_files(library, *reversed(rows))
    assert files.of_model(library, SHA) == rows
