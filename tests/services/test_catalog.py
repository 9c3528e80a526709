"""Finding what a person means by a REF."""

from __future__ import annotations

import os
import unicodedata
from itertools import product
from typing import TYPE_CHECKING, Literal

import pytest
from tests.libraries import OTHER, SHA, known_file, put_files, put_model, put_pending, scan_roots
from tests.tools import hint_of, safetensors, write_bytes, write_model

from mlib.cli.options import read_refs
from mlib.core.errors import NotFound, WrongUsage
from mlib.core.hashes import compute
from mlib.core.records import OtherHashes
from mlib.db import contents
from mlib.services.describing import detail
from mlib.services.files.extra_hashes import digest_models
from mlib.services.resolving import CANDIDATES, Target, resolve, resolve_all

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.shelf import Shelf

    from mlib.core.hashes import Hashes
    from mlib.db.library import Library

FIRST = Target(sha256=SHA)


def refusal(library: Library, ref: str) -> NotFound:
    with pytest.raises(NotFound) as caught:
        resolve(library, ref)
    assert caught.value.exit_code == 5
    return caught.value


class TestHash:
    @pytest.mark.parametrize("length", [4, 5, 8, 10, 12, 63, 64])
    @pytest.mark.parametrize("spelling", [str.lower, str.upper])
    def test_any_beginning_in_either_case(self, library: Library, length: int, spelling: type[str]) -> None:
        put_model(library, SHA)
        put_model(library, OTHER)
        assert resolve(library, spelling(SHA[:length])) == FIRST

    @pytest.mark.parametrize("ref", ["a", "a1a"])
    def test_fewer_than_four_digits_are_too_few(self, library: Library, ref: str) -> None:
        put_model(library)
        assert refusal(library, ref).code == "ref_too_short"

    @pytest.mark.parametrize("ref", ["dead", SHA + "a", SHA[:-1] + "0", "a1a1%", "a1a_", "a1a1*", " a1a1"])
    def test_nothing_else_is_found(self, library: Library, ref: str) -> None:
        put_model(library)
        assert refusal(library, ref).code == "model_not_found"

    def test_an_ambiguous_one_names_the_candidates(self, library: Library) -> None:
        first, second = "abcd" + "0" * 60, "abcd" + "f" * 60
        put_model(library, first, name="one")
        put_model(library, second, name="two")
        error = refusal(library, "ABCD")
        assert error.code == "ambiguous_ref"
        assert hint_of(error) == f"one of: {first[:16]} one, {second[:16]} two"
        assert resolve(library, "abcdf") == Target(sha256=second)

    def test_of_many_candidates_a_few_are_named(self, library: Library) -> None:
        for n in range(CANDIDATES + 5):
            put_model(library, "abcd" + f"{n:060x}")
        hint = hint_of(refusal(library, "abcd"))
        assert hint.count("abcd") == CANDIDATES
        assert hint.endswith("…")


class TestName:
    @pytest.mark.parametrize("name", ["Mira", "a b, c", "角色", "%", "o'brien", "-", "pending", "x" * 300])
    def test_an_exact_name(self, library: Library, name: str) -> None:
        put_model(library, name=name)
        assert resolve(library, name) == FIRST

    @pytest.mark.parametrize("ref", ["mir", "mira", "MIRA", "Mira "])
    def test_and_no_other(self, library: Library, ref: str) -> None:
        put_model(library, name="Mira")
        assert refusal(library, ref).code == "model_not_found"

    def test_a_short_name_in_hex_digits(self, library: Library) -> None:
        put_model(library, name="ace")
        assert resolve(library, "ace") == FIRST

    def test_a_name_two_models_have_is_ambiguous(self, library: Library) -> None:
        put_model(library, SHA, name="same")
        put_model(library, OTHER, name="same")
        assert refusal(library, "same").code == "ambiguous_ref"

    def test_of_candidates_those_that_are_gone_are_told(self, library: Library) -> None:
        put_model(library, SHA, name="same")
        put_model(library, OTHER, name="same")
        put_files(
            library, known_file("/m/a", SHA, missing_since=5), known_file("/m/a", OTHER),
            known_file("/m/b", OTHER, missing_since=5),
        )  # fmt: skip
        assert hint_of(refusal(library, "same")) == f"one of: {SHA[:16]} same (missing), {OTHER[:16]} same"

    def test_a_name_that_begins_another_models_hash_is_ambiguous(self, library: Library) -> None:
        put_model(library, SHA, name="one")
        put_model(library, OTHER, name=SHA[:6])
        assert refusal(library, SHA[:6]).code == "ambiguous_ref"
        assert resolve(library, SHA[:7]) == FIRST

    def test_a_model_named_by_the_beginning_of_its_own_hash(self, library: Library) -> None:
        put_model(library, SHA, name=SHA[:6])
        assert resolve(library, SHA[:6]) == FIRST


