"""Which nodes load models, and from which folder type: ComfyUI's own and those of widespread node packs.

From the nodes' `INPUT_TYPES` (`folder_paths.get_filename_list(TYPE)`). A node that is not here is no loss:
what it names is looked for in every folder.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING

from mlib.core.comfyui import canonical_type

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
    ),
    "loras": (
        "LoraLoader", "LoraLoaderModelOnly", "LoraLoaderBypass", "LoraLoaderBypassModelOnly",
        "CreateHookLora", "CreateHookLoraModelOnly", "LoraModelLoader", "LoraLoader|pysssss",
        "LoRA Stacker", "CR LoRA Stack", "CR Load LoRA", "Lora Loader Stack (rgthree)",
        "Power Lora Loader (rgthree)", "Lora Loader", "easy loraStack", "LoraLoaderBlockWeight //Inspire",
        "LoraLoaderStackedAdvanced", "WanVideoLoraSelect", "WanVideoLoraSelectMulti",
        "WanVideoLoraSelectByName", "HyVideoLoraSelect", "NunchakuFluxLoraLoader", "FluxLoraLoader",
        "Lora Loader (LoraManager)", "Lora Stacker (LoraManager)", "LoRA Text Loader (LoraManager)",
        "LoraLoaderVanilla",
    ),
    "vae": (
        "VAELoader", "VAELoaderKJ", "WanVideoVAELoader", "HyVideoVAELoader", "CR Load VAE",
        "CogVideoXVAELoader", "MochiVAELoader", "easy vaeLoader",
    ),
    "text_encoders": (
        "CLIPLoader", "DualCLIPLoader", "TripleCLIPLoader", "QuadrupleCLIPLoader",
        "CLIPLoaderGGUF", "DualCLIPLoaderGGUF", "TripleCLIPLoaderGGUF", "QuadrupleCLIPLoaderGGUF",
        "LoadWanVideoT5TextEncoder", "NunchakuTextEncoderLoader",
    ),
    "diffusion_models": (
        "UNETLoader", "UnetLoaderGGUF", "UnetLoaderGGUFAdvanced", "UNETLoaderNF4", "DiffusionModelLoaderKJ",
        "DiffusionModelSelector", "GGUFLoaderKJ", "WanVideoModelLoader", "WanVideoVACEModelSelect",
        "HyVideoModelLoader", "NunchakuFluxDiTLoader", "NunchakuQwenImageDiTLoader",
        "NunchakuZImageDiTLoader", "Unet Loader (LoraManager)",
    ),
    "controlnet": (
        "ControlNetLoader", "DiffControlNetLoader", "ControlNetLoaderAdvanced",
        "DiffControlNetLoaderAdvanced", "ACN_SparseCtrlLoaderAdvanced", "ACN_ControlNet++LoaderSingle",
        "ACN_ControlNet++LoaderAdvanced", "ACN_SparseCtrlMergedLoaderAdvanced",
        "CR Multi-ControlNet Stack", "LoadFluxControlNet",
        "easy controlnetLoader", "Control Net Stacker",
    ),
    "clip_vision": ("CLIPVisionLoader",),
    "style_models": ("StyleModelLoader",),
    "gligen": ("GLIGENLoader", "GLIGENLoaderModel"),
    "hypernetworks": ("HypernetworkLoader",),
    "upscale_models": ("UpscaleModelLoader", "Upscale Model Loader", "CR Upscale Image"),
    "latent_upscale_models": ("LatentUpscaleModelLoader",),
    "photomaker": ("PhotoMakerLoader",),
    "audio_encoders": ("AudioEncoderLoader",),
    "model_patches": ("ModelPatchLoader",),
    "embeddings": ("ConditioningLoader",),
    "background_removal": ("LoadBackgroundRemovalModel",),
    "frame_interpolation": ("FrameInterpolationModelLoader",),
    "optical_flow": ("OpticalFlowLoader",),
    "geometry_estimation": ("LoadMoGeModel", "LoadDA3Model"),
    "detection": ("SAM3DBody_Loader",),
    "ipadapter": ("IPAdapterModelLoader",),
    "instantid": ("InstantIDModelLoader",),
    "pulid": ("PulidModelLoader", "PulidFluxModelLoader"),
    "sams": ("SAMLoader",),
    "animatediff_models": (
        "ADE_LoadAnimateDiffModel", "ADE_AnimateDiffLoaderGen1", "ADE_AnimateDiffLoaderWithContext",
    ),
    "animatediff_motion_lora": ("ADE_AnimateDiffLoRALoader",),
}  # fmt: skip

#: Nodes that load from several folder types: (input, its place among the widgets or None, folder type).
_BY_INPUT: Mapping[str, tuple[tuple[str, int | None, str], ...]] = {
    "LTXAVTextEncoderLoader": (("text_encoder", 0, "text_encoders"), ("ckpt_name", 1, "checkpoints")),
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

_TYPES = MappingProxyType({name: kind for kind, names in _BY_TYPE.items() for name in names})

#: ComfyUI-MultiGPU has a double of every loader.
_SAME_ELSEWHERE = re.compile(r"(?:DisTorch2?)?MultiGPU$")

#: Nodes whose text is for people.
NOTES = frozenset({"Note", "MarkdownNote", "Note Plus (mtb)", "Label (rgthree)"})
#: Nodes that take a folder of files, and the folder type.
FOLDER_LOADERS = MappingProxyType({"DiffusersLoader": "diffusers"})
#: The built-in choices of the VAE loader that stand for files of `vae_approx`: their encoder and decoder.
APPROXIMATE_VAES = frozenset({"taesd", "taesdxl", "taesd3", "taef1"})


def folder_type(node_class: str, widget: str | int) -> str | None:
    """The folder type that a node reads an input from: by its name, or its place among the widgets."""
    node_class = _SAME_ELSEWHERE.sub("", node_class)
    if node_class in _TYPES:
        return _TYPES[node_class]
    for name, place, kind in _BY_INPUT.get(node_class, ()):
        if widget in (name, place):
            return kind
    return None


def declared_type(directory: str) -> str | None:
    """The folder type of a workflow's own `directory`, under the name ComfyUI uses today."""
    return canonical_type(directory) or None
