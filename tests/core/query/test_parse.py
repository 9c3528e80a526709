"""Queries as people type them: what they mean, and what a wrong one is answered with."""

from __future__ import annotations

import pytest
from tests.tools import hint_of

from mlib.core.errors import WrongUsage
from mlib.core.query import Query, Term, Value, parse, printed


def one(text: str) -> Term:
    """The only term of a query."""
    ((term,),) = parse(text).groups
    return term


def word(text: str) -> Term:
    return Term("", (Value("has", text),))


class TestTerms:
    def test_words_and_fields_stand_side_by_side(self) -> None:
        assert parse("anime type:loras") == Query(((word("anime"), Term("type", (Value("is", "loras"),))),))

    def test_many_strings_are_read_like_one(self) -> None:
        assert parse(["tag:x size:>1GB", "anime"]) == parse("tag:x size:>1GB anime")

    def test_nothing_finds_everything(self) -> None:
        assert parse("") == parse([]) == parse(" \t") == Query()

    @pytest.mark.parametrize("text", ["-tag:keep", "-tag:'keep'", '-tag:"keep"'])
    def test_a_dash_negates(self, text: str) -> None:
        assert one(text) == Term("tag", (Value("is", "keep"),), negated=True)

    def test_a_comma_in_a_value_offers_another(self) -> None:
        assert one("type:loras,vae").values == (Value("is", "loras"), Value("is", "vae"))

    @pytest.mark.parametrize("text", ["a b , c", "a b, c", "a b ,c"])
    def test_a_comma_between_terms_parts_groups(self, text: str) -> None:
        assert parse(text).groups == ((word("a"), word("b")), (word("c"),))

    @pytest.mark.parametrize(
        ("text", "type_"),
        [("unet", "diffusion_models"), ("CLIP", "text_encoders"), ("lora", "loras"), ("mine", "mine")],
    )
    def test_types_may_bear_their_other_names(self, text: str, type_: str) -> None:
        assert one(f"type:{text}").values == (Value("is", type_),)

    def test_fields_may_be_spelt_as_show_does(self) -> None:
        assert parse("base_model:x sha256:AB tags:y") == parse("base:x sha:ab tag:y")

    @pytest.mark.parametrize("text", ['base:="SDXL 1.0"', 'base:"=SDXL 1.0"', "base:='SDXL 1.0'"])
    def test_an_equals_sign_wants_the_whole(self, text: str) -> None:
        assert one(text).values == (Value("is", "SDXL 1.0"),)

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("tag:none", Value("none")),
            ("tag:NONE", Value("none")),
            ("tag:*", Value("any")),
            ('tag:"none"', Value("is", "none")),
            (r"tag:\none", Value("is", "none")),
            ('tag:"*"', Value("is", "*")),
            (r"base:\=x", Value("has", "=x")),
            ("size:none", Value("none")),
        ],
    )
    def test_none_and_a_star_have_a_meaning_unless_quoted(self, text: str, value: Value) -> None:
        assert one(text).values == (value,)

    @pytest.mark.parametrize("text", ["kind:unknown", "kind:Unknown", 'kind:"unknown"', "kind:=unknown"])
    def test_a_kind_that_is_shown_as_unknown_is_found_as_it_is_shown(self, text: str) -> None:
        assert parse(text) == parse("kind:none")


class TestQuotes:
    @pytest.mark.parametrize(
        ("text", "meant"),
        [
            ('"soft wet"', "soft wet"),
            ("'soft wet'", "soft wet"),
            (r"soft\ wet", "soft wet"),
            ('"type:x"', "type:x"),
            (r"\type:x", "type:x"),
            (r"\-1", "-1"),
            ('"-1"', "-1"),
            ('"a,b"', "a,b"),
            (r"a\,b", "a,b"),
            ("it's", "it's"),
            ('12"', '12"'),
            (r"\"", '"'),
            ("\\", "\\"),
            ("rock-'n'-roll", "rock-'n'-roll"),
            ("12:30", "12:30"),
        ],
    )
    def test_keep_what_would_mean_something(self, text: str, meant: str) -> None:
        assert one(text) == word(meant)

    def test_in_a_value(self) -> None:
        assert one('tag:"soft, wet",x').values == (Value("is", "soft, wet"), Value("is", "x"))


