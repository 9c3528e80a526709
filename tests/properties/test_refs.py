"""Any text may stand where a model is named: it leads to the one it means, or to an error in words."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.libraries import known_file, put_files, put_model, put_pending

from mlib.cli.options import read_refs
from mlib.core.errors import MlibError, NotFound, WrongUsage
from mlib.db.library import open_library
from mlib.services.resolving import SHORTEST_PREFIX, Target, resolve, resolve_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlib.db.library import Library

#: Content hashes, some of which begin alike.
SHA256 = tuple(
    f"{start:0<64}" for start in ("abcd", "abcde", "abcdef0", "12345678", "0000", "00001", "e" * 64)
)
PATHS = ("/m/a.safetensors", "/m/été.safetensors", os.fsdecode(b"/m/\xff.safetensors"))

digits = st.text("0123456789abcdefABCDEF", max_size=70)
anything = (
    st.text()
    | st.binary().map(os.fsdecode)
    | digits
    | st.from_regex(r"pending:.{0,20}")
    | st.sampled_from([*PATHS, "a name", ".", "..", "/", "~", "-"])
)


@pytest.fixture(scope="module")
def shelf() -> Iterator[Library]:
    """A library with a few models, each with a name, one with files, and one pending import."""
    with open_library("/no such folder/library.db", mode="dry_run") as library:
        for number, sha256 in enumerate(SHA256):
            put_model(library, sha256, name=f"model {number}")
        put_files(library, *(known_file(path, SHA256[0]) for path in PATHS))
        put_pending(library, "/m/waits.safetensors", sha256=None)
        yield library


@given(st.binary() | st.text().map(str.encode))
def test_reading_refs_gives_lines_of_text_or_a_refusal(raw: bytes) -> None:
    try:
        refs = read_refs(raw)
    except WrongUsage:
        with pytest.raises(UnicodeDecodeError):
            raw.decode()
    else:
        assert all(ref.strip() and "\n" not in ref for ref in refs)
        assert "".join("".join(refs).split()) == "".join(raw.decode().split())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ref=anything)
def test_any_text_leads_to_one_target_or_to_an_error_in_words(shelf: Library, ref: str) -> None:
    answer: Target | MlibError
    try:
        answer = resolve(shelf, ref)
    except MlibError as error:
        answer = error
    if isinstance(answer, Target):
        assert answer.sha256 in SHA256 or answer.pending_id == 1
    else:
        assert answer.exit_code in (2, 5)
        assert answer.message.encode().decode().splitlines() == [answer.message]


@pytest.mark.parametrize("sha256", SHA256)
@given(upper=st.sets(st.integers(0, 63)))
def test_a_full_hash_in_any_case_is_that_model(shelf: Library, sha256: str, upper: set[int]) -> None:
    spelt = "".join(digit.upper() if n in upper else digit for n, digit in enumerate(sha256))
    assert resolve(shelf, spelt) == Target(sha256=sha256)


@given(sha256=st.sampled_from(SHA256), length=st.integers(SHORTEST_PREFIX, 64))
def test_a_prefix_leads_to_its_model_or_is_ambiguous(shelf: Library, sha256: str, length: int) -> None:
    prefix = sha256[:length]
    if sum(other.startswith(prefix) for other in SHA256) == 1:
        assert resolve(shelf, prefix) == resolve(shelf, prefix.upper()) == Target(sha256=sha256)
    else:
        with pytest.raises(NotFound) as caught:
            resolve(shelf, prefix)
        assert caught.value.code == "ambiguous_ref"


@given(prefix=digits.filter(lambda text: len(text) >= SHORTEST_PREFIX))
def test_digits_that_no_hash_begins_with_lead_nowhere(shelf: Library, prefix: str) -> None:
    if not any(sha256.startswith(prefix.lower()) for sha256 in SHA256):
        with pytest.raises(NotFound):
            resolve(shelf, prefix)


@given(chosen=st.lists(st.sampled_from([*SHA256, *PATHS, "model 1", "pending:1"])))
def test_many_refs_give_each_target_once_in_the_order_of_the_refs(shelf: Library, chosen: list[str]) -> None:
    one_by_one = [resolve(shelf, ref) for ref in chosen]
    assert resolve_all(shelf, chosen) == list(dict.fromkeys(one_by_one))
