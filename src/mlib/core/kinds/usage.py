"""How to use a model, from its own metadata and tensors: trigger words, training captions, precision, author.

All values are cleaned to one printable line, since a file can hold anything.
Keys: ModelSpec (`modelspec.*`), kohya's sd-scripts (`ss_*`, every value a Python `str()`), the metadata
editor of A1111's web UI (`ssmd_*`), ggml's docs/gguf.md (`general.*`).
"""

from __future__ import annotations

import re
from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.jsontext import Json, NotJson, Number, parse
from mlib.core.kinds.adapters import ranks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mlib.core.kinds.rules import Outline


# --- One line of text

#: Control characters, and lone surrogates, which UTF-8 cannot encode.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")


def one_line(text: str, *, longest: int) -> str:
    """`text` with white space collapsed, cut to `longest` characters."""
    if len(text) <= longest and text.isprintable() and "  " not in text and text == text.strip(" "):
        return text  # most texts: the only printable white space is the space
    return " ".join(_UNFIT.sub(" ", text[: 4 * longest]).split())[:longest]


# --- Precision

#: GGUF's `general.file_type`, after llama.cpp's `llama_ftype`.
_FILE_TYPES = MappingProxyType(
    {
        0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1",
        10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M",
        16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S",
        22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M",
        28: "IQ2_S", 29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0",
        38: "MXFP4_MOE",
    }
)  # fmt: skip

#: Types that users know under another name.
_SAID = MappingProxyType({
    "BF16": "bf16", "F16": "fp16", "F32": "fp32", "F64": "fp64", "F8_E4M3": "fp8_e4m3fn",
    "F8_E5M2": "fp8_e5m2", "I8": "int8",
})  # fmt: skip


def file_type(number: str) -> str:
    """The name of a GGUF file type by its number, or ""."""
    return (
        _FILE_TYPES.get(int(number), "") if number.isascii() and number.isdigit() and len(number) < 6 else ""
    )


def precision(metadata: Mapping[str, str], dtypes: Mapping[str, int]) -> str:
    """The precision of a file as one word; `dtypes` counts the numbers of each type.

    GGUF's own file type wins, since its mixes have names. Otherwise the type that most numbers have: norms
    and biases often have more bits than the rest.
    """
    named = file_type(metadata.get("general.file_type", ""))
    most = max(dtypes, key=lambda dtype: (dtypes[dtype], dtype), default="")
    return _SAID.get(named or most, named or most)


# --- Trigger words and training captions

#: The captions of 100,000 images take a few megabytes.
_MAX_JSON = 8 * 2**20
_MAX_WORD = 200
#: A prompt that the author gives as a whole may be a sentence or two.
_MAX_PHRASE = 1_000
_MAX_WORDS = 20
_MAX_TAGS = 10
_MAX_DIGITS = 12
#: `10_abc`: the number of repeats of a folder, and the words its images are trained on
#: (sd-scripts, docs/train_README-ja.md: the DreamBooth way).
_FOLDER = re.compile(r"[0-9]{1,6}_(.+)", re.ASCII | re.DOTALL)
#: Names of training folders that are not trigger words.
_PLAIN_FOLDERS = frozenset(
    ("img", "imgs", "image", "images", "image_dir", "data", "dataset", "train", "train_data", "training")
)


def captions_by_folder(metadata: Mapping[str, str]) -> Mapping[str, Json]:
    """`ss_tag_frequency`, JSON of the form {folder: {caption: count}}; empty if it is not an object."""
    folders = _json(metadata, "ss_tag_frequency")
    return folders if isinstance(folders, dict) else {}


def frequent_tags(folders: Mapping[str, Json]) -> tuple[tuple[str, int], ...]:
    """The most frequent captions of all training folders with their counts, most frequent first.

    Entries of another form than `captions_by_folder` describes are skipped.
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
    """The trigger words, each phrase once; `folders` are those of the training images.

    The author's words come first (ModelSpec, A1111's editor, SimpleTuner's `trained_words`), then the words
    that the trainer put before every caption. Without either, the words in the training folders' names.
    Captions never count as trigger words, however many images have them.
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
    """The words between commas."""
    return map(_word, text[: _MAX_WORDS * _MAX_WORD].split(","))


def _trained_words(metadata: Mapping[str, str]) -> Iterator[str]:
    """`trained_words`: comma-separated (SimpleTuner, helpers/training/save_hooks.py) or a JSON list."""
    words = _json(metadata, "trained_words")
    if not isinstance(words, list):
        yield from _listed(metadata.get("trained_words", ""))
        return
    texts = (word for word in words[:_MAX_WORDS] if isinstance(word, str) and not isinstance(word, Number))
    yield from map(_word, texts)


def _folder_tokens(metadata: Mapping[str, str], folders: Iterable[str]) -> Iterator[str]:
    """The words in the folders' names, regularisation folders (`ss_reg_dataset_dirs`) excluded."""
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
    """`text` with white space collapsed; "" if it is too long to type."""
    if len(text) > 2 * longest:
        return ""
    word = one_line(text, longest=2 * longest)
    return word if len(word) <= longest else ""


