"""How to use a model: what to type into ComfyUI and what to expect, from the file's own metadata and tensors.

Keys: ModelSpec (`modelspec.*`), kohya's sd-scripts (`ss_*`, every value a Python `str()`), the metadata
editor of A1111's web UI (`ssmd_*`), ggml's docs/gguf.md (`general.*`).
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.kinds.adapters import ranks
from mlib.core.kinds.lines import one_line
from mlib.core.kinds.precision import precision
from mlib.core.kinds.trigger_words import captions_by_folder, frequent_tags, trigger_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlib.core.kinds.outline import Outline

_MAX_TEXT = 500
#: What is counted past this is an untrue header; SQLite and JSON hold no more.
_MAX_COUNT = 2**63 - 1

_SIZES = re.compile(r"[0-9]{1,6}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?(?:[eE][+-]?[0-9]{1,2})?", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHORT_HASH = re.compile(r"[0-9a-f]{8,64}")


class Figures(NamedTuple):
    """The rank that most adapted layers have, and how many numbers there are of each dtype."""

    rank: int | None = None
    dtypes: Mapping[str, int] = {}


class Usage(NamedTuple):
    """What a person wants to know before the first image; empty or None where the file does not say.

    `frequent_tags` are the commonest captions of the training images with their counts. `rank` is the one
    most layers have. `trained_on_sha256` is the base checkpoint's SHA-256, `trained_on_hash` a shorter and
    older one, `trained_on` its file name. `parameters` counts numbers in all tensors, `dtypes` the same by
    type. `precision` is a word for the whole: fp16, fp8_e4m3fn, Q4_K_M, ...
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


def how_to_use(metadata: Mapping[str, str], known: Figures) -> Usage:
    """What the header of a file says of its use, in text of one line each. Never raises."""
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
    """The first of these that says anything; the trainer writes None for what it was not told."""
    for key in keys:
        text = one_line(metadata.get(key, ""), longest=_MAX_TEXT)
        if text and text != "None":
            return text
    return ""


def _resolution(metadata: Mapping[str, str]) -> str:
    """`512x768`: written so, as `512,768` or as a tuple, or one number for a square."""
    sizes = _SIZES.findall(_text(metadata, "modelspec.resolution", "ss_resolution"))
    if len(sizes) not in (1, 2):
        return ""
    return f"{int(sizes[0])}x{int(sizes[-1])}"


def figures(outlined: Outline) -> Figures:
    """The numbers that a file's tensors come to."""
    of_rank: Counter[int] = Counter()
    for rank, count in ranks(outlined.alike):
        if 0 < rank <= _MAX_COUNT:
            of_rank[rank] += count
    # Of two that are as common, the larger, in whatever order the tensors lie.
    common = max(of_rank, key=lambda rank: (of_rank[rank], rank), default=None)
    numbers: Counter[str] = Counter()
    for (_, dtype, shape), count in outlined.alike.items():
        numbers[dtype] += count * _numbers(shape)
    by_dtype = {dtype: min(count, _MAX_COUNT) for dtype, count in sorted(numbers.items())}
    return Figures(common, by_dtype)


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
