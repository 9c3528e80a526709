"""Read sidecars of every kind: within limits, with errors that say what is wrong.

`read_sidecar` opens a file and `parse_sidecar` picks its parser by kind. The parsers here are those of
Markdown files, of A1111's `.json` and what others write under that name, and of SwarmUI's files; Civitai's
and its relatives are in `civitai`.

Sources: AUTOMATIC1111's web UI, modules/ui_extra_networks_user_metadata.py; SD.Next,
modules/civitai/download_civitai.py; SwarmUI, src/Text2Image/T2IModel.cs (ToNetObject); Stability AI's
ModelSpec 1.0.1.
"""

from __future__ import annotations

import codecs
import os
import re
import stat
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from mlib.core.disk.system import READ
from mlib.core.disk.walk import reason
from mlib.core.jsontext import NotJson
from mlib.core.kinds.claims import read_claims
from mlib.core.sidecars import civitai, values
from mlib.core.sidecars.companions import KINDS, SIDECAR_KINDS
from mlib.core.sidecars.record import Sidecar, SidecarError
from mlib.core.sidecars.values import MAX_DESCRIPTION, Cuts, text_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from mlib.core.jsontext import Json


# --- Markdown files of ComfyUI-Model-Manager: YAML front matter, then fixed headings
#
# Source: its py/information.py, which writes `# Trigger Words`, `# About this version` and the model's name.

#: Longer front matter is refused: PyYAML reads 70 KB per second.
MAX_FRONT_MATTER = 32 * 1024  # characters

