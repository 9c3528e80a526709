"""Which nodes load models, the record of a needed model, and the models that a prompt names in its text."""

from __future__ import annotations

import os
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

from mlib.core.comfyui.folders import LISTED_EXTENSIONS, MODEL_EXTENSIONS, TYPE_FOLDERS, canonical_type
from mlib.core.text import displayable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


# --- Nodes that load models, and their folder types: ComfyUI's own nodes and those of common packs
#
# From the nodes' `INPUT_TYPES` (`folder_paths.get_filename_list(TYPE)`) and, for nodes with their own lookup,
# from their code: the pack is named beside the table. Models named by nodes that are not listed here are
# looked for in every folder.

#: Node classes that load from one folder type, by that type.
_BY_TYPE: Mapping[str, tuple[str, ...]] = {
    "checkpoints": (
        "CheckpointLoader", "CheckpointLoaderSimple", "ImageOnlyCheckpointLoader", "unCLIPCheckpointLoader",
        "CreateHookModelAsLora", "CreateHookModelAsLoraModelOnly", "LTXVAudioVAELoader",
        "CheckpointLoader|pysssss", "Checkpoint Loader", "CheckpointLoaderNF4", "CR Load Checkpoint",
        "Checkpoint Selector", "CheckpointLoaderSimpleWithNoiseSelect",
        "CheckpointLoaderKJ", "CheckpointLoaderSimpleShared //Inspire", "Checkpoint Loader (LoraManager)",
        "LowVRAMCheckpointLoader", "LowVRAMAudioVAELoader", "GemmaAPITextEncode",
        "CheckpointLoaderAdvanced", "easy ckptNames",
        "StableCascade_CheckpointLoader //Inspire",
    ),
    "loras": (
        "LoraLoader", "LoraLoaderModelOnly", "LoraLoaderBypass", "LoraLoaderBypassModelOnly",
        "CreateHookLora", "CreateHookLoraModelOnly", "LoraModelLoader", "LoraLoader|pysssss",
        "LoRA Stacker", "CR LoRA Stack", "CR Load LoRA", "Lora Loader Stack (rgthree)",
        "Power Lora Loader (rgthree)", "Lora Loader", "easy loraStack", "LoraLoaderBlockWeight //Inspire",
        "LoraLoaderStackedAdvanced", "WanVideoLoraSelect", "WanVideoLoraSelectMulti",
        "WanVideoLoraSelectByName", "HyVideoLoraSelect", "NunchakuFluxLoraLoader",
        "Lora Loader (LoraManager)", "Lora Stacker (LoraManager)", "LoRA Text Loader (LoraManager)",
        "WanVideo Lora Select (LoraManager)", "Create Hook LoRA (LoraManager)", "LoraBlockInfo //Inspire",
        "XY Input: Lora Block Weight //Inspire",
        "LoraLoaderVanilla", "LTXICLoRALoaderModelOnly", "LTXVQ8LoraModelLoader", "LTX2LoraLoaderAdvanced",
        "NunchakuFluxLoraStack", "NunchakuFluxLoraStackV2", "DiTBlockLoraLoader", "LoraReduceRankKJ",
        "XY Input: LoRA", "XY Input: LoRA Plot", "MakeLBW //Inspire", "easy loraNames", "easy loraSwitcher",
        "easy XYInputs: Lora", "TrainLoraNode",
    ),
    "vae": (
        "VAELoader", "VAELoaderKJ", "WanVideoVAELoader", "HyVideoVAELoader", "CR Load VAE",
        "CogVideoXVAELoader", "MochiVAELoader", "easy vaeLoader",
    ),
    "text_encoders": (
        "CLIPLoader", "DualCLIPLoader", "TripleCLIPLoader", "QuadrupleCLIPLoader",
        "CLIPLoaderGGUF", "DualCLIPLoaderGGUF", "TripleCLIPLoaderGGUF", "QuadrupleCLIPLoaderGGUF",
        "LoadWanVideoT5TextEncoder", "NunchakuTextEncoderLoader", "NunchakuTextEncoderLoaderV2",
        "LoadTextEncoderShared //Inspire",
    ),
    "diffusion_models": (
        "UNETLoader", "UnetLoaderGGUF", "UnetLoaderGGUFAdvanced", "UNETLoaderNF4", "DiffusionModelLoaderKJ",
        "WanVideoModelLoader", "WanVideoVACEModelSelect",
        "HyVideoModelLoader", "NunchakuFluxDiTLoader", "NunchakuQwenImageDiTLoader",
        "NunchakuZImageDiTLoader", "Unet Loader (LoraManager)", "LoadDiffusionModelShared //Inspire",
    ),
    "controlnet": (
        "ControlNetLoader", "DiffControlNetLoader", "ControlNetLoaderAdvanced",
        "DiffControlNetLoaderAdvanced", "ACN_SparseCtrlLoaderAdvanced", "ACN_ControlNet++LoaderSingle",
        "ACN_ControlNet++LoaderAdvanced", "ACN_SparseCtrlMergedLoaderAdvanced",
        "CR Multi-ControlNet Stack",
        "easy controlnetLoader", "easy controlnetLoaderADV", "easy controlnetLoader++", "easy LLLiteLoader",
        "easy controlnetStack", "easy controlnetNames", "easy XYInputs: ControlNet", "Control Net Stacker",
        "Tiled Upscaler Script", "WanVideoControlnetLoader", "WanVideoUni3C_ControlnetLoader",
    ),
    "clip_vision": ("CLIPVisionLoader",),
    "style_models": ("StyleModelLoader",),
    "gligen": ("GLIGENLoader", "GLIGENLoaderModel"),
    "hypernetworks": ("HypernetworkLoader",),
    "upscale_models": (
        "UpscaleModelLoader", "Upscale Model Loader", "CR Upscale Image", "easy hiresFix",
    ),
    "latent_upscale_models": ("LatentUpscaleModelLoader", "LowVRAMLatentUpscaleModelLoader"),
    "photomaker": ("PhotoMakerLoader",),
    "audio_encoders": ("AudioEncoderLoader",),
    "model_patches": ("ModelPatchLoader",),
    "embeddings": ("ConditioningLoader", "LTXVLoadConditioning"),
    "vae_approx": ("WanVideoTinyVAELoader", "ModelPreviewOverrideKJ"),
    "background_removal": ("LoadBackgroundRemovalModel",),
    "frame_interpolation": ("FrameInterpolationModelLoader",),
    "optical_flow": ("OpticalFlowLoader",),
    "geometry_estimation": ("LoadMoGeModel", "LoadDA3Model"),
    "detection": ("SAM3DBody_Loader",),
    "ipadapter": ("IPAdapterModelLoader",),
    "instantid": ("InstantIDModelLoader",),
    "pulid": ("PulidModelLoader", "PulidFluxModelLoader", "easy pulIDApply", "easy pulIDApplyADV"),
    "sams": ("SAMLoader", "easy samLoaderPipe"),
    "onnx": ("ONNXDetectorProvider",),
    "ultralytics": ("UltralyticsDetectorProvider", "easy ultralyticsDetectorPipe"),
    "mmdets": ("MMDetDetectorProvider", "MMDetLoader"),
    "xlabs_loras": ("FluxLoraLoader",),
    "xlabs_controlnets": ("LoadFluxControlNet",),
    "animatediff_models": (
        "ADE_LoadAnimateDiffModel", "ADE_AnimateDiffLoaderGen1", "ADE_AnimateDiffLoaderWithContext",
    ),
    "animatediff_motion_lora": ("ADE_AnimateDiffLoRALoader",),
}  # fmt: skip

