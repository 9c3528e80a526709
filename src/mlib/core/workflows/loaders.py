"""Which nodes load models, and from which folder type: ComfyUI's own and those of widespread node packs.

From the nodes' `INPUT_TYPES` (`folder_paths.get_filename_list(TYPE)`) and, where a node looks for itself,
from its code: the pack is named beside the table. A node that is not here is no loss: what it names is looked
for in every folder.
"""

from __future__ import annotations

import os
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.comfyui import LISTED_EXTENSIONS, TYPE_FOLDERS, canonical_type

if TYPE_CHECKING:
    from collections.abc import Mapping

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
PACK_FOLDERS = MappingProxyType(
    {
        "xlabs_loras": "xlabs/loras",
        "xlabs_controlnets": "xlabs/controlnets",
        "xlabs_ipadapters": "xlabs/ipadapters",
        "xlabs_flux": "xlabs/flux",
        "ultralytics_bbox": "ultralytics/bbox",
        "ultralytics_segm": "ultralytics/segm",
        "mmdets_bbox": "mmdets/bbox",
        "mmdets_segm": "mmdets/segm",
    }
)


class Choice(NamedTuple):
    """Files that a node chooses from by itself: of a folder type, with a name that this pattern finds."""

    type: str
    pattern: str = ""


#: Nodes that choose files by a preset or by what they are given, and what they choose from.
#: cubiq/ComfyUI_IPAdapter_plus utils.py `get_clipvision_file`, `get_ipadapter_file`, `insightface_loader`;
#: ltdrdata/ComfyUI-Inspire-Pack model_nodes.py `model_preset`; yolain/ComfyUI-Easy-Use (the same presets);
#: ComfyUI latent_preview.py (a sampler's previews are decoded by TAESD files of `vae_approx`).
_CHOOSING: tuple[tuple[re.Pattern[str], tuple[Choice, ...]], ...] = (
    (
        re.compile(r"IPAdapterUnifiedLoader|IPAdapterModelHelper|easy ipadapter", re.IGNORECASE),
        (
            Choice("ipadapter"),
            Choice("clip_vision"),
            Choice("loras", r"ip.?adapter|face.?id"),
            Choice("insightface"),
        ),
    ),
    (
        re.compile(r"InsightFace|FaceAnalysis|ReActor|InstantID|Pulid", re.IGNORECASE),
        (Choice("insightface"),),
    ),
    (re.compile(r"ReActor|FaceRestore", re.IGNORECASE), (Choice("facerestore_models"),)),
    (re.compile(r"Sampler", re.IGNORECASE), (Choice("vae_approx"),)),
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


def choices(node_class: str) -> tuple[Choice, ...]:
    """What a node chooses files from by itself."""
    return tuple(choice for pattern, own in _CHOOSING if pattern.search(node_class) for choice in own)


def declared_type(directory: str) -> str | None:
    """The folder type of a workflow's own `directory`, under the name ComfyUI uses today."""
    return canonical_type(directory) or None


def _plain(node_class: str) -> str:
    return _SAME_ELSEWHERE.sub("", node_class)
