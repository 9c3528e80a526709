"""Clean single values of a sidecar for storage.

Every function accepts any JSON value; a value of the wrong type for its field counts as absent.
"""

from __future__ import annotations

import json
import math
import re
from itertools import islice
from typing import TYPE_CHECKING

from mlib.core import tag_spelling
from mlib.core.comfyui.folders import TYPE_FOLDERS, canonical_type
from mlib.core.errors import WrongUsage
from mlib.core.jsontext import Json, NotJson, dump
from mlib.core.payloads import strip_images
from mlib.core.sidecars import html_text
from mlib.core.text import displayable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_NAME = 500  # characters
MAX_DESCRIPTION = 64 * 1024  # bytes of UTF-8
MAX_NOTE = 8 * 1024  # bytes of UTF-8
MAX_TRIGGER_WORDS = 100
MAX_TRIGGER_WORD = 2000  # characters: some are whole prompts
MAX_TAGS = 200
MAX_ITEMS = 2000  # items of a list that are read

_LONGEST_NUMBER = 40
_HEAVIEST = 1000.0
_INEXACT = 2.0**53  # from here on a float no longer identifies a whole number
_LONGEST_TEXT = 1024 * 1024  # characters that are read; most may be images
_LONGEST_PROMPT = 64 * 1024  # characters
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_ID = re.compile(r"[1-9][0-9]{0,17}")
_SEPARATORS = re.compile(r"[\s_-]+")
_IMAGE_TAG = re.compile(r"<img(?=[\s/>])[^<>]*+>", re.IGNORECASE)
_IMAGE_LINK = re.compile(r"!\[[^\[\]\n]*+\]\([^()\n]*+\)")

#: Civitai's type names that do not spell a folder name; MotionModule belongs to AnimateDiff's nodes.
_TYPES = {
    "dora": "loras", "locon": "loras", "loha": "loras", "lokr": "loras", "lycoris": "loras",
    "motionmodule": "animatediff_models",
}  # fmt: skip
_KNOWN_TYPES = {_SEPARATORS.sub("", key): key for key in TYPE_FOLDERS} | _TYPES
_NO_BASE_MODEL = frozenset(("other", "unknown"))


class Cuts(dict[str, None]):
    """The truncated fields of one sidecar, each once, in order."""

    __slots__ = ()

    def add(self, field: str) -> None:
        self[field] = None


def document(text: str) -> Json:
    """Parse JSON with every number as a float. Raises NotJson.

    Not with `jsontext.parse`, which keeps every literal and takes 1.5 s and twice the memory for 4 MiB of
    numbers: no number of a sidecar is kept as written, and nothing here recurses into a value.
    """
    try:
        value: Json = json.loads(text, parse_int=float)
    except RecursionError:
        raise NotJson("nested too deeply") from None
    except ValueError as error:
        raise NotJson(str(error)) from None
    return value


def text_of(value: Json) -> str:
    """The value if it is text, else ""."""
    return value if isinstance(value, str) else ""


