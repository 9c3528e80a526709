"""Remove images from stored metadata and leave everything else unchanged.

Images are found by key, in older managers' own rows (`images`, `image`, `preview`), Civitai and LoRA Manager
files (`images`, `customImages`, `videos`, `preview_url`), Stability Matrix (`ThumbnailImageUrl`) and model
headers (`modelspec.thumbnail`, `ssmd_cover_images`); and by value: data URIs and bare base64 anywhere.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal, TypeAlias

from mlib.core.jsontext import MAX_DEPTH, Json, Members, NotJson, Number, dump, parse_pairs

#: Keys that hold images, in lower case without underscores, since writers differ in both.
_CARRIERS = frozenset({
    "image", "images", "preview", "previews", "previewurl", "thumbnail", "thumbnailimageurl", "coverimages",
    "customimages", "videos", "modelspec.thumbnail", "ssmdcoverimages",
})  # fmt: skip
_LEAST_BASE64 = 128  # characters: shorter text is more likely a hash or a token than an image
_SHORTEST_URI = len("data:image/x,")
_LINE = 16  # lines of base64 are longer than words
_LONGEST_LINE = 256

_URI_HEAD = re.compile(r"""\s*data:image/[^,\s"'<>()]{0,100}+,""", re.IGNORECASE | re.ASCII)
_URI_BODY = re.compile(r"""[^\s"'<>()]*+""")
_SVG_BODY = re.compile(r"<(?:svg|\?xml)\b.*(?:</svg>|/>)", re.IGNORECASE | re.DOTALL)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]*+={0,2}")
# Every quantifier is bounded or possessive, so the cost is linear. Slashes may be escaped (`\/`) and line
# breaks written `\n`, since truncated JSON is searched as raw text. A following line belongs to the base64 if
# it is longer than a SHA-256 in hex. No match contains a space: see _cut.
_URI = re.compile(
    r"""data:image\\?/[^,\s"'<>()]{0,100}+,
        (?: (?<=;base64,) (?=[A-Za-z0-9+/_%\\\r\n-]{64})
            [A-Za-z0-9+/_%-]*+ (?: \\/ [A-Za-z0-9+/_%-]*+ )*+
            (?: (?: \r?\n | (?:\\r)?\\n ) (?=[A-Za-z0-9+/_%\\-]{65})
                [A-Za-z0-9+/_%-]*+ (?: \\/ [A-Za-z0-9+/_%-]*+ )*+ )*+
            ={0,2}
          | (?<!;base64,) [A-Za-z0-9%._~!$&*+,;=:@/?-]{64,}+
        )""",
    re.IGNORECASE | re.ASCII | re.VERBOSE,
)
_JSON_START = re.compile(r"\s*[\[{]")


class _Mark(Enum):
    GONE = 0


_GONE: Final = _Mark.GONE
_Cleaned: TypeAlias = "tuple[Json | Literal[_Mark.GONE], int]"


@dataclass(frozen=True, slots=True)
class Stripped:
    """A text without its images, and how many were removed; the same object if nothing changed."""

    text: str
    removed: int


def strip_images(meta_json: str) -> Stripped:
    """Remove image payloads from a JSON text; every other leaf keeps its value, literal and place.

    A carrier key is removed whatever its value, except a bool or a number; each text or object in it counts
    as a payload. Empty carriers are removed too but do not count, so `removed` can be 0 for a text that
    changed. `images` is replaced by an `images_count`, unless the object has one. The `inputs` of a ComfyUI
    node (an object with `class_type`) are links and settings under any name, so only their values are
    examined. Text that is not JSON only loses its data:image URIs. A second call changes nothing.
    """
    try:
        document = parse_pairs(meta_json)
        cleaned, removed = _clean(document, by_key=True, room=MAX_DEPTH)
    except NotJson:
        text, removed = _cut(meta_json)
        if not removed:
            return Stripped(meta_json, 0)
        again = strip_images(text)  # the rest may be JSON now
        return Stripped(again.text, removed + again.removed)
    if cleaned is document:
        return Stripped(meta_json, 0)
    return Stripped(dump(None if cleaned is _GONE else cleaned), removed)


def _clean(value: Json, *, by_key: bool, room: int) -> _Cleaned:
    """Remove the payloads from a value; return the same object if it has none, _GONE if it is one.

    `room` is the number of levels that may follow; raises NotJson for more.
    """
    if isinstance(value, str):
        return (value, 0) if isinstance(value, Number) else _clean_text(value, room=room)
    if not isinstance(value, list):
        return value, 0
    if room <= 0:
        raise NotJson("nested too deeply")
    if isinstance(value, Members):
        return _clean_members(value, by_key=by_key, room=room - 1)
    return _clean_list(value, by_key=by_key, room=room - 1)


