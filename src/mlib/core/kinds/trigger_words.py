"""The words that call a trained subject or style forth, and the captions it was trained with."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from mlib.core.jsontext import Json, NotJson, Number, parse
from mlib.core.kinds.lines import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

#: The captions of 100,000 images come to a few megabytes.
_MAX_JSON = 8 * 2**20
_MAX_WORD = 200
#: What the author wrote to be typed as a whole may be a sentence or two.
_MAX_PHRASE = 1_000
_MAX_WORDS = 20
_MAX_TAGS = 10
_MAX_DIGITS = 12
#: `10_abc`: how often a folder is repeated, and the words that its images are trained on
#: (sd-scripts, docs/train_README-ja.md: the DreamBooth way).
_FOLDER = re.compile(r"[0-9]{1,6}_(.+)", re.ASCII | re.DOTALL)
#: What people call a folder of training images when they mean no word by it.
_PLAIN_FOLDERS = frozenset(
    ("img", "imgs", "image", "images", "image_dir", "data", "dataset", "train", "train_data", "training")
)


def captions_by_folder(metadata: Mapping[str, str]) -> Mapping[str, Json]:
    """`ss_tag_frequency`, JSON of the form {folder: {caption: count}}; empty if it is not an object."""
    folders = _json(metadata, "ss_tag_frequency")
    return folders if isinstance(folders, dict) else {}


def frequent_tags(folders: Mapping[str, Json]) -> tuple[tuple[str, int], ...]:
    """The commonest captions of all training folders with their counts, the commonest first.

    What has another form than `captions_by_folder` says is passed over.
    """
    counts: Counter[str] = Counter()
    for captions in folders.values():
        if not isinstance(captions, dict):
            continue
        for caption, count in captions.items():
            tag = _word(caption)
            if tag:
                counts[tag] += _count(count)
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple((tag, count) for tag, count in ranked[:_MAX_TAGS] if count > 0)


def trigger_words(metadata: Mapping[str, str], folders: Iterable[str]) -> tuple[str, ...]:
    """What to write in the prompt, each phrase once; `folders` are those of the training images.

    What the author says goes first (ModelSpec, A1111's editor, SimpleTuner's `trained_words`), then the words
    that the trainer put before every caption. Without either, those that the folders of the training images
    are named after. A caption is none, however many images have it.
    """
    said = [
        _word(metadata.get("modelspec.trigger_phrase", ""), longest=_MAX_PHRASE),
        *_listed(metadata.get("ssmd_keywords", "")),
        *_trained_words(metadata),
        *_class_tokens(metadata),
    ]
    words = [word for word in said if word and word != "None"] or list(_folder_tokens(metadata, folders))
    return tuple(dict.fromkeys(words))[:_MAX_WORDS]


def _listed(text: str) -> Iterator[str]:
    """Words that stand between commas."""
    return map(_word, text[: _MAX_WORDS * _MAX_WORD].split(","))


def _trained_words(metadata: Mapping[str, str]) -> Iterator[str]:
    """`trained_words`: words between commas (SimpleTuner, helpers/training/save_hooks.py), or a JSON list."""
    words = _json(metadata, "trained_words")
    if not isinstance(words, list):
        yield from _listed(metadata.get("trained_words", ""))
        return
    texts = (word for word in words[:_MAX_WORDS] if isinstance(word, str) and not isinstance(word, Number))
    yield from map(_word, texts)


def _folder_tokens(metadata: Mapping[str, str], folders: Iterable[str]) -> Iterator[str]:
    """The words in the names of folders; those for regularisation (`ss_reg_dataset_dirs`) have none."""
    listed = _json(metadata, "ss_reg_dataset_dirs")
    regular = listed if isinstance(listed, dict) else {}
    for folder in folders:
        named = _FOLDER.fullmatch(folder) if len(folder) < _MAX_PHRASE and folder not in regular else None
        token = _word(named[1]) if named else ""
        if token and token.lower() not in _PLAIN_FOLDERS:
            yield token


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
