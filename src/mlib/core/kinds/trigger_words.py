"""The words that call a trained subject or style forth, and the captions it was trained with."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from mlib.core.jsontext import Json, NotJson, Number, parse
from mlib.core.kinds.lines import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: The captions of 100,000 images come to a few megabytes.
_MAX_JSON = 8 * 2**20
_MAX_WORD = 200
#: What the author wrote to be typed as a whole may be a sentence or two.
_MAX_PHRASE = 1_000
_MAX_WORDS = 20
_MAX_TAGS = 10
_MAX_GUESSED = 3
_MAX_DIGITS = 12


def frequent_tags(metadata: Mapping[str, str]) -> tuple[tuple[str, int], ...]:
    """The commonest captions of all training folders with their counts, the commonest first.

    Source: `ss_tag_frequency`, a JSON text of the form {folder: {caption: count}}. What has another form is
    passed over.
    """
    counts: Counter[str] = Counter()
    for captions in _objects(_json(metadata, "ss_tag_frequency")):
        for caption, count in captions.items():
            tag = _word(caption)
            if tag:
                counts[tag] += _count(count)
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple((tag, count) for tag, count in ranked[:_MAX_TAGS] if count > 0)


def trigger_words(metadata: Mapping[str, str], tags: Sequence[tuple[str, int]]) -> tuple[str, ...]:
    """What to write in the prompt, each phrase once.

    What the author says goes first, then the words that the trainer put before every caption. Without
    either, the captions that nearly every training image had, out of `tags` (commonest first).
    """
    said = [
        _word(metadata.get("modelspec.trigger_phrase", ""), longest=_MAX_PHRASE),
        *(_word(word) for word in metadata.get("ssmd_keywords", "")[: _MAX_WORDS * _MAX_WORD].split(",")),
        *_class_tokens(metadata),
    ]
    words = [word for word in dict.fromkeys(said) if word and word != "None"]
    if not words and tags:
        commonest = tags[0][1]
        words = [tag for tag, count in tags[:_MAX_GUESSED] if count * 10 >= commonest * 9]
    return tuple(words[:_MAX_WORDS])


def _class_tokens(metadata: Mapping[str, str]) -> Iterator[str]:
    """`class_tokens` of the subsets in `ss_datasets`, a JSON list; they precede the captions."""
    datasets = _json(metadata, "ss_datasets")
    for dataset in datasets if isinstance(datasets, list) else ():
        subsets = dataset.get("subsets") if isinstance(dataset, dict) else None
        for subset in subsets if isinstance(subsets, list) else ():
            tokens = subset.get("class_tokens") if isinstance(subset, dict) else None
            if isinstance(tokens, str) and not isinstance(tokens, Number):
                yield _word(tokens)


def _json(metadata: Mapping[str, str], key: str) -> Json:
    text = metadata.get(key, "")
    if not text or len(text) > _MAX_JSON:
        return None
    try:
        return parse(text)
    except NotJson:
        return None


def _objects(value: Json) -> Iterator[dict[str, Json]]:
    for inner in value.values() if isinstance(value, dict) else ():
        if isinstance(inner, dict):
            yield inner


def _count(value: Json) -> int:
    if isinstance(value, Number) and value.isascii() and value.isdigit() and len(value) <= _MAX_DIGITS:
        return int(value)
    return 0


def _word(text: str, *, longest: int = _MAX_WORD) -> str:
    """One line of white space made plain; empty if it is too long to be typed."""
    if len(text) > 2 * longest:
        return ""
    word = one_line(text, longest=2 * longest)
    return word if len(word) <= longest else ""