def _clean_list(items: list[Json], *, by_key: bool, room: int) -> _Cleaned:
    kept: list[Json] = []
    removed, same = 0, True
    for item in items:
        if _is_plain(item):
            kept.append(item)
            continue
        cleaned, count = _clean(item, by_key=by_key, room=room)
        removed += count
        same = same and cleaned is item
        if cleaned is not _GONE:
            kept.append(cleaned)
    return (items if same else kept), removed


def _clean_members(members: Members, *, by_key: bool, room: int) -> _Cleaned:
    kept = Members()
    removed, same = 0, True
    last = dict(members)
    counted = "images_count" in last
    node_inputs = "inputs" if by_key and _is_node(last, room=room) else None
    for key, value in members:
        if by_key and (name := key.lower().replace("_", "")) in _CARRIERS and _can_carry(value):
            removed += _payloads(value)
            same = False
            if name == "images" and not counted:
                kept.append(("images_count", Number(_images(last[key]))))
                counted = True
        elif _is_plain(value):
            kept.append((key, value))
        else:
            cleaned, count = _clean(value, by_key=by_key and key != node_inputs, room=room)
            removed += count
            same = same and cleaned is value
            if cleaned is not _GONE:
                kept.append((key, cleaned))
    return (members if same else kept), removed


def _is_plain(value: Json) -> bool:
    """Whether a leaf cannot contain an image, as most cannot."""
    return isinstance(value, Number) or (isinstance(value, str) and len(value) < _SHORTEST_URI)


def _is_node(members: dict[str, Json], *, room: int) -> bool:
    """Whether this is a node of a ComfyUI prompt: its `inputs` name links by type (`"images": ["8", 0]`)."""
    kind = members.get("class_type")
    return isinstance(kind, str) and _clean(kind, by_key=False, room=room)[0] is not _GONE


def _can_carry(value: Json) -> bool:
    return value is None or (isinstance(value, (str, list)) and not isinstance(value, Number))


def _payloads(carrier: Json) -> int:
    return max(1, _images(carrier)) if carrier else 0


def _images(carrier: Json) -> int:
    """Count a carrier's images: its non-empty texts and objects, or itself if it is one."""
    if isinstance(carrier, list) and not isinstance(carrier, Members):
        return sum(1 for item in carrier if isinstance(item, (str, Members)) and item and _can_carry(item))
    return 1 if carrier else 0


def _clean_text(text: str, *, room: int) -> _Cleaned:
    if len(text) < _SHORTEST_URI:
        return text, 0
    if _is_image(text):
        return _GONE, 1
    if _JSON_START.match(text):
        try:
            document = parse_pairs(text)
            cleaned, removed = _clean(document, by_key=False, room=room)
        except NotJson:
            pass
        else:
            return (text if cleaned is document or cleaned is _GONE else dump(cleaned)), removed
    rest, removed = _cut(text)
    if not removed:
        return text, 0
    cleaned, more = _clean_text(rest, room=room)  # the rest may be an image or JSON now
    return cleaned, removed + more


def _is_image(text: str) -> bool:
    """Whether a text is exactly a data:image URI or the base64 of an image."""
    head = _URI_HEAD.match(text)
    if head is None:
        return len(text) >= _LEAST_BASE64 and _begins_image(text) and _is_base64(text, least=_LEAST_BASE64)
    body = text[head.end() :].strip()
    if _URI_BODY.fullmatch(body):
        return True
    if head[0].lower().endswith(";base64,"):
        return _is_base64(body, least=0)
    return _SVG_BODY.fullmatch(body) is not None


def _is_base64(text: str, *, least: int) -> bool:
    """Whether a text is base64, on one or several lines; words after it make it ordinary text."""
    lines = text.split()
    if any(len(line) < _LINE for line in lines[:-1]):
        return False
    if len(lines) > 1 and len(lines[-1]) < _LINE and (len(lines[0]) > _LONGEST_LINE or "\n" not in text):
        return False
    joined = "".join(lines)
    return len(joined) >= least and _BASE64.fullmatch(joined) is not None


def _begins_image(text: str) -> bool:
    """Whether base64 decodes to the magic number of a PNG, JPEG, GIF, WebP or AVIF file."""
    letters = "".join(text[:96].split())[:64].replace("-", "+").replace("_", "/")
    try:
        start = binascii.a2b_base64(letters[: len(letters) // 4 * 4])
    except ValueError:
        return False
    if start[:4] == b"RIFF":
        return start[8:12] == b"WEBP"
    if start[4:8] == b"ftyp":
        return b"avif" in start[8:] or b"avis" in start[8:]
    return start.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a"))


def _cut(text: str) -> tuple[str, int]:
    """Remove the data:image URIs of 64 characters or more from a text; return it and their number."""
    if "data:image" not in text.lower():
        return text, 0
    rest, removed = _URI.subn("", text)
    if removed and _URI.search(rest):
        # The two sides of a removed URI look like a URI together: keep a space between them.
        rest = _URI.sub(" ", text)
    return rest, removed