_FRONT = re.compile(r"---[ \t]*\n(?:(.*?)\n)??(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_MARK = re.compile(r"^(?: {0,3}(?P<fence>```|~~~)|#[ \t]+(?P<title>[^\n]*+))", re.MULTILINE)
_WORDS = "trigger words"
_VERSION = "about this version"
#: What it writes for unknown values.
_EMPTY_MATTER = frozenset({
    "no trigger words", "no description about this version", "no description about this model", "none",
    "null",
})  # fmt: skip

#: YAML with every scalar as text.
Yaml: TypeAlias = "dict[str, Yaml] | list[Yaml] | str"


def markdown(text: str) -> Sidecar:
    """Parse a Markdown file; without front matter all of it is the description.

    Raises SidecarError `not_yaml` for invalid front matter.
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
    description = "\n\n".join(part for part in parts if part and part.lower() not in _EMPTY_MATTER)
    listed = values.split_at_commas(words, "trigger_words", cuts)
    return Sidecar(
        kind="markdown",
        name="" if name.strip().lower() in _EMPTY_MATTER else values.line(name, "name", cuts),
        base_model=values.base_model(_scalar(said, "baseModel"), cuts=cuts),
        trigger_words=values.trigger_words(_said(listed), "trigger_words", cuts),
        description=values.within(description, "description", cuts, most=MAX_DESCRIPTION),
        author=values.line(_scalar(said, "author"), "author", cuts),
        source_url=values.first_address(_scalar(said, "modelPage")),
        hashes=civitai.claimed(said.get("hashes")),
        cut=tuple(cuts),
    )


def front_matter(text: str) -> dict[str, Yaml] | None:
    """Parse YAML with every scalar kept as text; None if it is not a mapping.

    So a hash such as 1E234567 does not become a number. An alias refers to the value it names, so the result
    never outgrows the text. Raises SidecarError `not_yaml` for text that is not YAML, nested too deeply or
    longer than MAX_FRONT_MATTER.
    """
    import yaml

    if len(text) > MAX_FRONT_MATTER:
        raise SidecarError("not_yaml", f"the front matter is longer than {MAX_FRONT_MATTER} characters")
    try:
        value = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - makes nothing but text, lists and dicts
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML"
        raise SidecarError("not_yaml", f"the front matter: {' '.join(str(problem).split())[:200]}") from error
    except RecursionError as error:
        raise SidecarError("not_yaml", "the front matter: nested too deeply") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # PyYAML passes on Python's errors for numbers and characters that are too large.
        raise SidecarError("not_yaml", "the front matter: invalid value") from error
    return value if isinstance(value, dict) else None if value else {}


def _said(parts: Iterable[str]) -> Iterator[str]:
    return (part for part in parts if part.strip().lower() not in _EMPTY_MATTER)


def _scalar(said: dict[str, Yaml], key: str) -> str:
    """A text value; "" for the placeholders that mean nothing."""
    text = said.get(key)
    return "" if not isinstance(text, str) or text.lower() in ("null", "~") else text


def _sections(body: str) -> tuple[str, str, str, str]:
    """Split into trigger words, text about the version, the model's name, and text about the model.

    The model's heading is the first one with another name; everything below it belongs to it, and so does
    text above the first heading.
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


# --- Reading any sidecar

#: Kinds that may describe all versions of a model: hashes tell which version the file is.
OF_MODELS = frozenset(("a1111_json", "civitai_model"))
#: Civitai's answers with the workflows of all images take 3 MB.
MAX_BYTES = 4 * 2**20

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_NOTHING: Mapping[str, Collection[str]] = MappingProxyType({})
_IN_WORDS = frozenset(("markdown", "text"))
#: Kinds whose files may be blank, which means the model was looked up and not found.
_MAY_BE_BLANK = frozenset(SIDECAR_KINDS) - {"a1111_json"}


def read_sidecar(path: str, *, kind: str, model_name: str = "", digests: Collection[str] = ()) -> Sidecar:
    """Read the sidecar of this kind at `path` for the model file called `model_name`.

    Without a name the model is assumed to have the sidecar's stem. `digests` are the file's known hashes as a
    sidecar would claim them (see `filling.digests`); only OF_MODELS need them. Raises FileNotFoundError, and
    SidecarError for anything else that prevents reading: it must be a regular file of at most MAX_BYTES.
    """
    content = _content(path)
    if not model_name:
        name = os.path.basename(path)
        ending = next((end for end in KINDS.get(kind, ()) if name.lower().endswith(end)), "")
        model_name = name[: len(name) - len(ending)]
    return parse_sidecar(content, kind=kind, model_name=model_name, digests=digests)


def read_shared_sidecar(
    path: str, *, kind: str, model_names: Sequence[str], digests: Mapping[str, Collection[str]] = _NOTHING
) -> Sidecar:
    """Read one sidecar for several model files of its stem, given their digests by name.

    If it describes several versions, each file gets its own. Raises as `read_sidecar` does.
    """
    content = _content(path)
    said = [
        parse_sidecar(content, kind=kind, model_name=name, digests=digests.get(name, ()))
        for name in model_names
    ]
    claims: list[Mapping[str, str]] = []
    for each in said:
        if each.hashes and each.hashes not in claims:
            claims.append(each.hashes)
    told = {each.get("sha256") for each in claims}
    others = (sha256 for each in said for sha256 in each.other_sha256 if sha256 not in told)
    first = said[0]
    if any(each.trigger_words != first.trigger_words for each in said):
        first = first._replace(trigger_words=())
    if any(each.name != first.name for each in said) and kind in OF_MODELS:
        first = first._replace(name="", version="", description="", base_model="", source_url="")
    return first._replace(
        hashes=claims[0] if claims else {},
        other_hashes=tuple(claims[1:]),
        other_sha256=tuple(dict.fromkeys(others)),
    )


def parse_sidecar(content: bytes, *, kind: str, model_name: str, digests: Collection[str] = ()) -> Sidecar:
    """Parse a sidecar's bytes for the model file called `model_name`, which may lack its extension.

    `kind` is one of SIDECAR_KINDS, by the sidecar's name; if several programs use that name, the result has
    the kind of the content. `digests` are as in `read_sidecar`. Raises SidecarError.
    """
    if kind not in SIDECAR_KINDS:
        raise SidecarError("wrong_kind", "files of this kind have no fields to read")
    if len(content) > MAX_BYTES:
        raise _too_large()
    text = _decoded(content)
    if kind in _MAY_BE_BLANK and not text.strip():
        return Sidecar(kind)
    if kind in _IN_WORDS:
        return _from_words(text, kind)
    return _from_json(_document(text), kind=kind, model_name=model_name, digests=digests)


def _from_words(text: str, kind: str) -> Sidecar:
    if kind == "markdown":
        return markdown(text)
    cuts = values.Cuts()
    description = values.paragraphs(text, "description", cuts, most=values.MAX_DESCRIPTION)
    return Sidecar(kind, description=description, cut=tuple(cuts))


def _from_json(
    document: Mapping[str, Json], *, kind: str, model_name: str, digests: Collection[str]
) -> Sidecar:
    if kind in ("a1111_json", "swarm_json"):
        if kind == "swarm_json":
            return swarm_json(document, model_name=model_name)
        return plain_json(document, model_name=model_name, digests=digests)
    from mlib.core.sidecars import civitai

    if kind == "civitai_model":
        return civitai.civitai_model(document, model_name=model_name, digests=digests)
    if kind == "cm_info":
        return civitai.cm_info(document)
    of_version = {
        "civitai_info": civitai.civitai_info,
        "metadata_json": civitai.metadata_json,
        "rgthree_info": civitai.rgthree_info,
    }
    return of_version[kind](document, model_name=model_name)


def _content(path: str) -> bytes:
    try:
        # Check before opening: opening a device can have effects.
        _check(os.stat(path))
        descriptor = os.open(path, READ)
        try:
            _check(os.fstat(descriptor))
            return _bytes(descriptor)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise SidecarError("unreadable", f"cannot read it: {reason(error)}") from error
    except ValueError as error:
        raise SidecarError("unreadable", "not a possible file name") from error


def _check(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SidecarError("not_a_file", "not a regular file")
    if status.st_size > MAX_BYTES:
        raise _too_large()


def _bytes(descriptor: int) -> bytes:
    """Read all of an open file, or one byte more than the limit if it grew."""
    parts, room = [], MAX_BYTES + 1
    while room > 0 and (part := os.read(descriptor, room)):
        parts.append(part)
        room -= len(part)
    return b"".join(parts)


def _too_large() -> SidecarError:
    return SidecarError("too_large", f"larger than {MAX_BYTES:,} bytes")


def _decoded(content: bytes) -> str:
    bom, encoding = next((mark for mark in _BOMS if content.startswith(mark[0])), (b"", "utf-8"))
    try:
        text = content[len(bom) :].decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start + len(bom)) + 1
        raise SidecarError("not_text", f"line {line}: not UTF-8 text") from error
    if "\0" in text:
        raise SidecarError("not_text", "contains null bytes")
    return text


def _document(text: str) -> Mapping[str, Json]:
    try:
        document = values.document(text)
    except NotJson as error:
        raise SidecarError("not_json", f"not JSON: {error}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise SidecarError("wrong_kind", "not a JSON object")
    return document


# --- JSON files of A1111, SwarmUI and others

_A1111_KEYS = frozenset(("sd version", "activation text", "preferred weight", "negative text"))
#: Keys that A1111 writes for checkpoints and embeddings; other programs seldom write both.
_COMMON_KEYS = ("description", "notes")
#: Keys of Civitai's answer for a version that no configuration has; it also names its model or its files.
_VERSION_KEYS = frozenset(("modelId", "baseModel", "trainedWords"))
_MODELSPEC = "modelspec."
#: Keys that SwarmUI wrote before it used the prefix `modelspec.`.
_SWARM_KEYS = frozenset(("trigger_phrase", "usage_hint", "standard_width", "is_negative_embedding"))
#: Formats for which SwarmUI's model hash is the hash of the tensors.
_WITH_HEADER = (".safetensors", ".sft")


def plain_json(document: Mapping[str, Json], *, model_name: str, digests: Collection[str]) -> Sidecar:
    """Parse a file named after the model with `.json`: its fields show which program wrote it.

    Raises SidecarError `wrong_kind` for other programs' files: any configuration may have such a name.
    """
    from mlib.core.sidecars import civitai

    if isinstance(document.get("modelVersions"), list):
        return civitai.civitai_model(document, model_name=model_name, digests=digests)
    common = all(isinstance(document.get(key), str) for key in _COMMON_KEYS)
    if common or not _A1111_KEYS.isdisjoint(document):
        return _a1111_json(document)
    if any(key.startswith(_MODELSPEC) for key in document) or document.keys() >= _SWARM_KEYS:
        return swarm_json(document, model_name=model_name)
    if not _VERSION_KEYS.isdisjoint(document) and (
        isinstance(document.get("model"), dict) or isinstance(document.get("files"), list)
    ):
        return civitai.civitai_info(document, model_name=model_name)
    raise SidecarError("wrong_kind", "no fields of any program known to write such files")


def _a1111_json(document: Mapping[str, Json]) -> Sidecar:
    """Parse what was typed about a model in A1111 or Forge."""
    cuts = Cuts()
    words = values.split_at_commas(document.get("activation text"), "trigger_words", cuts)
    return Sidecar(
        kind="a1111_json",
        base_model=values.base_model(document.get("sd version"), cuts=cuts),
        trigger_words=values.trigger_words(words, "trigger_words", cuts),
        description=values.paragraphs(
            document.get("description"), "description", cuts, most=values.MAX_DESCRIPTION
        ),
        notes=values.paragraphs(document.get("notes"), "notes", cuts, most=values.MAX_NOTE),
        negative_text=values.plain(
            document.get("negative text"), "negative_text", cuts, most=values.MAX_NOTE
        ),
        preferred_weight=values.weight(document.get("preferred weight")),
        cut=tuple(cuts),
    )


def swarm_json(document: Mapping[str, Json], *, model_name: str) -> Sidecar:
    """Parse SwarmUI's file: what was typed in its editor, in ModelSpec's terms.

    Its title may be the file's name. Its architecture counts as the base model if that is known; its hash is
    the hash of the tensors.
    """
    cuts = Cuts()

    def said(key: str) -> Json:
        return document.get(_MODELSPEC + key, document.get(key))

    words = values.split_at_commas(said("trigger_phrase"), "trigger_words", cuts)
    architecture = text_of(said("architecture"))
    bases = (each.base for each in read_claims({"modelspec.architecture": architecture}).statements)
    digest = text_of(said("hash_sha256")).removeprefix("0x")
    is_of_tensors = os.path.splitext(model_name.lower())[1] in _WITH_HEADER
    return Sidecar(
        kind="swarm_json",
        name=values.line(said("title"), "name", cuts),
        base_model=next((base for base in bases if base), ""),
        trigger_words=values.trigger_words(words, "trigger_words", cuts),
        description=values.paragraphs(said("description"), "description", cuts, most=values.MAX_DESCRIPTION),
        tags=values.tag_names(values.listed(said("tags")), "tags", cuts),
        notes=values.plain(said("usage_hint"), "notes", cuts, most=values.MAX_NOTE),
        author=values.line(said("author"), "author", cuts),
        hashes=civitai.claimed({"autov3": digest[:12]}) if is_of_tensors and len(digest) == 64 else {},
        cut=tuple(cuts),
    )
