"""Parse sidecars that contain Civitai's data about a model or a version, verbatim or in another form.

Sources: Civitai's REST API (`/model-versions`, `/models`), Civitai Helper's `.civitai.info`, LoRA Manager's
schema of `.metadata.json`, Stability Matrix' ConnectedModelInfo, rgthree-comfy's RgthreeModelInfo
(src_web/typings/rgthree.d.ts) and py/server/utils_info.py.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from mlib.core.comfyui.folders import MODEL_EXTENSIONS
from mlib.core.jsontext import Json, NotJson
from mlib.core.kinds.claims import Air, parse_air
from mlib.core.sidecars import values
from mlib.core.sidecars.record import Sidecar
from mlib.core.sidecars.values import MAX_NAME, Cuts, items, member, text_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence


# --- Claimed hashes: only complete ones, and never those of another file
#
# Source of the names and lengths: Civitai's API; `sha256_12` is what Forge writes.

#: Our hash names with their lengths in hex digits. AutoV2 is left out: it is a prefix of the SHA-256.
LENGTHS = {"sha256": 64, "autov1": 8, "autov3": 12, "sha256_12": 12, "crc32": 8, "blake3": 64}
#: The first digits of the SHA-256 of no bytes, which some programs claim when there was nothing to hash.
_NOTHING = "e3b0c44298fc"
_OF_SHA256 = frozenset(("sha256", "autov1", "autov3", "sha256_12"))
_HEX = re.compile(r"[0-9a-f]+")
#: File types of a version that are not models.
_NO_MODELS = frozenset(("archive", "config", "training data", "workflow"))


def claimed(hashes: Json) -> dict[str, str]:
    """The hashes in an object, by case-insensitive key."""
    found: dict[str, str] = {}
    for key, value in hashes.items() if isinstance(hashes, dict) else ():
        name = key.lower() if len(key) <= len("sha256_12") else ""
        if name in LENGTHS and (digits := digest(value, name)):
            found[name] = digits
    return {name: found[name] for name in LENGTHS if name in found}


def digest(value: Json, name: str) -> str:
    """A hash in lower case; "" if it is not valid for that name or the hash of no bytes."""
    digits = text_of(value).strip().lower() if len(text_of(value)) <= 80 else ""
    if len(digits) != LENGTHS[name] or not _HEX.fullmatch(digits):
        return ""
    return "" if name in _OF_SHA256 and digits.startswith(_NOTHING[: len(digits)]) else digits


def of_files(files: Json, model_name: str) -> tuple[Mapping[str, Json] | None, tuple[str, ...]]:
    """The entry of Civitai's `files` for the model's file; or None and the SHA-256 of all candidates.

    It is the entry with the model's name, or else the primary one of those with its extension. `model_name`
    may lack its extension, or be "".
    """
    models: list[Mapping[str, Json]] = [
        entry for entry in items(files) if isinstance(entry, dict) and is_model_file(entry)
    ]
    extension = _extension(model_name)
    alike = [entry for entry in models if extension in ("", _extension(_name(entry)))]
    named = [entry for entry in alike if _is_called(_name(entry), model_name)]
    if len(named) == 1:
        return named[0], ()
    candidates = named or alike
    primary = [entry for entry in candidates if entry.get("primary") is True]
    if len(primary) == 1:
        return primary[0], ()
    digests = (claimed(entry.get("hashes")).get("sha256", "") for entry in candidates or models)
    return None, tuple(dict.fromkeys(filter(None, digests)))


def is_model_file(entry: Json) -> bool:
    """Whether an entry of Civitai's `files` is a model, not an archive or a workflow."""
    return isinstance(entry, dict) and text_of(entry.get("type"))[:MAX_NAME].lower() not in _NO_MODELS


def _name(entry: Mapping[str, Json]) -> str:
    return text_of(entry.get("name"))[:MAX_NAME]


def _extension(name: str) -> str:
    extension = os.path.splitext(name)[1].lower()
    return extension if extension in MODEL_EXTENSIONS else ""


def _is_called(name: str, model_name: str) -> bool:
    ours, theirs = model_name.lower(), name.lower()
    return ours != "" and (theirs == ours or (not _extension(ours) and os.path.splitext(theirs)[0] == ours))