#: Nodes that load from several folder types: (input, its widget position or None, folder type).
_BY_INPUT: Mapping[str, tuple[tuple[str, int | None, str], ...]] = {
    # The input really is spelled this way.
    "LoadFluxIPAdapter": (("ipadatper", 0, "xlabs_ipadapters"), ("clip_vision", 1, "clip_vision")),
    "LTXAVTextEncoderLoader": (("text_encoder", 0, "text_encoders"), ("ckpt_name", 1, "checkpoints")),
    # Its other list covers two folders.
    "GGUFLoaderKJ": (("model_name", 0, "diffusion_models"),),
    "LTXVGemmaCLIPModelLoader": (("gemma_path", 0, "text_encoders"), ("ltxv_path", 1, "checkpoints")),
    "NunchakuPuLIDLoaderV2": (("pulid_file", 0, "pulid"), ("eva_clip_file", 1, "text_encoders")),
    "Efficient Loader": (
        ("ckpt_name", 0, "checkpoints"), ("vae_name", 1, "vae"), ("lora_name", 3, "loras"),
    ),
    "Eff. Loader SDXL": (
        ("base_ckpt_name", 0, "checkpoints"), ("refiner_ckpt_name", 2, "checkpoints"), ("vae_name", 6, "vae"),
    ),
    "easy fullLoader": (
        ("ckpt_name", 0, "checkpoints"), ("vae_name", 2, "vae"), ("lora_name", 4, "loras"),
    ),
    "easy a1111Loader": (
        ("ckpt_name", 0, "checkpoints"), ("vae_name", 1, "vae"), ("lora_name", 3, "loras"),
    ),
    "easy comfyLoader": (
        ("ckpt_name", 0, "checkpoints"), ("vae_name", 1, "vae"), ("lora_name", 3, "loras"),
    ),
}  # fmt: skip

