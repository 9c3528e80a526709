"""A header edited in place makes other content of the same weights: what was typed goes on with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.core.sidecars.sidecar_files import as_bytes
from tests.tools import safetensors, set_age, write_bytes, write_model

from mlib.db import contents, models, tags
from mlib.services.describing import detail
from mlib.services.files.extra_hashes import digest_models
from mlib.services.importing.importer import import_pending
from mlib.services.resolving import Target, resolve
from mlib.services.updating import parse_edit, update

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.shelf import Shelf


@pytest.fixture
def path(shelf: Shelf) -> Path:
    """A file whose every hash is known, and about whose model much was typed."""
    path = shelf.loras / "ink.safetensors"
    sha256 = write_bytes(path, safetensors("weights", metadata={"title": "old"}))
    shelf.scan()
    digest_models(shelf.library, None)
    shelf.edit(
        sha256, name="Ink", base_model="SDXL", description="Long.", notes="mine", tag=("ink",), put=("a.b=1",)
    )
    return path


def present(shelf: Shelf, path: Path) -> str:
    sha256 = shelf.at(path)
    assert sha256 is not None
    return sha256


def edit_header(path: Path, *, weights: str = "weights", title: str = "new", age: float = 100) -> str:
    return write_bytes(path, safetensors(weights, metadata={"title": title}), age=age)


def test_what_was_typed_follows_the_weights(shelf: Shelf, path: Path) -> None:
    old = present(shelf, path)
    typed = shelf.user_data(old)
    new = edit_header(path)
    assert shelf.told()["replaced"] == 1
    assert shelf.user_data(new) == typed
    assert shelf.user_data(old) == typed, "and the old model keeps it"
    assert shelf.places(old) == {str(path): False}


def test_the_old_hash_finds_the_old_model_which_shows_the_new(shelf: Shelf, path: Path) -> None:
    old = present(shelf, path)
    new = edit_header(path)
    shelf.scan()
    assert resolve(shelf.library, old) == Target(sha256=old)
    (same,) = detail(shelf.library, Target(sha256=old)).same_weights
    assert (same.sha256, same.name, same.path) == (new, "Ink", str(path))
    (same,) = detail(shelf.library, Target(sha256=new)).same_weights
    assert (same.sha256, same.path) == (old, None)


def test_it_follows_through_one_edit_after_another(shelf: Shelf, path: Path) -> None:
    """The hashes of an heir are known without `mlib hash --all`."""
    typed = shelf.user_data(present(shelf, path))
    for number in range(3):
        new = edit_header(path, title=f"edit {number}", age=100 - number)
        shelf.scan()
        assert shelf.user_data(new) == typed


def test_what_is_typed_of_the_heir_is_its_own(shelf: Shelf, path: Path) -> None:
    old = present(shelf, path)
    typed = shelf.user_data(old)
    new = edit_header(path)
    shelf.scan()
    shelf.edit(new, name="Ink 2", notes="anew", tag=("second",))
    after = shelf.user_data(new)
    set_age(path, 50)
    shelf.scan(rehash=True)
    assert (shelf.user_data(old), shelf.user_data(new)) == (typed, after)


def test_other_weights_inherit_nothing(shelf: Shelf, path: Path) -> None:
    old = present(shelf, path)
    typed = shelf.user_data(old)
    new = edit_header(path, weights="other")
    shelf.scan()
    assert shelf.user_data(new) == ({}, (), None)
    assert shelf.user_data(old) == typed
    assert contents.same_weights(shelf.library, old) == []


def test_without_a_known_autov3_nothing_follows_and_nothing_is_lost(shelf: Shelf) -> None:
    path = shelf.loras / "ink.safetensors"
    old = write_bytes(path, safetensors("weights", metadata={"title": "old"}))
    shelf.scan()
    shelf.edit(old, notes="mine")
    typed = shelf.user_data(old)
    new = edit_header(path)
    shelf.scan()
    assert shelf.user_data(new) == ({}, (), None)
    assert shelf.user_data(old) == typed


@pytest.mark.parametrize("kind", ["text", "tags", "meta"])
def test_an_heir_with_user_data_of_its_own_keeps_that_alone(shelf: Shelf, path: Path, kind: str) -> None:
    new = edit_header(shelf.vae / "known.safetensors")
    shelf.scan()
    match kind:
        case "text":
            shelf.edit(new, notes="own")
        case "tags":
            shelf.edit(new, tag=("own",))
        case _:
            shelf.edit(new, put=("own=1",))
    own = shelf.user_data(new)
    edit_header(path)
    shelf.scan()
    assert shelf.at(path) == new
    assert shelf.user_data(new) == own


def test_an_heir_that_is_known_elsewhere_and_blank_inherits(shelf: Shelf, path: Path) -> None:
    typed = shelf.user_data(present(shelf, path))
    new = edit_header(shelf.vae / "known.safetensors")
    shelf.scan()
    edit_header(path)
    shelf.scan()
    assert shelf.user_data(new) == typed


def test_a_model_of_which_nothing_was_typed_leaves_nothing(shelf: Shelf) -> None:
    path = shelf.loras / "plain.safetensors"
    write_bytes(path, safetensors("weights", metadata={"title": "old"}))
    shelf.scan()
    digest_models(shelf.library, None)
    new = edit_header(path)
    shelf.scan()
    model = models.get(shelf.library, new)
    assert model is not None
    assert (model.name, model.edited) == ("plain.safetensors", frozenset())


def test_content_that_came_from_elsewhere_is_no_heir_of_a_path_that_was_empty(
    shelf: Shelf, path: Path
) -> None:
    """The same weights in another place are a model of their own."""
    new = edit_header(shelf.vae / "other.safetensors")
    shelf.scan()
    assert shelf.user_data(new) == ({}, (), None)
    assert shelf.at(path) is not None


def test_what_a_sidecar_said_follows_although_it_names_the_old_hash(shelf: Shelf) -> None:
    path = shelf.loras / "ink.safetensors"
    old = write_bytes(path, safetensors("weights", metadata={"title": "old"}))
    sidecar = {
        "ModelName": "Ink Wash",
        "ModelDescription": "Long.",
        "Tags": ["ink"],
        "Hashes": {"SHA256": old},
    }
    write_bytes(shelf.loras / "ink.cm-info.json", as_bytes(sidecar))
    shelf.scan()
    digest_models(shelf.library, None)
    new = edit_header(path)
    shelf.scan()
    model = models.get(shelf.library, new)
    assert model is not None
    assert (model.description, tags.of_model(shelf.library, new)) == ("Long.", ("ink",))
    assert "description" not in model.edited


def test_a_staged_heir_leaves_the_old_model_as_it_is(shelf: Shelf, path: Path) -> None:
    old = present(shelf, path)
    typed = shelf.user_data(old)
    edit_header(path)
    shelf.scan(stage=True)
    assert shelf.user_data(old) == typed


def test_a_staged_heir_inherits_when_it_is_imported(shelf: Shelf, path: Path) -> None:
    old = present(shelf, path)
    typed = shelf.user_data(old)
    new = edit_header(path)
    shelf.scan(stage=True)
    (done,) = import_pending(shelf.library).success
    assert (done.sha256, done.change) == (new, "created")
    assert (shelf.user_data(new), shelf.user_data(old)) == (typed, typed)
    assert (shelf.at(path), shelf.places(old)) == (new, {str(path): False})


def test_a_staged_heir_inherits_when_a_later_scan_imports_it(shelf: Shelf, path: Path) -> None:
    typed = shelf.user_data(present(shelf, path))
    new = edit_header(path)
    shelf.scan(stage=True)
    shelf.scan()
    assert shelf.user_data(new) == typed


@pytest.mark.parametrize("stage", [False, True])
def test_it_follows_past_an_edit_that_is_still_staged(shelf: Shelf, path: Path, *, stage: bool) -> None:
    typed = shelf.user_data(present(shelf, path))
    between = edit_header(path, title="between")
    shelf.scan(stage=True)
    new = edit_header(path, age=50)
    shelf.scan(stage=stage)
    import_pending(shelf.library)
    assert (shelf.user_data(new), shelf.user_data(between)) == (typed, typed)
    assert (shelf.at(path), shelf.places(between)) == (new, {str(path): False})


def test_a_staged_heir_about_which_something_was_typed_keeps_that_alone(shelf: Shelf, path: Path) -> None:
    new = edit_header(path)
    shelf.scan(stage=True)
    (entry,) = shelf.waiting()
    update(shelf.library, [Target(pending_id=entry.id)], parse_edit(text={"notes": "own"}))
    import_pending(shelf.library)
    assert shelf.user_data(new) == ({"notes": "own"}, (), None)


def test_a_staged_heir_that_became_known_elsewhere_inherits_all_the_same(shelf: Shelf, path: Path) -> None:
    typed = shelf.user_data(present(shelf, path))
    new = edit_header(path)
    shelf.scan(stage=True)
    edit_header(shelf.vae / "copy.safetensors")
    shelf.scan(paths=[str(shelf.vae)])
    assert shelf.user_data(new) == ({}, (), None)
    (done,) = import_pending(shelf.library).success
    assert done.change == "updated"
    assert shelf.user_data(new) == typed


def test_staged_content_of_other_weights_inherits_nothing(shelf: Shelf, path: Path) -> None:
    new = edit_header(path, weights="other")
    shelf.scan(stage=True)
    import_pending(shelf.library)
    assert shelf.user_data(new) == ({}, (), None)


def test_a_dry_run_inherits_nothing(shelf: Shelf, path: Path) -> None:
    edit_header(path)
    before = shelf.library.all("SELECT * FROM models"), shelf.library.all("SELECT * FROM hashes")
    shelf.scan(dry_run=True)
    assert (shelf.library.all("SELECT * FROM models"), shelf.library.all("SELECT * FROM hashes")) == before


def test_a_format_without_autov3_has_no_heirs(shelf: Shelf) -> None:
    path = shelf.loras / "a.bin"
    old = write_bytes(path, b"not a safetensors file" * 10)
    shelf.scan()
    digest_models(shelf.library, None)
    shelf.edit(old, notes="mine")
    new = write_model(path, "other", age=100)
    shelf.scan()
    assert shelf.user_data(new) == ({}, (), None)
