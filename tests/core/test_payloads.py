from __future__ import annotations

import base64
import json
import time

import pytest

from mlib.core.payloads import Stripped, strip_images

FILLER = bytes(range(256))
PNG = b"\x89PNG\r\n\x1a\n" + FILLER
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF" + FILLER
GIF = b"GIF89a" + FILLER
WEBP = b"RIFF\x24\x01\x00\x00WEBPVP8 " + FILLER
AVIF = b"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00avifmif1miaf" + FILLER
URI = "data:image/png;base64," + base64.b64encode(PNG).decode()
SHORT_URI = "data:image/png;base64,iVBORw0KGgo="
BARE = base64.b64encode(PNG).decode()


def strip(text: str) -> Stripped:
    """Strip, and check on the way that a second time changes nothing."""
    stripped = strip_images(text)
    again = strip_images(stripped.text)
    assert again.text is stripped.text
    assert again.removed == 0
    return stripped


@pytest.mark.parametrize(
    "key",
    [
        "image",
        "preview",
        "previews",
        "thumbnail",
        "cover_images",
        "customImages",
        "custom_images",
        "videos",
        "preview_url",
        "previewUrl",
        "ThumbnailImageUrl",
        "modelspec.thumbnail",
        "ssmd_cover_images",
        "Image",
        "PREVIEW",
    ],
)
def test_a_carrier_goes_wherever_it_is_nested(key: str) -> None:
    text = json.dumps({"a": 1, key: "/media/x.png", "list": [{"deep": {key: {"url": "x"}, "kept": 2}}]})
    assert strip(text) == Stripped('{"a":1,"list":[{"deep":{"kept":2}}]}', 2)


@pytest.mark.parametrize(
    "key", ["imagery", "preview_nsfw_level", "image_count", "previewer", "my images", "url"]
)
def test_other_keys_stay(key: str) -> None:
    text = json.dumps({key: "/media/x.png"})
    assert strip(text).text is text


@pytest.mark.parametrize("value", ["true", "false", "1", "1.10", "9007199254740993", "NaN"])
def test_a_bool_or_a_number_is_no_payload(value: str) -> None:
    text = f'{{"preview": {value}, "images": {value}}}'
    assert strip(text).text is text


@pytest.mark.parametrize(
    ("images", "count", "removed"),
    [
        ('["/a.png", "/b.png"]', 2, 2),
        ('[null, 7, {"url": "x"}, "", {}, "b.png", []]', 2, 2),
        ('"/one.png"', 1, 1),
        ('{"url": "x"}', 1, 1),
        ("[7]", 0, 1),
        ("[]", 0, 0),
        ('""', 0, 0),
        ("{}", 0, 0),
        ("null", 0, 0),
    ],
)
def test_images_leave_their_number_in_place(images: str, count: int, removed: int) -> None:
    text = f'{{"a": 1, "images": {images}, "z": 1}}'
    assert strip(text) == Stripped(f'{{"a":1,"images_count":{count},"z":1}}', removed)


def test_a_count_that_is_there_is_kept_as_it_is() -> None:
    assert strip('{"images": ["a"], "images_count": 7.0}') == Stripped('{"images_count":7.0}', 1)
    assert strip('{"images_count": null, "images": ["a"]}') == Stripped('{"images_count":null}', 1)
    text = '{"images_count": 3}'
    assert strip(text).text is text


def test_only_images_leave_a_number() -> None:
    assert strip('{"image": "x", "videos": ["x"], "cover_images": ["x"]}') == Stripped("{}", 3)


def test_every_object_counts_its_own_images() -> None:
    text = '{"modelVersions": [{"images": [{"url": "a"}, {"url": "b"}]}, {"images": []}], "images_count": 9}'
    assert strip(text) == Stripped(
        '{"modelVersions":[{"images_count":2},{"images_count":0}],"images_count":9}', 2
    )


def test_of_duplicate_images_the_last_is_counted() -> None:
    assert strip('{"images": ["a"], "x": 1, "images": ["a", "b"]}') == Stripped('{"images_count":2,"x":1}', 3)


def test_an_empty_carrier_goes_and_is_no_payload() -> None:
    assert strip('{"image": "", "preview": null, "videos": [], "thumbnail": {}, "a": ""}') == Stripped(
        '{"a":""}', 0
    )


def test_the_inputs_of_a_node_keep_their_links() -> None:
    node = {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "image": "a.png"}}
    text = json.dumps({"workflow": {"9": node}})
    assert strip(text).text is text
    with_payload = json.dumps({"9": node | {"inputs": {"images": ["8", 0], "image": URI}}})
    assert strip(with_payload) == Stripped('{"9":{"class_type":"SaveImage","inputs":{"images":["8",0]}}}', 1)
    assert strip('{"inputs": {"image": "a.png"}}') == Stripped('{"inputs":{}}', 1)
    assert strip(json.dumps({"class_type": URI, "inputs": {"image": "a"}})) == Stripped('{"inputs":{}}', 2)