#: Nodes that take a folder of files: (input, its widget position, the types it may be in).
#: The value is a folder below the type's, or a repository `owner/NAME` that is stored as NAME.
#: ComfyUI; nunchaku-tech/ComfyUI-nunchaku nodes/models; kijai/ComfyUI-Florence2 nodes.py;
#: IuvenisSapiens/ComfyUI_Qwen2-VL-Instruct and its forks.
_FOLDERS: Mapping[str, tuple[str, int, tuple[str, ...]]] = {
    "DiffusersLoader": ("model_path", 0, ("diffusers",)),
    "NunchakuFluxDiTLoader": ("model_path", 0, ("diffusion_models",)),
    "NunchakuQwenImageDiTLoader": ("model_name", 0, ("diffusion_models",)),
    "NunchakuZImageDiTLoader": ("model_name", 0, ("diffusion_models",)),
    "SVDQuantFluxDiTLoader": ("model_path", 0, ("diffusion_models",)),
    "DownloadAndLoadFlorence2Model": ("model", 0, ("LLM",)),
    "Florence2ModelLoader": ("model", 0, ("LLM",)),
    "Qwen2_VQA": ("model", 1, ("prompt_generator", "LLM")),
    "Qwen3_VQA": ("model", 1, ("prompt_generator", "LLM")),
}

#: Nodes that download the models they name, most of them to places outside the model folders. kijai's packs
#: (DownloadAndLoad…, (Down)load…), Fannovel16/ComfyUI-Frame-Interpolation (… VFI, ckpts in custom_nodes),
#: Fannovel16/comfyui_controlnet_aux (…Preprocessor), storyicon/comfyui_segment_anything,
#: numz/ComfyUI-SeedVR2_VideoUpscaler, pythongosssss' ComfyUI-WD14-Tagger.
_FETCHING = re.compile(
    r"DownloadAndLoad|\(Down\)load|\w.* VFI$|[\w-]*Preprocessor(?:Provider|_?Provider_for_SEGS //Inspire)?$"
    r"|\w+ModelLoader \(segment anything\)$|SeedVR2|WD14Tagger|(?:Qwen[23]|Qwen2_5)_?VQA$",
    re.IGNORECASE,
)

#: Nodes that look up a name by its end if it does not match in full, in subfolders and with any extension:
#: LoRA Manager (py/utils/utils.py `get_lora_info`), rgthree (py/power_prompt_utils.py
#: `get_lora_by_filename`).
_BY_END = re.compile(r"\(LoraManager\)$|^(?:SDXL )?Power (?:Lora Loader|Prompt)\b.*\(rgthree\)$")

#: Folders below models/ that node packs list under a type name of their own.
#: XLabs-AI/x-flux-comfyui nodes.py; ltdrdata/ComfyUI-Impact-Pack and -Subpack.
PACK_FOLDERS = MappingProxyType({
    "xlabs_loras": "xlabs/loras", "xlabs_controlnets": "xlabs/controlnets",
    "xlabs_ipadapters": "xlabs/ipadapters", "xlabs_flux": "xlabs/flux",
    "ultralytics_bbox": "ultralytics/bbox", "ultralytics_segm": "ultralytics/segm",
    "mmdets_bbox": "mmdets/bbox", "mmdets_segm": "mmdets/segm",
})  # fmt: skip