def member(value: Json, *path: str) -> Json:
    """The value at `path` in nested objects; None if there is none."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def items(value: Json) -> list[Json]:
    """The first items of a list; [] for anything else."""
    return list(islice(value, MAX_ITEMS)) if isinstance(value, list) else []


def listed(value: Json) -> Json:
    """A list unchanged; a text in place of a list is split at commas."""
    text = text_of(value)
    return list(map(str.strip, text[:_LONGEST_PROMPT].split(","))) if text.strip() else value


def line(value: Json, field: str, cuts: Cuts, *, longest: int = MAX_NAME) -> str:
    """One line of text."""
    text = text_of(value)
    kept = text[: 8 * longest]
    one = " ".join(html_text.tidied(displayable(kept)).split())
    if len(text) > len(kept) or len(one) > longest:
        cuts.add(field)
    return one[:longest].rstrip()


def paragraphs(value: Json, field: str, cuts: Cuts, *, most: int) -> str:
    """Text of several lines, converted from HTML if necessary."""
    text = _without_images(value, field, cuts)
    if len(text) > html_text.MAX_INPUT:
        cuts.add(field)
    return within(displayable(html_text.html_to_text(text)), field, cuts, most=most)


def plain(value: Json, field: str, cuts: Cuts, *, most: int) -> str:
    """Text of several lines as a person typed it, in which `<` is just a character."""
    text = _without_images(value, field, cuts)
    return within(html_text.tidied(displayable(text)), field, cuts, most=most)


def markdown(value: Json, field: str, cuts: Cuts, *, most: int) -> str:
    """Markdown unchanged except that embedded images are removed."""
    text = _IMAGE_LINK.sub("", _IMAGE_TAG.sub("", _without_images(value, field, cuts)))
    return within(html_text.tidied(displayable(text)), field, cuts, most=most)


def within(text: str, field: str, cuts: Cuts, *, most: int) -> str:
    """Text truncated to `most` bytes at a character boundary."""
    if len(text) * 4 <= most:
        return text
    raw = text.encode()
    if len(raw) <= most:
        return text
    cuts.add(field)
    return raw[:most].decode("utf-8", "ignore").rstrip()


def _without_images(value: Json, field: str, cuts: Cuts) -> str:
    """A text without data URIs and base64 of images."""
    text = text_of(value)
    if len(text) > _LONGEST_TEXT:
        cuts.add(field)
    # Wrap it as a JSON string, so that text that looks like a JSON document keeps its form.
    return text_of(json.loads(strip_images(dump(text[:_LONGEST_TEXT])).text))


def trigger_words(values: Iterable[Json], field: str, cuts: Cuts) -> tuple[str, ...]:
    """Phrases, each once; commas within a phrase are kept."""
    words: dict[str, None] = {}
    for value in values:
        before = len(cuts)
        word = line(value, field, cuts, longest=MAX_TRIGGER_WORD).strip(" ,")
        if word and word.casefold() not in ("none", "null"):
            words[word] = None
        if len(cuts) > before or len(words) > MAX_TRIGGER_WORDS:
            cuts.add(field)
        if len(words) > MAX_TRIGGER_WORDS:
            break
    return tuple(islice(words, MAX_TRIGGER_WORDS))


def split_at_commas(value: Json, field: str, cuts: Cuts) -> Iterator[str]:
    """Split a prompt at commas, except within brackets, as in `(a, b:1.2)`."""
    text = text_of(value)
    if len(text) > _LONGEST_PROMPT:
        cuts.add(field)
        text = text[:_LONGEST_PROMPT]
    start = depth = 0
    for match in re.finditer(r"[,()\[\]<>\n]", text):
        mark = match[0]
        if mark in "([<":
            depth += 1
        elif mark in ")]>":
            depth = max(depth - 1, 0)
        elif depth == 0:
            yield text[start : match.start()]
            start = match.end()
    yield text[start:]


def tag_names(value: Json, field: str, cuts: Cuts) -> tuple[str, ...]:
    """Tags in normal form, each once; those that are too long are dropped."""
    listed = items(value)
    if isinstance(value, list) and len(value) > len(listed):
        cuts.add(field)
    found: dict[str, str] = {}
    for item in listed:
        own = text_of(item) or text_of(member(item, "name"))
        if len(own) > tag_spelling.MAX_LENGTH:
            cuts.add(field)
            continue
        try:
            found |= {
                key: tag
                for key, tag in tag_spelling.distinct([html_text.tidied(displayable(own))]).items()
                if key not in found
            }
        except WrongUsage:
            continue  # empty
        if len(found) > MAX_TAGS:
            cuts.add(field)
            break
    return tuple(islice(found.values(), MAX_TAGS))


def model_type(*values: Json) -> str:
    """The folder key of the first of `values` that names a type ComfyUI has, or ""."""
    for value in values:
        name = text_of(value)[:MAX_NAME]
        key = _SEPARATORS.sub("", name).lower()
        for known in (canonical_type(_SEPARATORS.sub("_", name.strip())), _KNOWN_TYPES.get(key, "")):
            if known in TYPE_FOLDERS or known in _TYPES.values():
                return known
    return ""


def base_model(*values: Json, cuts: Cuts) -> str:
    """The first of `values` that names a base model, as written."""
    names = (line(value, "base_model", cuts) for value in values)
    return next((name for name in names if name and name.casefold() not in _NO_BASE_MODEL), "")


def weight(value: Json) -> float | None:
    """A strength; None for 0, which means "not set", and for values that no loader accepts."""
    if isinstance(value, str) and len(value) <= _LONGEST_NUMBER and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    number = value if isinstance(value, float) else 0.0
    return number if number and math.isfinite(number) and abs(number) <= _HEAVIEST else None


def identifier(value: Json) -> str:
    """The digits of a positive whole number, given as number or text; else ""."""
    if isinstance(value, float) and value.is_integer() and 0 < value < _INEXACT:
        return str(int(value))
    return value if isinstance(value, str) and _ID.fullmatch(value) else ""


def civitai_page(model_id: Json, version_id: Json) -> str:
    """The URL of a model version on Civitai, in the form of its own links."""
    model, version = identifier(model_id), identifier(version_id)
    if not model:
        return ""
    return f"https://civitai.com/models/{model}" + (f"?modelVersionId={version}" if version else "")


def first_address(*values: Json) -> str:
    """The first of `values` that is an http or https address."""
    return next((url for value in values if (url := html_text.web_address(displayable(text_of(value))))), "")


def full_name(model: str, version: str) -> str:
    """The name of a model version: both names, or only one if it contains the other."""
    ours, theirs = model.casefold(), version.casefold()
    if not version or _says(ours, theirs):
        return model
    if not model or _says(theirs, ours):
        return version
    return f"{model} {version}"


def _says(long: str, short: str) -> bool:
    return f" {short} " in f" {long} "