@pytest.mark.parametrize(
    "value",
    [
        URI,
        SHORT_URI,
        f"  {URI}\n",
        URI.replace("data:image/png;base64", "DATA:Image/PNG;charset=utf-8;BASE64"),
        URI[:100] + "\n" + URI[100:],
        "data:image/png;base64,",
        "data:image/svg+xml,%3Csvg%20xmlns='x'%3E%3C/svg%3E".replace("'", "%27"),
        "data:image/svg+xml;utf8,<svg xmlns='http://www.w3.org/2000/svg' width='1'><g/></svg>",
        *(base64.b64encode(image).decode() for image in (PNG, JPEG, GIF, WEBP, AVIF)),
        base64.urlsafe_b64encode(JPEG).decode(),
        base64.encodebytes(PNG).decode(),
        base64.encodebytes(PNG).decode().replace("\n", "\r\n  "),
        BARE.rstrip("="),
    ],
)
def test_a_text_that_is_an_image_goes_under_any_key(value: str) -> None:
    assert strip(json.dumps({"a": 1, "x": value, "l": ["k", value]})) == Stripped('{"a":1,"l":["k"]}', 2)
    assert strip(json.dumps([value, 1, [value]])) == Stripped("[1,[]]", 2)
    assert strip(json.dumps(value)) == Stripped("null", 1)


@pytest.mark.parametrize(
    "value",
    [
        BARE[:120],
        base64.b64encode(b"%PDF-1.7" + FILLER).decode(),
        base64.b64encode(b"RIFF\x24\x01\x00\x00WAVEfmt " + FILLER).decode(),
        base64.b64encode(b"\x00\x00\x00\x1cftypisom\x00\x00\x00\x00isommp42" + FILLER).decode(),
        "/9j/ is how a JPEG begins, " * 10,
        BARE + "!",
        BARE + " is what I pasted here",
        BARE + "\nnote",
        base64.encodebytes(PNG).decode() + "my note here",
        "5f" * 64,
        "iVBORw0KGgo " * 20,
        "/9j/" + "x" * 200 + "\u00e9",
        "data:image/png",
        "data:image/png is a prefix, and this is a note",
        SHORT_URI + " is the smallest PNG",
        f"see ({SHORT_URI})",
        "data:text/plain;base64," + BARE,
    ],
)
def test_text_that_is_no_image_stays(value: str) -> None:
    text = json.dumps({"x": value, "l": [value]})
    assert strip(text).text is text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('<p>one</p><img src="', '"><p>two</p>'),
        ("![cover](", ") and more"),
        ("note: ", " end"),
        ("note:\n", "\nend"),
        ("background:url('", "'); color:red"),
        ("note: ", "\n" + "5f" * 32),
        (f"{SHORT_URI} and ", ""),
    ],
)
def test_an_embedded_uri_is_cut_out_of_its_text(before: str, after: str) -> None:
    expected = json.dumps({"description": before + after}, separators=(",", ":"))
    assert strip(json.dumps({"description": before + URI + after})) == Stripped(expected, 1)
    escaped = json.dumps({"description": before + URI + after}).replace("/", "\\/")
    assert strip(escaped) == Stripped(expected, 1)


def test_every_uri_in_a_text_is_cut() -> None:
    svg = "data:image/svg+xml," + "%3Csvg%3E" * 10
    text = json.dumps({"d": f'<img src="{URI}"><img src="{URI.upper()}"><img src="{svg}">.'})
    assert strip(text) == Stripped(r'{"d":"<img src=\"\"><img src=\"\"><img src=\"\">."}', 3)


def test_the_lines_of_a_broken_uri_are_cut() -> None:
    lines = "\n".join(URI[i : i + 76] for i in range(0, 4 * 76, 76))
    assert strip(json.dumps(f"before {lines} after")) == Stripped('"before  after"', 1)
    assert strip(f'{{"cut": "before {lines}'.replace("\n", "\\n")) == Stripped('{"cut": "before ', 1)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("data:im", "=age/png;base64," + "A" * 80),
        ("data:image/png;base64,", "A" * 80),
        ("data:image/png;base64,", ""),
        (BARE[:100], BARE[100:]),
        ('{"a": ["' + BARE + '"], "images": ["x"]} ', ""),
    ],
)
def test_what_a_cut_joins_is_looked_at_again(before: str, after: str) -> None:
    strip(json.dumps({"d": before + URI + after}))
    strip(before + URI + after)


