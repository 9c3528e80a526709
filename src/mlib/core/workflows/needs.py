"""Models that a prompt names in its text."""

from __future__ import annotations

import os
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

from mlib.core.comfyui.folders import LISTED_EXTENSIONS, MODEL_EXTENSIONS, TYPE_FOLDERS, canonical_type
from mlib.core.text import displayable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


# --- Which nodes load models, and from which folder type: ComfyUI's own and those of widespread node packs.
#
# From the nodes' `INPUT_TYPES` (`folder_paths.get_filename_list(TYPE)`) and, where a node looks for itself,
# from its code: the pack is named beside the table. A node that is not here is no loss: what it names is
# looked
# for in every folder.

#: Node classes by the one folder type they load from.
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

#: Nodes that load from several folder types: (input, its place among the widgets or None, folder type).
_BY_INPUT: Mapping[str, tuple[tuple[str, int | None, str], ...]] = {
    # The input is spelled so.
    "LoadFluxIPAdapter": (("ipadatper", 0, "xlabs_ipadapters"), ("clip_vision", 1, "clip_vision")),
    "LTXAVTextEncoderLoader": (("text_encoder", 0, "text_encoders"), ("ckpt_name", 1, "checkpoints")),
    # Its other list is of two folders.
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

#: Nodes that are given a folder of files: (input, its place among the widgets, the types it may lie in).
#: The value is the folder below the type's, or a repository `owner/NAME` that is kept as NAME.
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

#: Nodes that download what they name by themselves, most of them to where no model folder is. kijai's packs
#: (DownloadAndLoad…, (Down)load…), Fannovel16/ComfyUI-Frame-Interpolation (… VFI, ckpts in custom_nodes),
#: Fannovel16/comfyui_controlnet_aux (…Preprocessor), storyicon/comfyui_segment_anything,
#: numz/ComfyUI-SeedVR2_VideoUpscaler, pythongosssss' ComfyUI-WD14-Tagger.
_FETCHING = re.compile(
    r"DownloadAndLoad|\(Down\)load|\w.* VFI$|[\w-]*Preprocessor(?:Provider|_?Provider_for_SEGS //Inspire)?$"
    r"|\w+ModelLoader \(segment anything\)$|SeedVR2|WD14Tagger|(?:Qwen[23]|Qwen2_5)_?VQA$",
    re.IGNORECASE,
)

#: Nodes that look a name up by its end, in subfolders and with another extension too, when it is not the
#: whole name: LoRA Manager (py/utils/utils.py `get_lora_info`), rgthree (py/power_prompt_utils.py
#: `get_lora_by_filename`).
_BY_END = re.compile(r"\(LoraManager\)$|^(?:SDXL )?Power (?:Lora Loader|Prompt)\b.*\(rgthree\)$")

#: Where node packs keep what they list under a name of their own: the folder below models/.
#: XLabs-AI/x-flux-comfyui nodes.py; ltdrdata/ComfyUI-Impact-Pack and -Subpack.
PACK_FOLDERS = MappingProxyType({
    "xlabs_loras": "xlabs/loras", "xlabs_controlnets": "xlabs/controlnets",
    "xlabs_ipadapters": "xlabs/ipadapters", "xlabs_flux": "xlabs/flux",
    "ultralytics_bbox": "ultralytics/bbox", "ultralytics_segm": "ultralytics/segm",
    "mmdets_bbox": "mmdets/bbox", "mmdets_segm": "mmdets/segm",
})  # fmt: skip


class FolderChoice(NamedTuple):
    """Files that a node chooses from by itself: of a folder type, with a name that this pattern finds."""

    type: str
    pattern: str = ""


#: Nodes that choose files by a preset or by what they are given, and what they choose from.
#: cubiq/ComfyUI_IPAdapter_plus utils.py `get_clipvision_file`, `get_ipadapter_file`, `insightface_loader`;
#: ltdrdata/ComfyUI-Inspire-Pack model_nodes.py `model_preset`; yolain/ComfyUI-Easy-Use (the same presets);
#: ComfyUI latent_preview.py (a sampler's previews are decoded by TAESD files of `vae_approx`).
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

#: ComfyUI-MultiGPU has a double of every loader.
_SAME_ELSEWHERE = re.compile(r"(?:DisTorch2?)?MultiGPU$")

#: Nodes whose text is for people: notes, and what shows the text it is given (pythongosssss' Custom-Scripts,
#: ComfyUI's PreviewAny, rgthree, Easy-Use, KJNodes).
_SHOWING = re.compile(
    r"(?:Markdown)?Note$|Note Plus \(mtb\)$|Label \(rgthree\)$|Display (?:Any|Int) \(rgthree\)$"
    r"|ShowText|Show ?Any|PreviewAny$|PreviewText|easy showAnything|DisplayAny|DisplayText|Text ?Preview",
    re.IGNORECASE,
)
#: Nodes that write files: their texts say where to.
_SAVING = re.compile(r"Save(?![a-z])|(?<![a-z])save|_VideoCombine$")
#: Inputs that say under which name to write.
_WHERE_TO = frozenset({"filename_prefix", "output_path", "save_path", "output_dir", "output_folder"})

#: The built-in choices of the VAE loader that stand for files of `vae_approx`: their encoder and decoder.
APPROXIMATE_VAES = frozenset({"taesd", "taesdxl", "taesd3", "taef1"})
#: Files of `vae_approx` that it reads too (`video_taes` in ComfyUI's and KJNodes' nodes.py), by their stems.
_APPROXIMATE_FILES = frozenset({"taehv", "lighttaew2_1", "lighttaew2_2", "lighttaehy1_5"})

#: Nodes that list GGUF files of ComfyUI's folder types, which its own do not: city96/ComfyUI-GGUF
#: (`unet_gguf`, `clip_gguf`) and what builds upon it (KJNodes, WanVideoWrapper, LoRA Manager, MultiGPU).
_LISTING_GGUF = re.compile(r"gguf|^WanVideo\w*Model(?:Loader|Select)$|\(LoraManager\)$", re.IGNORECASE)
#: Of these, the ones that list nothing else.
_LISTING_ONLY_GGUF = re.compile(r"UnetLoaderGGUF(?:Advanced)?$")


def folder_type(node_class: str, widget: str | int) -> str | None:
    """The folder type that a node reads an input from: by its name, or its place among the widgets."""
    node_class = _plain(node_class)
    if node_class in _TYPES:
        return _TYPES[node_class]
    for name, place, kind in _BY_INPUT.get(node_class, ()):
        if widget in (name, place):
            return kind
    return None


def type_of_file(node_class: str, widget: str | int, name: str) -> str | None:
    """The folder type that a node reads the file of this name from, which is given to this input."""
    kind = folder_type(node_class, widget)
    return "vae_approx" if kind == "vae" and os.path.splitext(name)[0] in _APPROXIMATE_FILES else kind


def lists(node_class: str, kind: str | None, name: str) -> bool:
    """Whether a node lists a file of this name among those of the folder type, going by its extension.

    Node packs list what they like in folders of their own.
    """
    if kind not in TYPE_FOLDERS:
        return True
    node_class = _plain(node_class)
    extension = os.path.splitext(name)[1].lower()
    if extension == ".gguf":
        return bool(_LISTING_GGUF.search(node_class))
    return extension in LISTED_EXTENSIONS and not _LISTING_ONLY_GGUF.match(node_class)


def folders_named(node_class: str, widget: str | int | None) -> tuple[str, ...]:
    """The folder types in which the folder lies that this input of a node names; none where it names none.

    None is the only input that a node has.
    """
    name, place, kinds = _FOLDERS.get(_plain(node_class), ("", None, ()))
    return kinds if widget in (name, place, None) else ()


def is_known(node_class: str) -> bool:
    """Whether it is known which inputs of a node name models."""
    node_class = _plain(node_class)
    return node_class in _TYPES or node_class in _BY_INPUT or node_class in _FOLDERS


def names_nothing(node_class: str, widget: str | int) -> bool:
    """Whether this text of a node is shown to people, or tells where to write, and so names no model."""
    return widget in _WHERE_TO or bool(_SHOWING.match(node_class) or _SAVING.search(node_class))


def looks_by_end(node_class: str) -> bool:
    """Whether a node goes by the last part of a name, whatever folder and extension are written with it."""
    return bool(_BY_END.search(node_class))


def fetches(node_class: str) -> bool:
    """Whether a node downloads by itself what it names."""
    return bool(_FETCHING.match(_plain(node_class)))


def choices(node_class: str) -> tuple[FolderChoice, ...]:
    """What a node chooses files from by itself."""
    return tuple(choice for pattern, own in _CHOOSING if pattern.search(node_class) for choice in own)


def declared_type(directory: str) -> str | None:
    """The folder type of a workflow's own `directory`, under the name ComfyUI uses today."""
    return canonical_type(directory) or None


def _plain(node_class: str) -> str:
    return _SAME_ELSEWHERE.sub("", node_class)


# --- A model that a workflow names.

#: How a name stands for a file: `file` as it is, `stem` without its extension, `folder` for all below it.
Form = Literal["file", "stem", "folder"]

#: A text that is longer is a prompt and no name.
LONGEST_NAME = 1024
#: A text that is longer is not looked at for a list of names.
_LONGEST_LIST = 64 << 10
_BETWEEN_NAMES = re.compile(r"[\n\r,;]")
_AROUND_NAME = " \t\"'[]"

#: Nodes that only pass a name on: whether its loader runs is not theirs to say.
_PASSING_ON = "Primitive"
_CONTROL = re.compile("[\0-\x1f\x7f]")


class Need(NamedTuple):
    """A model by the name a loader is given, as it is written.

    `type` is a folder key of ComfyUI or of a node pack, None where the node is not known. `nodes` are ids as
    ComfyUI runs them: `57:12` is node 12 of the subgraph that node 57 stands for. `hash` is a SHA-256.
    `bypassed` holds if no node that names it would run, `by_end` if the node also takes a file in a subfolder
    whose name ends so, `automatic` if the node downloads the model by itself. Where not `listed`, the node
    lists no files with this extension, and so finds none.
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
    """Whether a value given to a node can be the name of a model file: it ends like one, and is no link."""
    if not isinstance(value, str) or len(value) > LONGEST_NAME:
        return False
    stem, dot, extension = value.rpartition(".")
    if not (stem and dot and f".{extension.lower()}" in MODEL_EXTENSIONS):
        return False
    return stem[-1] not in "/\\" and "://" not in value and not _CONTROL.search(value)


def names_in(text: str) -> list[str]:
    """The model files that a value names: it is one name, or a list with commas or a name a line."""
    if len(text) <= _LONGEST_LIST:
        parts = [part.strip(_AROUND_NAME) for part in _BETWEEN_NAMES.split(text)]
        parts = [part for part in parts if part]
        if (len(parts) > 1 or text != text.strip()) and all(map(is_model_value, parts)):
            return parts
    return [text] if is_model_value(text) else []


def plain_name(value: str) -> str:
    """A name of bytes that a file name can have; nothing else in it is changed."""
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        return displayable(value)
    return value


def last_part(name: str) -> str:
    """What comes after the last slash of either kind."""
    return name.replace("\\", "/").rpartition("/")[2]


_Key = tuple[str, "str | None", Form, bool]


def merged(needs: Iterable[Need]) -> tuple[Need, ...]:
    """Each model once, in the order first named; what is of no known type joins its like that is of one."""
    groups: dict[_Key, list[Need]] = {}
    for need in needs:
        if last_part(need.name):  # `./` and the like are no names
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
    """Needs of one name, type and form as one."""
    return needs[0]._replace(
        nodes=tuple(dict.fromkeys(node for need in needs for node in need.nodes)),
        classes=tuple(dict.fromkeys(name for need in needs for name in need.classes)),
        url=next((need.url for need in needs if need.url), None),
        hash=next((need.hash for need in needs if need.hash), None),
        bypassed=all(need.bypassed for need in needs),
        by_end=all(need.by_end for need in needs),
        automatic=all(need.automatic for need in needs),
    )


#: `embedding:NAME` up to a space, comma, weight or bracket, as ComfyUI's tokenizer takes it (sd1_clip.py).
#: In other letters it is no embedding to it.
_EMBEDDING = re.compile(r"(?<![\w-])embedding:([^\s,:()\[\]{}<>|\"]{1,1024})")
#: `<lora:NAME:WEIGHT>`, as A1111 writes it and several node packs read it; Impact's may have the weight of
#: every block behind it (`LBW=…`).
_LORA = re.compile(r"<(?:lora|lyco):([^<>:\n]{1,1024})(?::[^<>]{0,1024})?>", re.IGNORECASE)


def named_in_text(text: str, *, with_loras: bool) -> Iterator[Need]:
    """The embeddings that a text names, and the LoRAs where the node reads such tags."""
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
