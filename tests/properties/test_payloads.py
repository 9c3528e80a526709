"""Stripping images changes nothing else: documents are built together with what must be left of them."""

from __future__ import annotations

import base64
import json
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from mlib.core.jsontext import NotJson, parse, parse_pairs
from mlib.core.payloads import strip_images

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(range(200))).decode()
URI = f"data:image/png;base64,{PNG}"


class Case(NamedTuple):
    """A JSON text, what must remain of it (None: nothing), and whether the two are one."""

    text: str
    rest: str | None
    same: bool


def kept(text: str) -> Case:
    return Case(text, text, same=True)


numbers = st.sampled_from(["0", "-0", "1.10", "1E5", "123456789012345678901234567890", "NaN", "-Infinity"])
words = st.text(max_size=12) | st.sampled_from(
    ["https://a.example/x.png", PNG[:100], "5f" * 64, "[1", "{} x"]
)
plain = (numbers | st.sampled_from(["null", "true", "false"]) | words.map(json.dumps)).map(kept)
payloads = st.sampled_from([URI, PNG, f" {URI}\n"]).map(
    lambda value: Case(json.dumps(value), None, same=False)
)
embedded = st.tuples(words, words).map(
    lambda ends: Case(
        json.dumps(f'{ends[0]}<img src="{URI}">{ends[1]}'),
        json.dumps(f'{ends[0]}<img src="">{ends[1]}'),
        same=False,
    )
)
safe_keys = st.text(max_size=3) | st.sampled_from(["dup", "images_count", "modelspec.title", "inputs"])
carriers = st.sampled_from(
    ["image", "images", "preview", "customImages", "ThumbnailImageUrl", "ssmd_cover_images"]
)
bulky = st.sampled_from([json.dumps(URI), '["/a.png"]', '{"url":1.10}', '""', "null", "[[]]"])


def listed(cases: list[Case]) -> Case:
    rest = ",".join(case.rest for case in cases if case.rest is not None)
    return Case(f"[{', '.join(case.text for case in cases)}]", f"[{rest}]", all(case.same for case in cases))


def grouped(members: list[tuple[str, Case]]) -> Case:
    """An object; a carrier (marked by an empty rest) leaves nothing, `images` a count where there is none."""
    text = ", ".join(f"{json.dumps(key)}: {case.text}" for key, case in members)
    counted = any(key == "images_count" for key, _ in members)
    last = dict(members)
    rest = []
    for key, case in members:
        if case.rest is None and key == "images" and not counted:
            images = json.loads(last[key].text)
            number = sum(map(bool, images)) if isinstance(images, list) else int(bool(images))
            rest.append(f'"images_count":{number}')
            counted = True
        elif case.rest is not None:
            rest.append(f"{json.dumps(key)}:{case.rest}")
    return Case(f"{{{text}}}", f"{{{','.join(rest)}}}", all(case.same for _, case in members))


carried = st.tuples(carriers, bulky.map(lambda text: Case(text, None, same=False)))
documents = st.recursive(
    plain | payloads | embedded,
    lambda inner: (
        st.lists(inner, max_size=4).map(listed)
        | st.lists(st.tuples(safe_keys, inner) | carried, max_size=4).map(grouped)
    ),
    max_leaves=12,
)


@given(documents)
def test_only_payloads_go_and_every_other_leaf_keeps_value_literal_and_place(case: Case) -> None:
    stripped = strip_images(case.text)
    assert parse_pairs(stripped.text) == parse_pairs("null" if case.rest is None else case.rest)


@given(documents)
def test_a_text_without_payloads_is_the_same_object(case: Case) -> None:
    stripped = strip_images(case.text)
    assert (stripped.text is case.text) is case.same
    if case.same:
        assert stripped.removed == 0


@given(documents)
def test_stripping_is_idempotent(case: Case) -> None:
    once = strip_images(case.text)
    twice = strip_images(once.text)
    assert twice.text is once.text
    assert twice.removed == 0


@given(documents)
def test_a_text_never_grows_but_by_its_counts(case: Case) -> None:
    room = len('"images_count":0') * case.text.count('"images"')
    assert len(strip_images(case.text).text.encode()) <= len(case.text.encode()) + room


halves = [URI, PNG, PNG[:70], "data:image/png;base64,", "data:im", "age/png,", "A" * 70, "<svg", "</svg>"]
marks = ['{"images":', '{"a":', "[", "]", "}", '"', '\\"', ",", ":", '["x"]', "null", "\udc80"]
spaces = [" ", "\n", "\\n", "\\/", "="]
fragments = st.lists(st.text(max_size=5) | st.sampled_from(halves + marks + spaces), max_size=12).map("".join)


@given(fragments)
def test_any_text_can_be_stripped_and_a_second_time_changes_nothing(text: str) -> None:
    for written in (text, json.dumps(text), json.dumps({"k": text}), json.dumps([json.dumps({"k": text})])):
        once = strip_images(written)
        twice = strip_images(once.text)
        assert twice.text is once.text
        assert twice.removed == 0
        if once.text is written:
            assert once.removed == 0


@given(fragments)
def test_what_was_json_stays_json(text: str) -> None:
    try:
        parse(text)
    except NotJson:
        return
    parse(strip_images(text).text)