def test_json_inside_a_text_is_cleaned_by_value_only() -> None:
    inner = f'{{"images": ["8", 0], "n": 1.10, "n": 2, "x": "{URI}", "l": ["{BARE}", "k"]}}'
    expected = '{"images":["8",0],"n":1.10,"n":2,"l":["k"]}'
    assert strip(json.dumps({"comfy": inner})) == Stripped(
        json.dumps({"comfy": expected}, separators=(",", ":")), 2
    )
    assert strip(json.dumps({"covers": json.dumps([BARE, BARE])})) == Stripped('{"covers":"[]"}', 2)
    twice = json.dumps({"a": json.dumps({"b": json.dumps({"c": URI, "d": 1})})})
    assert json.loads(json.loads(json.loads(strip(twice).text)["a"])["b"]) == {"d": 1}


def test_json_inside_a_text_without_images_stays_as_it_is_written() -> None:
    text = json.dumps({"usage_tips": '{ "strength": 0.80,\n"images": ["a"] }', "image": "x"})
    assert json.loads(strip(text).text) == {"usage_tips": '{ "strength": 0.80,\n"images": ["a"] }'}


def test_every_other_leaf_is_kept_exactly() -> None:
    text = (
        '{"big":123456789012345678901234567890,"f":1.10,"e":1E5,"z":-0,"n":NaN,"dup":1,"dup":{"dup":2},"":[],'
        '"s":"\\u0000\\u001b é ✨","null":null,"t":true,"l":[1.0,[],{}]'
    )
    assert strip(text + ',"image":"x"}') == Stripped(text + "}", 1)


def test_lone_surrogates_stay_escaped() -> None:
    assert strip('{"s": "\\udc80 \\ud83d\\ude00", "image": "x"}') == Stripped('{"s":"\\udc80 😀"}', 1)


@pytest.mark.parametrize(
    "text", ["null", "7", '"just a note"', '["/media/a.png"]', "[1, 2]", "{}", "", " ", "{bad"]
)
def test_what_holds_no_payload_comes_back_as_the_same_object(text: str) -> None:
    assert strip(text) == Stripped(text, 0)
    assert strip(text).text is text


def test_cut_off_text_loses_only_its_uris() -> None:
    assert strip('{"description": "cut off, "images": ["/media/x.pn').removed == 0
    assert strip('{"d": "a note", "images": ["' + URI) == Stripped('{"d": "a note", "images": ["', 1)
    escaped = ('{"d": "a note", "images": ["' + URI + '", "' + URI).replace("/", "\\/")
    assert strip(escaped) == Stripped('{"d": "a note", "images": ["", "', 2)
    html = json.dumps({"d": f'<img src="{URI}"> text'})[:-1]
    assert strip(html) == Stripped(r'{"d": "<img src=\"\"> text"', 1)


def test_text_that_becomes_json_by_a_cut_is_cleaned() -> None:
    assert strip('{"images": ["x"]} ' + URI) == Stripped('{"images_count":1}', 2)


def test_levels_beyond_the_limit_are_treated_as_text() -> None:
    deep = "[" * 150 + json.dumps({"image": "x", "u": URI}) + "]" * 150
    assert strip(deep) == Stripped("[" * 150 + "{}" + "]" * 150, 2)
    deeper = "[" * 250 + json.dumps({"image": "x", "u": URI}) + "]" * 250
    assert strip(deeper) == Stripped("[" * 250 + json.dumps({"image": "x", "u": ""}) + "]" * 250, 1)
    assert strip('{"images": ' + "[" * 250 + "]" * 250 + "}") == Stripped('{"images_count":0}', 1)
    for text in ("[" * 100_000, "[" * 100_000 + "]" * 100_000, json.dumps("[" * 100_000)):
        assert strip(text).text is text


def test_levels_of_json_inside_texts_add_up() -> None:
    inner = "x" * 20
    for _ in range(4):
        inner = "[" * 150 + json.dumps(inner) + "]" * 150
    text = json.dumps({"a": inner, "image": "x"})
    assert json.loads(strip(text).text) == {"a": inner}


@pytest.mark.parametrize(
    "text",
    [
        "data:image/" * 50_000,
        "data:image/png;base64," * 25_000,
        "data:image/png," + "\\/" * 250_000,
        "data:im" * 2_000 + URI + "=" + ("age/png;base64," + "A" * 64 + "=") * 2_000,
        (URI + " ") * 1_200,
        "data:image/svg+xml,<svg" + "/> " * 150_000,
        "data:image/png;base64," + ("A" * 20 + "\n") * 25_000 + "!",
        "A\n" * 250_000,
        " " * 500_000,
        "[" * 250_000 + '"' * 250_000,
        BARE[:64] * 8_000 + "!",
    ],
)
def test_hostile_text_costs_linear_time(text: str) -> None:
    for written in (text, json.dumps({"x": text}), json.dumps({"x": text})[:-1]):
        started = time.process_time()
        strip(written)
        # Tens of milliseconds when linear; anything quadratic takes minutes at this length.
        assert time.process_time() - started < 3