# --- Usage

_MAX_TEXT = 500

#: Larger counts mean a false header; SQLite and JSON cannot hold them.
_MAX_COUNT = 2**63 - 1

_SIZES = re.compile(r"[0-9]{1,6}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?(?:[eE][+-]?[0-9]{1,2})?", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHORT_HASH = re.compile(r"[0-9a-f]{8,64}")


class WeightFigures(NamedTuple):
    """The most common rank of the adapted layers, and the count of numbers by dtype."""

    rank: int | None = None
    dtypes: Mapping[str, int] = {}


class Usage(NamedTuple):
    """How to use a model; fields are empty or None where the file does not say.

    `frequent_tags` are the most frequent training captions with their counts. `rank` is the most common one.
    `trained_on_sha256` is the base checkpoint's SHA-256, `trained_on_hash` a shorter, older hash of it,
    `trained_on` its file name. `parameters` counts the numbers in all tensors, `dtypes` the same by type.
    `precision` is one word for the whole file: fp16, fp8_e4m3fn, Q4_K_M, ...
    """

    trigger_words: tuple[str, ...] = ()
    frequent_tags: tuple[tuple[str, int], ...] = ()
    title: str = ""
    author: str = ""
    license: str = ""
    resolution: str = ""
    rank: int | None = None
    alpha: float | None = None
    trained_on: str = ""
    trained_on_sha256: str = ""
    trained_on_hash: str = ""
    parameters: int = 0
    dtypes: Mapping[str, int] = {}
    precision: str = ""


def how_to_use(metadata: Mapping[str, str], known: WeightFigures) -> Usage:
    """Read a header's usage information, each text one line. Never raises."""
    dtypes = known.dtypes
    folders = captions_by_folder(metadata)
    return Usage(
        trigger_words=trigger_words(metadata, folders),
        frequent_tags=frequent_tags(folders),
        title=_text(metadata, "modelspec.title", "ssmd_display_name", "general.name", "ss_output_name"),
        author=_text(metadata, "modelspec.author", "ssmd_author", "general.author", "general.organization"),
        license=_text(metadata, "modelspec.license", "general.license"),
        resolution=_resolution(metadata),
        rank=known.rank or _rank(metadata),
        alpha=_number(metadata, "ss_network_alpha"),
        trained_on=_text(metadata, "ss_sd_model_name"),
        trained_on_sha256=_hash(metadata, "ss_new_sd_model_hash", _SHA256),
        trained_on_hash=_hash(metadata, "ss_sd_model_hash", _SHORT_HASH),
        parameters=min(sum(dtypes.values()), _MAX_COUNT),
        dtypes=dtypes,
        precision=precision(metadata, dtypes),
    )


def _text(metadata: Mapping[str, str], *keys: str) -> str:
    """The first of these keys with a value; the trainer writes None for unset options."""
    for key in keys:
        text = one_line(metadata.get(key, ""), longest=_MAX_TEXT)
        if text and text != "None":
            return text
    return ""


def _resolution(metadata: Mapping[str, str]) -> str:
    """`512x768`, from `512x768`, `512,768`, a tuple, or one number for a square."""
    sizes = _SIZES.findall(_text(metadata, "modelspec.resolution", "ss_resolution"))
    if len(sizes) not in (1, 2):
        return ""
    return f"{int(sizes[0])}x{int(sizes[-1])}"


def figures(outlined: Outline) -> WeightFigures:
    """Count a file's numbers and ranks."""
    of_rank: Counter[int] = Counter()
    for rank, count in ranks(outlined.alike):
        if 0 < rank <= _MAX_COUNT:
            of_rank[rank] += count
    # On a tie the larger rank, so that the order of tensors does not matter.
    common = max(of_rank, key=lambda rank: (of_rank[rank], rank), default=None)
    numbers: Counter[str] = Counter()
    for (_, dtype, shape), count in outlined.alike.items():
        numbers[dtype] += count * _numbers(shape)
    by_dtype = {dtype: min(count, _MAX_COUNT) for dtype, count in sorted(numbers.items())}
    return WeightFigures(common, by_dtype)


def _rank(metadata: Mapping[str, str]) -> int | None:
    dim = _number(metadata, "ss_network_dim")
    return int(dim) if dim else None


def _number(metadata: Mapping[str, str], key: str) -> float | None:
    text = metadata.get(key, "")
    return float(text) if len(text) < 30 and _NUMBER.fullmatch(text) else None


def _hash(metadata: Mapping[str, str], key: str, form: re.Pattern[str]) -> str:
    text = _text(metadata, key).lower().removeprefix("0x")
    return text if form.fullmatch(text) else ""


def _numbers(shape: Sequence[int]) -> int:
    count = 1
    for length in shape:
        count *= max(length, 0)
        if count > _MAX_COUNT:
            return _MAX_COUNT if 0 not in shape else 0
    return count