class TestPath:
    @pytest.fixture
    def model(self, library: Library, tmp_path: Path) -> Target:
        """A model file that was scanned, under a directory that a link leads to as well."""
        sha256 = write_model(tmp_path / "real/sub/a.safetensors")
        (tmp_path / "link").symlink_to(tmp_path / "real")
        scan_roots(library, f"loras={tmp_path}/real")
        return Target(sha256=sha256)

    @pytest.mark.parametrize(
        "ref", ["real/sub/a.safetensors", "./real/../real/sub//a.safetensors", "link/sub/a.safetensors"]
    )
    def test_absolute_relative_or_through_a_link(
        self, library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Target, ref: str
    ) -> None:
        assert resolve(library, f"{tmp_path}/{ref}") == model
        monkeypatch.chdir(tmp_path)
        assert resolve(library, ref) == model

    def test_from_within_its_folder(
        self, library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Target
    ) -> None:
        monkeypatch.chdir(tmp_path / "link/sub")
        assert resolve(library, "./a.safetensors") == model

    def test_a_link_to_the_file_itself(self, library: Library, tmp_path: Path, model: Target) -> None:
        (tmp_path / "shortcut").symlink_to(tmp_path / "real/sub/a.safetensors")
        assert resolve(library, str(tmp_path / "shortcut")) == model

    def test_a_path_at_which_it_lies_no_more(self, library: Library) -> None:
        put_model(library)
        put_files(library, known_file("/gone/a.safetensors", missing_since=1))
        assert resolve(library, "/gone/a.safetensors") == FIRST

    def test_what_lies_there_now_comes_before_what_lay_there(self, library: Library) -> None:
        put_model(library, SHA)
        put_model(library, OTHER)
        put_files(library, known_file("/m/a", OTHER, missing_since=1), known_file("/m/a", SHA))
        assert resolve(library, "/m/a") == FIRST

    def test_a_path_where_two_lay_is_ambiguous(self, library: Library) -> None:
        put_model(library, SHA)
        put_model(library, OTHER)
        put_files(library, known_file("/m/a", OTHER, missing_since=1), known_file("/m/a", missing_since=2))
        assert refusal(library, "/m/a").code == "ambiguous_ref"

    def test_a_path_that_is_no_utf8(self, library: Library) -> None:
        path = os.fsdecode(b"/m/\xff.safetensors")
        put_model(library)
        put_files(library, known_file(path))
        assert resolve(library, path) == FIRST

    @pytest.mark.parametrize("path", ["/m/waits.safetensors", "C:\\m\\waits.safetensors"])
    def test_the_path_of_a_pending_import(self, library: Library, path: str) -> None:
        pending_id = put_pending(library, path, sha256=None)
        assert resolve(library, path) == Target(pending_id=pending_id)

    def test_two_pending_imports_of_one_path_are_ambiguous(self, library: Library) -> None:
        first = put_pending(library, "/m/waits", sha256=None)
        second = put_pending(library, "/m/waits", sha256=SHA)
        assert hint_of(refusal(library, "/m/waits")) == f"one of: pending:{first}, pending:{second}"

    def test_a_path_unknown_to_the_library(self, library: Library, tmp_path: Path) -> None:
        write_model(tmp_path / "new.safetensors")
        assert refusal(library, str(tmp_path / "new.safetensors")).code == "model_not_found"

    def test_a_path_with_a_nul(self, library: Library) -> None:
        assert refusal(library, "/m/a\0b").code == "model_not_found"

    def test_a_path_longer_than_any(self, library: Library) -> None:
        assert refusal(library, "/m" * 5000).code == "model_not_found"


class TestPending:
    def test_by_its_number(self, library: Library) -> None:
        pending_id = put_pending(library)
        assert resolve(library, f"pending:{pending_id}") == Target(pending_id=pending_id)

    @pytest.mark.parametrize("number", ["0", "99", "9" * 18])
    def test_by_a_number_nothing_has(self, library: Library, number: str) -> None:
        put_pending(library)
        assert refusal(library, f"pending:{number}").code == "pending_not_found"

    @pytest.mark.parametrize(
        "ref", ["pending:", "pending:x", "pending:-1", "pending:" + "9" * 30, "pending:\u0661"]
    )
    def test_what_is_no_number(self, library: Library, ref: str) -> None:
        assert refusal(library, ref).code in ("model_not_found", "pending_not_found")


