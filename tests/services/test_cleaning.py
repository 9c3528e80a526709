"""Freeing stored metadata of image payloads: only those go, and the figures are true."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.libraries import OTHER, SHA, THIRD, dump, put_model, put_pending

from mlib.db import models, pending
from mlib.services.cleaning import BATCH, CleanReport, clean_meta
from mlib.services.resolving import Target

if TYPE_CHECKING:
    from mlib.db.library import Library

IMAGE = "data:image/png;base64," + "iVBORw0KGgoAAAANSUhEUgAA" * 40
DIRTY = f'{{"seed":12345678901234567890123,"cfg":1.10,"images":["{IMAGE}","/media/1.png"],"z":1,"a":2}}'
CLEAN = '{"seed":12345678901234567890123,"cfg":1.10,"images_count":2,"z":1,"a":2}'


def fill(library: Library) -> int:
    """A dirty model, a clean one and a dirty pending import; the id of that."""
    put_model(library, SHA, meta_json=DIRTY)
    put_model(library, OTHER, meta_json='{"clean":true}')
    put_model(library, THIRD)
    return put_pending(library, "/m/waits", sha256=None, meta_json=DIRTY)


def test_models_and_pending_imports_are_cleaned_to_the_letter(library: Library) -> None:
    """Fault 66: big integers, 1.10 and the order of keys are what they were."""
    pending_id = fill(library)
    clean_meta(library)
    assert models.meta(library, SHA) == CLEAN
    assert models.meta(library, OTHER) == '{"clean":true}'
    entry = pending.get(library, pending_id)
    assert entry is not None
    assert entry.meta_json == CLEAN


def test_the_figures_are_those_of_the_texts(library: Library) -> None:
    fill(library)
    report = clean_meta(library)
    untouched = len('{"clean":true}')
    assert (report.examined, report.cleaned, report.payloads_removed) == (3, 2, 4)
    assert report.bytes_before == 2 * len(DIRTY) + untouched
    assert report.bytes_after == 2 * len(CLEAN) + untouched


def test_bytes_are_counted_as_utf8(library: Library) -> None:
    put_model(library, meta_json='{"note":"é","preview":"x"}')
    report = clean_meta(library)
    assert (report.bytes_before, report.bytes_after) == (27, 13)


def test_a_dry_run_foretells_the_very_figures_and_writes_nothing(library: Library) -> None:
    fill(library)
    before = dump(library.path)
    with library.rehearsal():
        foretold = clean_meta(library)
    assert dump(library.path) == before
    assert not os.path.exists(os.path.join(os.path.dirname(library.path), "backups"))
    done = clean_meta(library)
    assert replace(done, backup=None) == foretold


def test_the_second_run_finds_nothing(library: Library) -> None:
    fill(library)
    first = clean_meta(library)
    before = dump(library.path)
    second = clean_meta(library)
    assert second == CleanReport(examined=3, bytes_before=first.bytes_after, bytes_after=first.bytes_after)
    assert dump(library.path) == before


def test_user_data_beside_the_metadata_is_no_matter_of_it(library: Library) -> None:
    put_model(library, notes="mine", tags_=["kept"], meta_json=DIRTY)
    before = dump(library.path)
    clean_meta(library)
    after = dump(library.path)
    written = {"model_meta", "db_meta"}  # the second holds when it was, for undo
    assert {table for table, rows in after.items() if rows != before[table]} == written


def test_the_backup_holds_what_was_there(library: Library) -> None:
    fill(library)
    before = dump(library.path)
    backup = clean_meta(library).backup
    assert backup is not None
    assert dump(backup) == before


def test_only_these(library: Library) -> None:
    pending_id = fill(library)
    report = clean_meta(library, [Target(pending_id=pending_id), Target(sha256=THIRD)])
    assert (report.examined, report.cleaned) == (1, 1)
    assert models.meta(library, SHA) == DIRTY


@pytest.mark.parametrize("odd", ["[1,2", '"text"', "[]", "null", ""])
def test_what_is_no_json_object_is_left_alone(library: Library, odd: str) -> None:
    put_model(library, meta_json=odd)
    put_model(library, OTHER, meta_json=DIRTY)
    assert clean_meta(library).cleaned == 1
    row = library.one("SELECT meta_json FROM model_meta WHERE sha256 = ?", [SHA])
    assert row == (odd,)


def test_more_rows_than_a_batch_holds(library: Library) -> None:
    count = BATCH + 2
    with library.transaction():
        for n in range(count):
            put_model(library, f"{n:064x}", meta_json=DIRTY)
    report = clean_meta(library)
    assert (report.examined, report.cleaned) == (count, count)
    assert library.all("SELECT DISTINCT meta_json FROM model_meta") == [(CLEAN,)]


def test_freed_pages_are_given_back(library: Library) -> None:
    put_model(library, meta_json=json.dumps({"images": [IMAGE] * 1000}))
    before = os.path.getsize(library.path)
    clean_meta(library)
    assert os.path.getsize(library.path) < before / 5


def test_what_another_program_writes_meanwhile_is_kept(library: Library) -> None:
    """Promise 10: an edit that lands after the metadata was read, and before it is written, is not undone."""
    fill(library)
    edits: list[str] = []

    def edit(statement: str) -> None:
        if statement == "BEGIN IMMEDIATE" and not edits:
            edits.append(DIRTY.replace('"z":1', '"z":"typed meanwhile"'))
            with closing(sqlite3.connect(library.path)) as other, other:
                other.execute("UPDATE model_meta SET meta_json = ? WHERE sha256 = ?", [edits[0], SHA])

    library._connection.set_trace_callback(edit)
    clean_meta(library)
    library._connection.set_trace_callback(None)
    assert edits
    assert models.meta(library, SHA) == CLEAN.replace('"z":1', '"z":"typed meanwhile"')


def test_what_another_program_removes_meanwhile_stays_removed(library: Library) -> None:
    fill(library)
    gone: list[int] = []

    def remove(statement: str) -> None:
        if statement == "BEGIN IMMEDIATE" and not gone:
            with closing(sqlite3.connect(library.path)) as other, other:
                gone.append(other.execute("DELETE FROM model_meta WHERE sha256 = ?", [SHA]).rowcount)

    library._connection.set_trace_callback(remove)
    clean_meta(library)
    library._connection.set_trace_callback(None)
    assert gone == [1]
    assert models.meta(library, SHA) is None