# --- Parsers

_LONGEST_TIPS = 64 * 1024

#: Sources of Stability Matrix' models other than Civitai.
_OTHER_SITES = frozenset(("openmodeldb", "other"))


def civitai_info(document: Mapping[str, Json], *, model_name: str) -> Sidecar:
    """Parse Civitai Helper's file: the API's answer for a version, or a stub if Civitai does not know it.

    A stub has the name, type and hashes that Civitai Helper found itself; it counts only if a person has
    filled in more.
    """
    said = _version("civitai_info", document, model_name)
    is_stub = member(document, "extensions", "sd_civitai_helper", "skeleton_file") is True
    if not is_stub and ("id" not in document or values.identifier(document["id"])):
        return said
    names = {model_name.casefold(), os.path.splitext(model_name)[0].casefold()}
    names |= {text_of(member(each, "name")).casefold() for each in values.items(document.get("files"))}
    name = "" if said.name.casefold() in names else said.name
    filled = (name, said.base_model, said.trigger_words, said.description, said.tags)
    return said._replace(name=name) if any(filled) else Sidecar("civitai_info")


def civitai_model(document: Mapping[str, Json], *, model_name: str, digests: Collection[str]) -> Sidecar:
    """Parse the API's answer for a model with all its versions, one of which is the file's.

    That is the version with a file of one of these `digests`, else with a file of this name, else the only
    one. If it cannot be determined, the result has only what holds for all versions, and `other_sha256` has
    the SHA-256 of all files.
    """
    model = {key: document.get(key) for key in ("name", "type", "description", "tags")}
    rest = {"model": model, "modelId": document.get("id"), "creator": document.get("creator")}
    versions: list[Mapping[str, Json]] = [
        each for each in values.items(document.get("modelVersions")) if isinstance(each, dict)
    ]
    version = _version_of(versions, model_name, digests)
    if version is not None:
        return _version("civitai_model", {**version, **rest}, model_name)
    files = [
        each for version in versions for each in values.items(version.get("files")) if is_model_file(each)
    ]
    claims = (claimed(member(each, "hashes")).get("sha256", "") for each in files)
    said = _version("civitai_model", rest, model_name)
    return said._replace(other_sha256=tuple(dict.fromkeys(filter(None, claims))))


def _version_of(
    versions: Sequence[Mapping[str, Json]], model_name: str, digests: Collection[str]
) -> Mapping[str, Json] | None:
    """The file's version; if its hash decides, with only that file."""
    hashed = False
    for version in versions:
        for each in values.items(version.get("files")):
            claims = claimed(member(each, "hashes")).values()
            hashed = hashed or bool(claims)
            if not set(claims).isdisjoint(digests):
                entry = each if isinstance(each, dict) else {}
                # Its name on Civitai may differ, which must not override the hash.
                return {**version, "files": [{**entry, "name": model_name, "primary": True}]}
    if hashed and digests:
        return None
    named = [
        version
        for version in versions
        if model_name
        and any(
            text_of(member(each, "name")).lower() == model_name.lower()
            for each in values.items(version.get("files"))
        )
    ]
    found = named or versions
    return found[0] if len(found) == 1 else None


def _version(kind: str, document: Mapping[str, Json], model_name: str) -> Sidecar:
    """Parse the API's answer for a version."""
    cuts = Cuts()
    model = values.line(member(document, "model", "name"), "name", cuts)
    version = values.line(document.get("name"), "version", cuts)
    claims, others = _claims(document, model_name)
    return Sidecar(
        kind=kind,
        name=values.full_name(model, version),
        version=version,
        type=_type(document, model_name),
        base_model=values.base_model(document.get("baseModel"), _air(document).base_model, cuts=cuts),
        trigger_words=_words(document.get("trainedWords"), cuts=cuts),
        description=_description(
            member(document, "model", "description"), document.get("description"), cuts=cuts
        ),
        tags=values.tag_names(member(document, "model", "tags"), "tags", cuts),
        author=_author(document, cuts),
        source_url=_page(document),
        hashes=claims,
        other_sha256=others,
        cut=tuple(cuts),
    )