class FolderChoice(NamedTuple):
    """Files that a node chooses from itself: of a folder type, with names matching this pattern."""

    type: str
    pattern: str = ""


#: Nodes that choose files by a preset or by their inputs, and what they choose from.
#: cubiq/ComfyUI_IPAdapter_plus utils.py `get_clipvision_file`, `get_ipadapter_file`, `insightface_loader`;
#: ltdrdata/ComfyUI-Inspire-Pack model_nodes.py `model_preset`; yolain/ComfyUI-Easy-Use (the same presets);
#: ComfyUI latent_preview.py (a sampler's previews are decoded with TAESD files of `vae_approx`).
_CHOOSING: tuple[tuple[re.Pattern[str], tuple[FolderChoice, ...]], ...] = (
    (
        re.compile(r"IPAdapterUnifiedLoader|IPAdapterModelHelper|easy ipadapter", re.IGNORECASE),
        (
            FolderChoice("ipadapter"),
            FolderChoice("clip_vision"),
            FolderChoice("loras", r"ip.?adapter|face.?id"),
            FolderChoice("insightface"),
        ),
    ),
    (
        re.compile(r"InsightFace|FaceAnalysis|ReActor|InstantID|Pulid", re.IGNORECASE),
        (FolderChoice("insightface"),),
    ),
    (re.compile(r"ReActor|FaceRestore", re.IGNORECASE), (FolderChoice("facerestore_models"),)),
    (re.compile(r"Sampler", re.IGNORECASE), (FolderChoice("vae_approx"),)),
)

_TYPES = MappingProxyType({name: kind for kind, names in _BY_TYPE.items() for name in names})

#: ComfyUI-MultiGPU has a copy of every loader.
_SAME_ELSEWHERE = re.compile(r"(?:DisTorch2?)?MultiGPU$")

#: Nodes whose text is for people: notes, and nodes that display text (pythongosssss' Custom-Scripts,
#: ComfyUI's PreviewAny, rgthree, Easy-Use, KJNodes).
_SHOWING = re.compile(
    r"(?:Markdown)?Note$|Note Plus \(mtb\)$|Label \(rgthree\)$|Display (?:Any|Int) \(rgthree\)$"
    r"|ShowText|Show ?Any|PreviewAny$|PreviewText|easy showAnything|DisplayAny|DisplayText|Text ?Preview",
    re.IGNORECASE,
)
#: Nodes that write files: their texts are destinations.
_SAVING = re.compile(r"Save(?![a-z])|(?<![a-z])save|_VideoCombine$")
#: Inputs that name the file to write.
_WHERE_TO = frozenset({"filename_prefix", "output_path", "save_path", "output_dir", "output_folder"})

#: Built-in choices of the VAE loader that stand for files of `vae_approx`, an encoder and a decoder each.
APPROXIMATE_VAES = frozenset({"taesd", "taesdxl", "taesd3", "taef1"})
#: Stems of files in `vae_approx` that it also reads (`video_taes` in ComfyUI's and KJNodes' nodes.py).
_APPROXIMATE_FILES = frozenset({"taehv", "lighttaew2_1", "lighttaew2_2", "lighttaehy1_5"})

#: Nodes that list GGUF files in ComfyUI's folder types, unlike its own nodes: city96/ComfyUI-GGUF
#: (`unet_gguf`, `clip_gguf`) and packs based on it (KJNodes, WanVideoWrapper, LoRA Manager, MultiGPU).
_LISTING_GGUF = re.compile(r"gguf|^WanVideo\w*Model(?:Loader|Select)$|\(LoraManager\)$", re.IGNORECASE)
#: Those that list only GGUF files.
_LISTING_ONLY_GGUF = re.compile(r"UnetLoaderGGUF(?:Advanced)?$")