class TestSeveral:
    def test_each_target_comes_once_in_the_order_given(self, library: Library) -> None:
        put_model(library, SHA, name="one")
        put_model(library, OTHER, name="two")
        assert resolve_all(library, ["two", SHA[:4], "one", OTHER]) == [Target(sha256=OTHER), FIRST]

    def test_one_that_leads_nowhere_stops_them_all(self, library: Library) -> None:
        put_model(library)
        with pytest.raises(NotFound):
            resolve_all(library, [SHA, "unknown"])

    def test_an_empty_one_is_wrong_usage(self, library: Library) -> None:
        with pytest.raises(WrongUsage):
            resolve(library, "")


class TestStandardInput:
    @pytest.mark.parametrize(
        ("raw", "refs"),
        [
            (b"", []),
            (b"a1a1\nMira\n", ["a1a1", "Mira"]),
            (b"a1a1\r\n\r\n\n b \n", ["a1a1", " b "]),
            ("角色".encode(), ["角色"]),
            (b"a\x0bb\x85"[:3], ["a\x0bb"]),
        ],
    )
    def test_a_ref_a_line(self, raw: bytes, refs: list[str]) -> None:
        assert read_refs(raw) == refs

    def test_what_is_no_utf8_is_wrong_usage(self) -> None:
        with pytest.raises(WrongUsage, match="not UTF-8"):
            read_refs(b"a1a1\n\xff\n")


class TestDetail:
    def test_loader_names_are_relative_to_the_root(self, library: Library, tmp_path: Path) -> None:
        sha256 = write_model(tmp_path / "r/char/mira.safetensors")
        scan_roots(library, f"loras={tmp_path}/r")
        (place,) = detail(library, Target(sha256=sha256)).places
        assert place.loader_name == os.path.join("char", "mira.safetensors")

    def test_a_file_nobody_scanned_has_none(self, library: Library) -> None:
        put_model(library)
        put_files(library, known_file("C:\\models\\a.ckpt", missing_since=1, stat=None))
        (place,) = detail(library, FIRST).places
        assert place.loader_name is None

    def test_a_target_that_went_away(self, library: Library) -> None:
        with pytest.raises(NotFound):
            detail(library, FIRST)
        with pytest.raises(NotFound):
            detail(library, Target(pending_id=1))


#: As a forum, a web page or a trainer writes it; `{}` are the digits.
SPELLINGS = ["{}", "0x{}", "sha256:{}", "AutoV3: {}", "CRC32:0x{}"]


def know(library: Library, sha256: str, **known: str) -> None:
    """A model with these other hashes."""
    put_model(library, sha256, name=f"model {sha256[:4]}")
    with library.transaction():
        contents.put_hashes(library, sha256, OtherHashes(**known))