def metadata_json(document: Mapping[str, Json], *, model_name: str) -> Sidecar:
    """Parse LoRA Manager's file: its own fields, which its user may have edited, around the API's answer."""
    cuts = Cuts()
    version_json = document.get("civitai")
    version = values.line(member(version_json, "name"), "version", cuts)
    claims, others = _own_claims(document, model_name)
    listed = document.get("tags") or member(version_json, "model", "tags")
    return Sidecar(
        kind="metadata_json",
        name=_own_name(document, version, model_name, cuts),
        version=version,
        type=values.model_type(document.get("sub_type"), document.get("model_type"))
        or _type(version_json, model_name),
        base_model=values.base_model(
            document.get("base_model"),
            member(version_json, "baseModel"),
            _air(version_json).base_model,
            cuts=cuts,
        ),
        trigger_words=_words(member(version_json, "trainedWords"), document.get("trainedWords"), cuts=cuts),
        description=_description(
            document.get("modelDescription") or member(version_json, "model", "description"),
            member(version_json, "description"),
            cuts=cuts,
        ),
        tags=values.tag_names(listed, "tags", cuts),
        notes=values.plain(document.get("notes"), "notes", cuts, most=values.MAX_NOTE),
        preferred_weight=_tipped_strength(document.get("usage_tips")),
        author=_author(version_json, cuts),
        source_url=_page(version_json) or values.first_address(document.get("hf_url")),
        hashes=claims,
        other_sha256=others,
        cut=tuple(cuts),
    )


def cm_info(document: Mapping[str, Json]) -> Sidecar:
    """Parse Stability Matrix' file; a title set by the user replaces all other names."""
    cuts = Cuts()
    version = values.line(document.get("VersionName"), "version", cuts)
    name = values.line(document.get("UserTitle"), "name", cuts)
    if not name:
        name = values.full_name(values.line(document.get("ModelName"), "name", cuts), version)
    source_url = values.first_address(document.get("SourceUrl"))
    if not source_url and text_of(document.get("Source")).lower() not in _OTHER_SITES:
        source_url = values.civitai_page(document.get("ModelId"), document.get("VersionId"))
    return Sidecar(
        kind="cm_info",
        name=name,
        version=version,
        type=values.model_type(document.get("ModelType")),
        base_model=values.base_model(document.get("BaseModel"), cuts=cuts),
        trigger_words=_words(document.get("TrainedWords"), cuts=cuts),
        description=_description(
            document.get("ModelDescription"), document.get("VersionDescription"), cuts=cuts
        ),
        tags=values.tag_names(document.get("Tags"), "tags", cuts),
        author=values.line(document.get("AuthorUsername"), "author", cuts),
        source_url=source_url,
        hashes=claimed(document.get("Hashes")),
        cut=tuple(cuts),
    )


def rgthree_info(document: Mapping[str, Json], *, model_name: str) -> Sidecar:
    """Parse rgthree's file: what its user typed, the API's answer and the training captions.

    Its words are marked with their source. Those that come only from the file's header are captions.
    """
    cuts = Cuts()
    version_json = member(document, "raw", "civitai")
    listed = [
        each if isinstance(each, str) else member(each, "word")
        for each in values.items(document.get("trainedWords"))
        if isinstance(each, str) or _is_said(each)
    ]
    least, most = (values.weight(document.get(f"strength{end}")) for end in ("Min", "Max"))
    links = values.items(document.get("links"))
    pages = [link for link in links if "civitai.com/models/" in text_of(link)]
    return Sidecar(
        kind="rgthree_info",
        name=values.line(document.get("name"), "name", cuts),
        version=values.line(member(version_json, "name"), "version", cuts),
        type=values.model_type(document.get("type")) or _type(version_json, model_name),
        base_model=values.base_model(document.get("baseModel"), member(version_json, "baseModel"), cuts=cuts),
        trigger_words=_words(listed, document.get("triggerWords"), cuts=cuts),
        description=_description(
            document.get("description") or member(version_json, "model", "description"),
            member(version_json, "description"),
            cuts=cuts,
        ),
        tags=values.tag_names(values.listed(document.get("userTags")), "tags", cuts),
        notes=values.plain(document.get("userNote"), "notes", cuts, most=values.MAX_NOTE),
        preferred_weight=least if least == most else None,
        author=_author(version_json, cuts),
        source_url=values.first_address(*pages) or _page(version_json),
        hashes=_own_claims({**document, "civitai": version_json}, model_name)[0],
        cut=tuple(cuts),
    )


