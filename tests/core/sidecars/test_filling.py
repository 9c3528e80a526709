"""What a model gets from its sidecars, and which sidecars are not about it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mlib.core.records import TAGS, Model, OtherHashes
from mlib.core.sidecars.filling import Filling, History, Named, filled, filled_tags, mismatch, offered
from mlib.core.sidecars.record import Sidecar

SHA, OTHER = "a1" * 32, "b2" * 32
MODEL = Model(sha256=SHA, name="ink.safetensors", type="loras")
FACTS = {"name": {"ink.safetensors"}, "base_model": {"SDXL"}}
KNOWN = OtherHashes(autov1="1a2b3c4d", autov3="cd" * 32, crc32="deadbeef", blake3="ef" * 32)
NOTHING = History()


def about(hashes: dict[str, str], *others: str) -> Named:
    return Named("ink.json", Sidecar("civitai_info", hashes=hashes, other_sha256=others))


def after(model: Model, text: dict[str, str], history: History = NOTHING) -> Model:
    return filled(model, Filling(text), facts=FACTS, history=history)[0]


class TestMismatch:
    @pytest.mark.parametrize(
        ("claims", "is_wrong"),
        [
            ({}, False),
            ({"sha256": SHA}, False),
            ({"sha256": OTHER}, True),
            ({"sha256": OTHER, "autov3": "cd" * 6}, False),
            ({"sha256": OTHER, "autov3": "00" * 6}, True),
            ({"sha256": SHA, "autov3": "00" * 6, "crc32": "00" * 4, "blake3": "00" * 32}, False),
            ({"sha256_12": SHA[:12]}, False),
            ({"sha256_12": OTHER[:12]}, True),
            ({"sha256_12": SHA[:12], "crc32": "00000000"}, False),
            ({"crc32": "deadbeef"}, False),
            ({"crc32": "efbeadde"}, False),
            ({"crc32": "deadbee0"}, True),
            ({"blake3": "ef" * 32}, False),
            ({"blake3": "00" * 32}, True),
            ({"autov1": "1a2b3c4d"}, False),
            ({"autov1": "00000000"}, True),
            ({"autov3": "cd" * 6}, False),
            ({"autov3": "00" * 6}, True),
        ],
    )
    def test_with_every_hash_known(self, claims: dict[str, str], is_wrong: bool) -> None:
        assert (mismatch(about(claims), SHA, KNOWN) is not None) is is_wrong

    @pytest.mark.parametrize("claim", ["crc32", "blake3", "autov1", "autov3"])
    def test_what_is_not_known_is_not_judged(self, claim: str) -> None:
        assert mismatch(about({claim: "00" * 6}), SHA, OtherHashes()) is None

    @pytest.mark.parametrize(("others", "is_wrong"), [((OTHER, SHA), False), ((OTHER, "c3" * 32), True)])
    def test_one_of_several_files(self, others: tuple[str, ...], is_wrong: bool) -> None:
        assert (mismatch(about({}, *others), SHA, KNOWN) is not None) is is_wrong

    def test_the_message_says_what_and_what_instead(self) -> None:
        finding = mismatch(about({"sha256": OTHER}), SHA, KNOWN)
        assert finding is not None
        assert finding.message == (
            f"ink.json describes another file: it claims SHA-256 {OTHER[:12]}, this one is {SHA[:12]}"
        )
        assert (finding.code, finding.serious) == ("sidecar_mismatch", False)

    def test_a_hostile_name_is_escaped(self) -> None:
        named = about({"sha256": OTHER})._replace(name="\x1b[2Jin\udcffk\u202e.json")
        finding = mismatch(named, SHA, KNOWN)
        assert finding is not None
        assert finding.message.startswith("\\x1b[2Jin\\xffk\\u202e.json describes")


class TestOffered:
    def test_the_first_word_of_each_field_and_the_first_tags(self) -> None:
        one = Sidecar("metadata_json", name="One", notes="n")
        two = Sidecar("civitai_info", name="Two", description="d", tags=("x",))
        three = Sidecar("cm_info", description="other", tags=("y",), base_model="b")
        assert offered([one, two, three], file_name="ink.safetensors") == Filling(
            {"name": "One", "notes": "n", "description": "d", "base_model": "b"}, ("x",)
        )

    @pytest.mark.parametrize("name", ["ink", "INK", "Ink.safetensors", "straße"])
    def test_a_name_that_is_the_file_s_says_nothing(self, name: str) -> None:
        file_name = "STRASSE.safetensors" if name == "straße" else "Ink.safetensors"
        assert offered([Sidecar("cm_info", name=name)], file_name=file_name) == Filling({})

    def test_nothing_of_nothing(self) -> None:
        assert offered([], file_name="") == Filling({})


class TestFilled:
    def test_empty_fields_and_facts(self) -> None:
        text = {"name": "Ink", "base_model": "Pony", "description": "d", "notes": "n"}
        changed, fields = filled(
            MODEL._replace(base_model="SDXL"), Filling(text), facts=FACTS, history=NOTHING
        )
        assert {name: getattr(changed, name) for name in text} == text
        assert fields == text.keys()
        assert changed.edited == frozenset()

    def test_what_is_there_and_no_fact_stays(self) -> None:
        model = MODEL._replace(name="Old", base_model="SD 1.5", description="old")
        assert after(model, {"name": "New", "base_model": "new", "description": "new"}) == model

    def test_what_was_offered_before_gives_way(self) -> None:
        history = History((Filling({"notes": "else"}), Filling({"description": "old"})), frozenset())
        model = MODEL._replace(description="old", notes="old")
        assert after(model, {"description": "new", "notes": "new"}, history) == model._replace(
            description="new"
        )

    @pytest.mark.parametrize("held", ["", "ink.safetensors"])
    def test_what_was_given_and_is_gone_was_emptied(self, held: str) -> None:
        history = History((Filling({"name": "Old"}),), frozenset({"name"}))
        model = MODEL._replace(name=held)
        assert after(model, {"name": "New"}, history) == model

    def test_nothing_offered_changes_nothing(self) -> None:
        assert filled(MODEL, Filling({}), facts={}, history=NOTHING) == (MODEL, frozenset())

    @given(
        edited=st.sets(st.sampled_from(["name", "base_model", "description", "notes"])),
        held=st.dictionaries(
            st.sampled_from(["name", "base_model", "description", "notes"]), st.text(max_size=3)
        ),
        text=st.dictionaries(
            st.sampled_from(["name", "base_model", "description", "notes"]), st.text(min_size=1, max_size=3)
        ),
        before=st.dictionaries(
            st.sampled_from(["name", "base_model", "description", "notes"]), st.text(min_size=1, max_size=3)
        ),
        given_=st.sets(st.sampled_from(["name", "base_model", "description", "notes"])),
    )
    def test_nothing_typed_changes_and_twice_is_once(
        self, edited: set[str], held: dict[str, str], text: dict[str, str], before: dict[str, str],
        given_: set[str],
    ) -> None:  # fmt: skip
        fields: dict[str, Any] = {**held, "edited": frozenset(edited)}
        model = MODEL._replace(**fields)
        history = History((Filling(before),), frozenset(given_))
        changed, names = filled(model, Filling(text), facts=FACTS, history=history)
        assert names.isdisjoint(edited)
        assert names <= text.keys()
        assert all(getattr(changed, name) == text[name] for name in names)
        assert changed._replace(**{name: getattr(model, name) for name in names}) == model
        again = History((Filling(text),), frozenset(given_ | names))
        assert filled(changed, Filling(text), facts=FACTS, history=again) == (changed, frozenset())


class TestTags:
    @pytest.mark.parametrize(
        ("held", "wanted", "before", "given_", "expected"),
        [
            ((), ("Ink",), (), False, {"ink": "Ink"}),
            ((), (), ("old",), True, None),
            (("INK",), ("ink",), (), False, None),
            (("mine",), ("ink",), (), False, None),
            (("old",), ("new",), ("OLD",), True, {"new": "new"}),
            (("old",), ("new",), ("old",), False, None),
            (("old", "mine"), ("new",), ("old",), True, None),
            ((), ("new",), ("old",), True, None),
        ],
        ids=[
            "empty",
            "nothing said",
            "the same",
            "a person's",
            "the sidecar's",
            "typed alike",
            "more",
            "removed",
        ],
    )
    def test_only_those_that_nobody_chose(
        self, held: tuple[str, ...], wanted: tuple[str, ...], before: tuple[str, ...], given_: bool,
        expected: dict[str, str] | None,
    ) -> None:  # fmt: skip
        history = History((Filling({}, before),), frozenset({TAGS} if given_ else ()))
        assert filled_tags(MODEL, held, Filling({}, wanted), history=history) == expected

    def test_those_of_a_model_whose_tags_were_edited_stay(self) -> None:
        model = MODEL._replace(edited=frozenset({TAGS}))
        assert filled_tags(model, (), Filling({}, ("ink",)), history=NOTHING) is None

    @given(held=st.sets(st.sampled_from("abc")), wanted=st.lists(st.sampled_from("abcde"), max_size=4))
    def test_what_a_person_chose_is_never_taken_away(self, held: set[str], wanted: list[str]) -> None:
        assume(held)
        assert filled_tags(MODEL, held, Filling({}, tuple(wanted)), history=NOTHING) is None
