"""Read a sidecar: within bounds, and with errors that say what is wrong with it."""

from __future__ import annotations

import codecs
import os
import stat
from types import MappingProxyType
from typing import TYPE_CHECKING

from mlib.core.jsontext import NotJson
from mlib.core.sidecars import values
from mlib.core.sidecars.companions import KINDS, SIDECAR_KINDS
from mlib.core.sidecars.record import Sidecar, SidecarError
from mlib.core.walk import reason

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from mlib.core.jsontext import Json

#: Kinds that may tell of all versions of a model: its hashes say which of them the file is.
OF_MODELS = frozenset(("a1111_json", "civitai_model"))
#: Civitai's answers with the workflows of all their images come to 3 MB.
MAX_BYTES = 4 * 2**20

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_NOTHING: Mapping[str, Collection[str]] = MappingProxyType({})
_IN_WORDS = frozenset(("markdown", "text"))
#: Kinds whose files may be blank: the model was looked for and not found.
_MAY_BE_BLANK = frozenset(SIDECAR_KINDS) - {"a1111_json"}


def read_sidecar(path: str, *, kind: str, model_name: str = "", digests: Collection[str] = ()) -> Sidecar:
    """What the sidecar of that kind at `path` says of the model file called `model_name`.

    Without a name the model is taken to have the sidecar's stem. `digests` are what is known of the file's
    hashes, as a sidecar would claim them (see `filling.digests`); only OF_MODELS need them. Raises
    FileNotFoundError, and SidecarError for everything else that keeps the file from being read: it must be
    regular and of at most MAX_BYTES.
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
    """What one sidecar says of several model files, all of its stem, with their digests by name.

    Of versions that differ it says what holds for each. Raises as `read_sidecar` does.
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
    """What the bytes of a sidecar say of the model file called `model_name`, which may lack its extension.

    `kind` is one of SIDECAR_KINDS, told from the name; the kind of the Sidecar is that of the content where
    several programs write under one name. `digests` are as in `read_sidecar`. Raises SidecarError.
    """
    if kind not in SIDECAR_KINDS:
        raise SidecarError("wrong_kind", "a file of this kind says nothing in words")
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
        from mlib.core.sidecars.markdown import markdown

        return markdown(text)
    cuts = values.Cuts()
    description = values.paragraphs(text, "description", cuts, most=values.MAX_DESCRIPTION)
    return Sidecar(kind, description=description, cut=tuple(cuts))


def _from_json(
    document: Mapping[str, Json], *, kind: str, model_name: str, digests: Collection[str]
) -> Sidecar:
    if kind in ("a1111_json", "swarm_json"):
        from mlib.core.sidecars import webuis

        if kind == "swarm_json":
            return webuis.swarm_json(document, model_name=model_name)
        return webuis.plain_json(document, model_name=model_name, digests=digests)
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
        # Before it is opened: to open a device can do something.
        _check(os.stat(path))
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
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
        raise SidecarError("unreadable", "no file can have this name") from error


def _check(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SidecarError("not_a_file", "not a regular file")
    if status.st_size > MAX_BYTES:
        raise _too_large()


def _bytes(descriptor: int) -> bytes:
    """All of an open file, or one byte more than is allowed if it grew."""
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
        raise SidecarError("not_text", f"line {line}: this is not UTF-8 text") from error
    if "\0" in text:
        raise SidecarError("not_text", "it holds null bytes")
    return text


def _document(text: str) -> Mapping[str, Json]:
    try:
        document = values.document(text)
    except NotJson as error:
        raise SidecarError("not_json", f"this is not JSON: {error}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise SidecarError("wrong_kind", "this is not a JSON object")
    return document