def folder_type(node_class: str, widget: str | int) -> str | None:
    """The folder type that a node reads an input from; the input by name or widget position."""
    node_class = _plain(node_class)
    if node_class in _TYPES:
        return _TYPES[node_class]
    for name, place, kind in _BY_INPUT.get(node_class, ()):
        if widget in (name, place):
            return kind
    return None


def type_of_file(node_class: str, widget: str | int, name: str) -> str | None:
    """The folder type that a node reads the file of this name, given to this input, from."""
    kind = folder_type(node_class, widget)
    return "vae_approx" if kind == "vae" and os.path.splitext(name)[0] in _APPROXIMATE_FILES else kind


def lists(node_class: str, kind: str | None, name: str) -> bool:
    """Whether a node lists a file of this name for the folder type, by its extension.

    Node packs may list anything in folders of their own.
    """
    if kind not in TYPE_FOLDERS:
        return True
    node_class = _plain(node_class)
    extension = os.path.splitext(name)[1].lower()
    if extension == ".gguf":
        return bool(_LISTING_GGUF.search(node_class))
    return extension in LISTED_EXTENSIONS and not _LISTING_ONLY_GGUF.match(node_class)


def folders_named(node_class: str, widget: str | int | None) -> tuple[str, ...]:
    """The folder types that may contain the folder which this input of a node names; empty if it names none.

    A `widget` of None means the node's only input.
    """
    name, place, kinds = _FOLDERS.get(_plain(node_class), ("", None, ()))
    return kinds if widget in (name, place, None) else ()


def is_known(node_class: str) -> bool:
    """Whether the node is known, so that its inputs that name models are too."""
    node_class = _plain(node_class)
    return node_class in _TYPES or node_class in _BY_INPUT or node_class in _FOLDERS


def names_nothing(node_class: str, widget: str | int) -> bool:
    """Whether this text of a node is a note or a destination, and so names no model."""
    return widget in _WHERE_TO or bool(_SHOWING.match(node_class) or _SAVING.search(node_class))


def looks_by_end(node_class: str) -> bool:
    """Whether a node matches by the last part of a name, ignoring folder and extension."""
    return bool(_BY_END.search(node_class))


def fetches(node_class: str) -> bool:
    """Whether a node downloads the models it names."""
    return bool(_FETCHING.match(_plain(node_class)))


def choices(node_class: str) -> tuple[FolderChoice, ...]:
    """The files that a node chooses from itself."""
    return tuple(choice for pattern, own in _CHOOSING if pattern.search(node_class) for choice in own)


def declared_type(directory: str) -> str | None:
    """The folder type of a workflow's `directory` value, by its current name in ComfyUI."""
    return canonical_type(directory) or None


def _plain(node_class: str) -> str:
    return _SAME_ELSEWHERE.sub("", node_class)


# --- Needs: models that a workflow names

#: What a name stands for: `file` the file itself, `stem` a file without its extension, `folder` all below it.
Form = Literal["file", "stem", "folder"]

#: Longer text is a prompt, not a name.
LONGEST_NAME = 1024
#: Longer text is not read as a list of names.
_LONGEST_LIST = 64 << 10
_BETWEEN_NAMES = re.compile(r"[\n\r,;]")
_AROUND_NAME = " \t\"'[]"

#: Nodes that only pass a name on, so their mode does not tell whether its loader runs.
_PASSING_ON = "Primitive"
_CONTROL = re.compile("[\0-\x1f\x7f]")


class Need(NamedTuple):
    """A model by the name given to a loader, as written.

    `type` is a folder key of ComfyUI or of a node pack, None if the node is unknown. `nodes` are execution
    ids: `57:12` is node 12 in the subgraph of node 57. `hash` is a SHA-256. `bypassed` holds if no node that
    names it would run, `by_end` if the node also accepts a file in a subfolder whose name ends this way,
    `automatic` if the node downloads the model itself. If not `listed`, the node does not list files with
    this extension, so it cannot find the model.
    """

    name: str
    type: str | None = None
    form: Form = "file"
    nodes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    url: str | None = None
    hash: str | None = None
    bypassed: bool = False
    by_end: bool = False
    automatic: bool = False
    listed: bool = True