class TestOtherHash:
    """Any hash that a forum mentions finds the model, once it is known."""

    @pytest.fixture
    def known(self, library: Library, tmp_path: Path) -> Hashes:
        """A model of more than 2 MiB among others, with every hash there is."""
        path = tmp_path / "r/mira.safetensors"
        sha256 = write_model(path, size=2 << 20)
        for number in range(3):
            write_model(tmp_path / f"r/{number}.safetensors")
        scan_roots(library, f"loras={tmp_path}/r")
        digest_models(library, None)
        computed = compute(str(path), advance=lambda _size: None)
        assert computed is not None
        assert computed.sha256 == sha256
        return computed

    @pytest.mark.parametrize("name", ["sha256", "autov1", "autov2", "autov3", "sha256_12", "crc32", "blake3"])
    def test_finds_it_in_any_spelling(self, library: Library, known: Hashes, name: str) -> None:
        """The name before the colon may be wrong: many a list gives a hash the wrong one."""
        digits = getattr(known, name)
        for spelling, case in product(SPELLINGS, (str.lower, str.upper)):
            assert resolve(library, spelling.format(case(digits))) == Target(sha256=known.sha256)

    def test_autov3_is_known_by_12_digits_and_by_all(self, library: Library, known: Hashes) -> None:
        assert known.autov3 is not None
        for digits in (known.autov3[:12], known.autov3):
            assert resolve(library, digits) == Target(sha256=known.sha256)
        for digits in (known.autov3[:11], known.autov3[:13], known.autov3[:63]):
            assert refusal(library, digits).code == "model_not_found"

    def test_crc32_is_known_in_both_orders_of_its_bytes(self, library: Library, known: Hashes) -> None:
        turned = bytes.fromhex(known.crc32)[::-1].hex()
        assert turned != known.crc32
        for digits in (known.crc32, turned, "0x" + turned.upper()):
            assert resolve(library, digits) == Target(sha256=known.sha256)

    def test_is_found_only_whole(self, library: Library, known: Hashes) -> None:
        for digits in (known.crc32[:7], (known.blake3 or "")[:12], (known.autov1 or "")[:4]):
            assert refusal(library, digits).code == "model_not_found"

    def test_autov1_of_a_file_under_2_mib_never_matches(self, library: Library, tmp_path: Path) -> None:
        """Careless tools hash the nothing they find there: e3b0c442 stands in many a list."""
        for number in range(2):
            write_bytes(tmp_path / f"r/{number}.safetensors", safetensors(str(number), size=(2 << 20) - 1000))
        scan_roots(library, f"loras={tmp_path}/r")
        digest_models(library, None)
        assert [row for row in library.all("SELECT autov1 FROM hashes") if row != (None,)] == []
        for ref in ("e3b0c442", "E3B0C442", "autov1:e3b0c442", "e3b0c44298fc"):
            assert refusal(library, ref).code == "model_not_found"

    def test_a_sha256_that_begins_so_is_found_all_the_same(self, library: Library) -> None:
        sha256 = "e3b0c442" + "1" * 56
        put_model(library, sha256)
        assert resolve(library, "e3b0c442") == Target(sha256=sha256)

    @pytest.mark.parametrize(
        ("ref", "of_other"),
        [
            (SHA[:8], {"autov1": SHA[:8]}),
            (SHA[:8], {"crc32": SHA[:8]}),
            (SHA[:8], {"crc32": bytes.fromhex(SHA[:8])[::-1].hex()}),
            (SHA[:12], {"autov3": SHA[:12] + "0" * 52}),
        ],
    )
    def test_that_begins_the_sha256_of_another_is_ambiguous(
        self, library: Library, ref: str, of_other: dict[str, str]
    ) -> None:
        put_model(library, SHA, name="one")
        know(library, OTHER, **of_other)
        error = refusal(library, ref.upper())
        assert error.code == "ambiguous_ref"
        assert f"{SHA[:16]} one" in hint_of(error)
        assert f"{OTHER[:16]} model b2b2" in hint_of(error)

    @pytest.mark.parametrize("name", ["autov3", "blake3"])
    def test_a_whole_sha256_is_never_taken_for_another_hash(self, library: Library, name: str) -> None:
        """It is what scripts name a model by, whatever other files claim."""
        put_model(library, SHA)
        know(library, OTHER, **{name: SHA})
        assert resolve(library, SHA) == FIRST
        assert resolve(library, SHA.upper()) == FIRST

    def test_two_models_have_is_ambiguous(self, library: Library) -> None:
        know(library, SHA, autov3="cd" * 32)
        know(library, OTHER, autov3="cd" * 32)
        assert refusal(library, "cd" * 6).code == refusal(library, "cd" * 32).code == "ambiguous_ref"

    def test_crc32s_that_are_each_others_mirror_are_ambiguous(self, library: Library) -> None:
        know(library, SHA, crc32="01020304")
        know(library, OTHER, crc32="04030201")
        assert refusal(library, "01020304").code == "ambiguous_ref"

    def test_that_is_the_name_of_another_model_is_ambiguous(self, library: Library) -> None:
        put_model(library, SHA, name="deadbeef")
        know(library, OTHER, crc32="deadbeef")
        assert refusal(library, "deadbeef").code == "ambiguous_ref"

    def test_several_of_one_model_lead_to_one(self, library: Library) -> None:
        know(library, SHA, autov1=SHA[:8], crc32=SHA[:8], autov3=SHA, blake3=SHA)
        assert resolve(library, SHA[:8]) == resolve(library, SHA[:12]) == FIRST

    @pytest.mark.parametrize("ref", [" {}", "{} ", "0x{}x", "sha1:{}", "0x", "0xdea", "sha256:", "{}{}{}"])
    def test_nothing_else_is_one(self, library: Library, ref: str) -> None:
        know(library, SHA, crc32="deadbeef")
        assert refusal(library, ref.replace("{}", "deadbeef")).code == "model_not_found"


@pytest.mark.parametrize(("stored", "asked"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_a_name_is_found_by_its_other_form(
    shelf: Shelf, stored: Literal["NFC", "NFD"], asked: Literal["NFC", "NFD"]
) -> None:
    """macOS and archives decompose what keyboards compose."""
    path = shelf.loras / unicodedata.normalize(stored, "Café ñ.safetensors")
    sha256 = write_model(path)
    shelf.scan()
    for ref in (path.name, str(path)):
        assert resolve(shelf.library, unicodedata.normalize(asked, ref)) == Target(sha256=sha256)