def _is_said(word: Json) -> bool:
    """Whether one of rgthree's words comes from a person or Civitai, and is not a caption."""
    given = member(word, "user") is True or member(word, "civitai") is True
    return given or (member(word, "metadata") is None and member(word, "count") is None)


def _own_name(document: Mapping[str, Json], version: str, model_name: str, cuts: Cuts) -> str:
    """LoRA Manager's name for a model, from Civitai or edited; "" if it is just the file's name."""
    public = values.line(member(document, "civitai", "model", "name"), "name", cuts)
    own = values.line(document.get("model_name"), "name", cuts)
    if own in (text_of(document.get("file_name")), model_name, os.path.splitext(model_name)[0]):
        own = ""
    if own and public and own != public:
        return own
    return values.full_name(own or public, version)


def _own_claims(document: Mapping[str, Json], model_name: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """The hashes that LoRA Manager computed first, then Civitai's if they are of the same file."""
    own = claimed({name: document.get(name) for name in ("sha256", "autov3")})
    claims, others = _claims(document.get("civitai"), model_name or text_of(document.get("file_name")))
    if "sha256" not in own:
        return {**claims, **own}, others
    if claims.get("sha256", own["sha256"]) != own["sha256"]:
        return own, ()
    return {**claims, **own}, ()


def _claims(version_json: Json, model_name: str) -> tuple[dict[str, str], tuple[str, ...]]:
    entry, others = of_files(member(version_json, "files"), model_name)
    return (claimed(entry.get("hashes")) if entry else {}), others


def _type(version_json: Json, model_name: str) -> str:
    """The type by the file's own entry first, since a checkpoint's version may include its VAE."""
    entry, _ = of_files(member(version_json, "files"), model_name)
    return values.model_type(
        entry.get("type") if entry else None,
        member(version_json, "model", "type"),
        _air(version_json).type,
    )


def _page(version_json: Json) -> str:
    page = values.civitai_page(member(version_json, "modelId"), member(version_json, "id"))
    air = _air(version_json)
    return page or values.civitai_page(air.model_id, air.version_id)


def _air(version_json: Json) -> Air:
    return parse_air(text_of(member(version_json, "air")))


def _author(version_json: Json, cuts: Cuts) -> str:
    return values.line(member(version_json, "creator", "username"), "author", cuts)


def _words(*lists: Json, cuts: Cuts) -> tuple[str, ...]:
    return values.trigger_words(_each(lists, cuts), "trigger_words", cuts)


def _each(lists: tuple[Json, ...], cuts: Cuts) -> Iterator[Json]:
    """The members of lists; a text in place of a list is split at commas."""
    for listed in lists:
        yield from values.items(listed)
        if isinstance(listed, list) and len(listed) > values.MAX_ITEMS:
            cuts.add("trigger_words")
        yield from values.split_at_commas(listed, "trigger_words", cuts)


def _description(*texts: Json, cuts: Cuts) -> str:
    """The descriptions of model and version, without one that is contained in the other."""
    kept: list[str] = []
    for text in texts:
        part = values.paragraphs(text, "description", cuts, most=values.MAX_DESCRIPTION)
        if part and not any(part in other for other in kept):
            kept = [*(other for other in kept if other not in part), part]
    return values.within("\n\n".join(kept), "description", cuts, most=values.MAX_DESCRIPTION)


def _tipped_strength(tips: Json) -> float | None:
    """The `strength` in LoRA Manager's usage tips, which are JSON in a string."""
    if text_of(tips) and len(text_of(tips)) <= _LONGEST_TIPS:
        try:
            tips = values.document(text_of(tips))
        except NotJson:
            return None
    return values.weight(member(tips, "strength"))
