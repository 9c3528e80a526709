"""The Markdown files of ComfyUI-Model-Manager: YAML front matter, then headings of a fixed form.

Source: its py/information.py, which writes `# Trigger Words`, `# About this version` and the model's name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

from mlib.core.sidecars import hashes, values
from mlib.core.sidecars.record import Sidecar, SidecarError
from mlib.core.sidecars.values import MAX_DESCRIPTION, Cuts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import yaml

#: Longer front matter is refused: PyYAML reads 70 KB a second.
MAX_FRONT_MATTER = 32 * 1024  # characters
_MAX_LEVELS = 20

_FRONT = re.compile(r"---[ \t]*\n(?:(.*?)\n)??(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_MARK = re.compile(r"^(?: {0,3}(?P<fence>```|~~~)|#[ \t]+(?P<title>[^\n]*+))", re.MULTILINE)
_WORDS = "trigger words"
_VERSION = "about this version"
#: What its writer puts where it knows nothing.
_NOTHING = frozenset(
    (
        "no trigger words",
        "no description about this version",
        "no description about this model",
        "none",
        "null",
    )
)

#: Values of which every scalar is text.
Yaml: TypeAlias = "dict[str, Yaml] | list[Yaml] | str"


def markdown(text: str) -> Sidecar:
    """What a Markdown file says; without front matter it is a description and nothing else.

    Raises SidecarError `not_yaml` for front matter that cannot be read.
    """
    cuts = Cuts()
    text = text.replace("\r\n", "\n")
    front = _FRONT.match(text)
    said = front_matter(front[1] or "") if front else None
    if front is None or said is None:
        description = values.markdown(text, "description", cuts, most=MAX_DESCRIPTION)
        return Sidecar("markdown", description=description, cut=tuple(cuts))
    words, version, name, model = _sections(text[front.end() :])
    parts = [values.markdown(part, "description", cuts, most=MAX_DESCRIPTION) for part in (model, version)]
    description = "\n\n".join(part for part in parts if part and part.lower() not in _NOTHING)
    listed = values.split_at_commas(words, "trigger_words", cuts)
    return Sidecar(
        kind="markdown",
        name="" if name.strip().lower() in _NOTHING else values.line(name, "name", cuts),
        base_model=values.base_model(_scalar(said, "baseModel"), cuts=cuts),
        trigger_words=values.trigger_words(_said(listed), "trigger_words", cuts),
        description=values.within(description, "description", cuts, most=MAX_DESCRIPTION),
        author=values.line(_scalar(said, "author"), "author", cuts),
        source_url=values.first_address(_scalar(said, "modelPage")),
        hashes=hashes.claimed(said.get("hashes")),
        cut=tuple(cuts),
    )


def front_matter(text: str) -> dict[str, Yaml] | None:
    """The mapping in a text of YAML with every scalar as it is written; None if it is no mapping.

    A hash such as 1E234567 is no number here. Aliases say nothing, and of equal keys the last wins. Raises
    SidecarError `not_yaml` for what is no YAML, nested too deeply or longer than MAX_FRONT_MATTER.
    """
    import yaml

    if len(text) > MAX_FRONT_MATTER:
        raise SidecarError("not_yaml", f"the front matter is longer than {MAX_FRONT_MATTER} characters")
    try:
        value = _built(yaml.parse(text, Loader=yaml.BaseLoader))
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it is no YAML"
        raise SidecarError("not_yaml", f"the front matter: {' '.join(str(problem).split())[:200]}") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # PyYAML lets out what Python says of numbers and characters that are too large.
        raise SidecarError("not_yaml", "the front matter: a value cannot be understood") from error
    return value if isinstance(value, dict) else {} if value == "" else None


def _built(events: Iterator[yaml.Event]) -> Yaml:
    """The first document of a stream of YAML events, without a call for each level."""
    import yaml

    root: list[Yaml] = []
    open_: list[tuple[list[Yaml], bool]] = [(root, False)]
    for event in events:
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            if len(open_) > _MAX_LEVELS:
                raise SidecarError("not_yaml", "the front matter: it is nested too deeply")
            open_.append(([], isinstance(event, yaml.MappingStartEvent)))
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            parts, is_mapping = open_.pop()
            open_[-1][0].append(_mapping(parts) if is_mapping else parts)
        elif isinstance(event, yaml.ScalarEvent):
            open_[-1][0].append(event.value)
        elif isinstance(event, yaml.AliasEvent):
            open_[-1][0].append("")
        elif isinstance(event, yaml.DocumentEndEvent):
            break
    return root[0] if root else ""


def _mapping(parts: list[Yaml]) -> dict[str, Yaml]:
    """Keys and values in turn; a key that is no text is left out."""
    return {key: value for key, value in zip(parts[::2], parts[1::2], strict=True) if isinstance(key, str)}


def _said(parts: Iterable[str]) -> Iterator[str]:
    return (part for part in parts if part.strip().lower() not in _NOTHING)


def _scalar(said: dict[str, Yaml], key: str) -> str:
    """A text, unless it is one of the ways to write nothing."""
    text = said.get(key)
    return "" if not isinstance(text, str) or text.lower() in ("null", "~") else text


def _sections(body: str) -> tuple[str, str, str, str]:
    """Trigger words, text about the version, name of the model, and text about it.

    The model's heading is the first of another name; all below belongs to it, as does text above any.
    """
    texts: dict[str, list[str]] = {_WORDS: [], _VERSION: [], "": []}
    name, current, start, fenced = "", "", 0, False
    for mark in _MARK.finditer(body):
        if mark["fence"]:
            fenced = not fenced
        elif not fenced:
            texts[current].append(body[start : mark.start()])
            title, start = mark["title"].strip(), mark.end()
            current = title.lower() if title.lower() in (_WORDS, _VERSION) else ""
            if not current:
                name = title
                break
    texts[current].append(body[start:])
    return "".join(texts[_WORDS]), "".join(texts[_VERSION]), name, "".join(texts[""])