def is_model_value(value: object) -> bool:
    """Whether a node's value can be the name of a model file: it ends like one and is not a link."""
    if not isinstance(value, str) or len(value) > LONGEST_NAME:
        return False
    stem, dot, extension = value.rpartition(".")
    if not (stem and dot and f".{extension.lower()}" in MODEL_EXTENSIONS):
        return False
    return stem[-1] not in "/\\" and "://" not in value and not _CONTROL.search(value)


def names_in(text: str) -> list[str]:
    """The model files that a value names: one name, or a list separated by commas or lines."""
    if len(text) <= _LONGEST_LIST:
        parts = [part.strip(_AROUND_NAME) for part in _BETWEEN_NAMES.split(text)]
        parts = [part for part in parts if part]
        if (len(parts) > 1 or text != text.strip()) and all(map(is_model_value, parts)):
            return parts
    return [text] if is_model_value(text) else []


def plain_name(value: str) -> str:
    """The value, escaped if it cannot be encoded as a file name."""
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        return displayable(value)
    return value


def last_part(name: str) -> str:
    """The part after the last slash or backslash."""
    return name.replace("\\", "/").rpartition("/")[2]


_Key = tuple[str, "str | None", Form, bool]


def merged(needs: Iterable[Need]) -> tuple[Need, ...]:
    """Each model once, in order of first mention; needs of unknown type join one of known type."""
    groups: dict[_Key, list[Need]] = {}
    for need in needs:
        if last_part(need.name):  # `./` and the like are not names
            groups.setdefault((need.name, need.type, need.form, need.listed), []).append(need)
    found = {key: _joined(group) for key, group in groups.items()}
    typed: dict[tuple[str, Form], list[_Key]] = {}
    for key in found:
        if key[1] is not None:
            typed.setdefault((key[0], key[2]), []).append(key)
    for need in [each for each in found.values() if each.type is None]:
        for key in typed.get((need.name, need.form), ()):
            found.pop((need.name, None, need.form, need.listed), None)
            joined = _joined([found[key], need])
            if all(name.startswith(_PASSING_ON) for name in need.classes):
                joined = joined._replace(bypassed=found[key].bypassed)
            found[key] = joined
    return tuple(found.values())


def _joined(needs: Sequence[Need]) -> Need:
    """Merge needs with the same name, type and form."""
    return needs[0]._replace(
        nodes=tuple(dict.fromkeys(node for need in needs for node in need.nodes)),
        classes=tuple(dict.fromkeys(name for need in needs for name in need.classes)),
        url=next((need.url for need in needs if need.url), None),
        hash=next((need.hash for need in needs if need.hash), None),
        bypassed=all(need.bypassed for need in needs),
        by_end=all(need.by_end for need in needs),
        automatic=all(need.automatic for need in needs),
    )


# --- Models named in prompts

#: `embedding:NAME` up to a space, comma, weight or bracket, as ComfyUI's tokenizer takes it (sd1_clip.py).
#: It is case-sensitive.
_EMBEDDING = re.compile(r"(?<![\w-])embedding:([^\s,:()\[\]{}<>|\"]{1,1024})")
#: `<lora:NAME:WEIGHT>`, as A1111 writes it and several node packs read it; Impact's may have the weight of
#: every block behind it (`LBW=…`).
_LORA = re.compile(r"<(?:lora|lyco):([^<>:\n]{1,1024})(?::[^<>]{0,1024})?>", re.IGNORECASE)


def named_in_text(text: str, *, with_loras: bool) -> Iterator[Need]:
    """The embeddings that a text names, and the LoRAs if the node reads such tags."""
    if "embedding:" in text:
        for match in _EMBEDDING.finditer(text):
            yield _need(match[1].rstrip(".;!?"), "embeddings")
    if with_loras and "<l" in text.lower():
        for match in _LORA.finditer(text):
            yield _need(match[1].strip(), "loras")


def _need(name: str, kind: str) -> Need:
    # ComfyUI looks for an embedding in every subfolder (sd1_clip.py `load_embed`); LoRA tags are looked up by
    # the end of the name (Impact's wildcards.py `resolve_lora_name`, rgthree's and LoRA Manager's).
    return Need(plain_name(name), kind, form="file" if is_model_value(name) else "stem", by_end=True)