class TestAmounts:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("size:>2GB", Value(">", "2GB")),
            ("size:1GB..2GB", Value("..", "1GB", "2GB")),
            ("size:..2GB", Value("..", "", "2GB")),
            ("files:2", Value("=", "2")),
            ("files:=2", Value("=", "2")),
            ("added:30d..", Value("..", "30d")),
            ("added:-1w..", Value("..", "1w")),
            ("updated:<2026-01-01", Value("<", "2026-01-01")),
            ("updated:>=2026-01-01T12:30:05Z", Value(">=", "2026-01-01T12:30:05Z")),
            ("missing:TRUE", Value("yes")),
            ("pending:0", Value("no")),
            ("sha:2CDE", Value("has", "2cde")),
        ],
    )
    def test_are_read(self, text: str, value: Value) -> None:
        assert one(text).values == (value,)


class TestWrongQueries:
    @pytest.mark.parametrize(
        ("text", "named", "hint"),
        [
            ("tagg:x", "tagg", "tag:"),
            ("http://x", "http", "quotes"),
            ("size:big", "big", "1.5GB"),
            ("size:>", "size:>", "1.5GB"),
            ("size:..", "size:..", "size:1GB.."),
            ("size:2GB..1GB", "2GB", "smaller"),
            ("size:-1", "-1", "GB"),
            ("files:many", "many", "whole number"),
            ("files:none", "none", "whole number"),
            ("added:2026-13", "2026-13", "30d"),
            ("added:2026-02-30", "2026-02-30", "30d"),
            ("added:30", "30", "30d"),
            ("added:9999999y", "9999999y", "30d"),
            ("added:..", "added:..", "added:30d.."),
            ("missing:maybe", "missing", "missing:yes"),
            ("missing:", "missing", "help"),
            ("tag:", "tag", "tag:none"),
            ("tag:a,,b", "tag:a,,b", "tag:none"),
            ("base:=", "base", "base:none"),
            ("sha:xyz", "sha", "64"),
            ("sha:", "sha", "none"),
            ("-", "-", "negate"),
            ('""', "", "help"),
            ("a,,b", "a,,b", "help"),
            ('"open', '"open', "close"),
            (",", ",", "a or b"),
            ("a ,", ",", "a or b"),
            ("a , , b", ",", "a or b"),
            (" ".join(map(str, range(1_001))), "1,000", "standard input"),
            ("tag:" + ",".join(map(str, range(1_001))), "1,000", "standard input"),
        ],
    )
    def test_are_answered_with_the_term_and_a_way_out(self, text: str, named: str, hint: str) -> None:
        with pytest.raises(WrongUsage) as raised:
            parse(text)
        assert raised.value.code == "bad_query"
        assert named in raised.value.message
        assert hint in f"{raised.value.message} {hint_of(raised.value)}"

    def test_cannot_steer_a_terminal(self) -> None:
        with pytest.raises(WrongUsage) as raised:
            parse("tag\x1b[2Jx:\x1b size:\x1b[2J")
        assert "\x1b" not in f"{raised.value.message}{hint_of(raised.value)}"


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("a,b  -'c d'", 'a,b -"c d"'),
        (
            "type:unet base:'=SDXL 1.0' tag:\"soft, wet\"",
            'type:diffusion_models base:="SDXL 1.0" tag:"soft, wet"',
        ),
        ("size:1GB..  files:=2 tag:NONE,* , missing:1", "size:1GB.. files:2 tag:none,* , missing:yes"),
    ],
)
def test_a_query_has_one_spelling(text: str, canonical: str) -> None:
    assert printed(parse(text)) == canonical


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (r"Krea\x.safetensors", r"Krea\x.safetensors"),
        (r"C:\ai\models", None),
        (r'"C:\ai\models"', r"C:\ai\models"),
        (r"path:D:\ai\x", r"D:\ai\x"),
        (r"path:a\b", r"a\b"),
        (r"path:a\\b", r"a\b"),
        (r"a\ b", "a b"),
        (r"a\"b", 'a"b'),
        (r"\none", "none"),
        (r"tag:\none", "none"),
        (r"\-1", "-1"),
        (r"a\,b", "a,b"),
    ],
)
def test_a_backslash_is_itself_where_it_escapes_nothing(text: str, found: str | None) -> None:
    if found is None:  # `C:` is a field that there is not
        with pytest.raises(WrongUsage):
            parse(text)
        return
    ((term,),) = parse(text).groups
    assert [value.text for value in term.values] == [found]
