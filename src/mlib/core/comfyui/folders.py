"""ComfyUI's model folders and types, and the file names that can be models."""

from __future__ import annotations

import os
from types import MappingProxyType

#: Extensions that ComfyUI's own loaders list (`supported_pt_extensions` in its folder_paths.py).
LISTED_EXTENSIONS = frozenset({".bin", ".ckpt", ".pkl", ".pt", ".pt2", ".pth", ".safetensors", ".sft"})
#: The same plus the two formats added by custom nodes.
MODEL_EXTENSIONS = LISTED_EXTENSIONS | {".gguf", ".onnx"}

_SINGLE_FOLDER_TYPES = (
    "clip_vision", "style_models", "embeddings", "diffusers", "vae_approx", "gligen", "upscale_models",
    "latent_upscale_models", "hypernetworks", "photomaker", "classifiers", "model_patches", "audio_encoders",
    "background_removal", "frame_interpolation", "geometry_estimation", "optical_flow", "detection",
)  # fmt: skip

#: The built-in types with their folders under models/, in ComfyUI's search order.
TYPE_FOLDERS = MappingProxyType(
    {
        "checkpoints": ("checkpoints",),
        "loras": ("loras",),
        "vae": ("vae",),
        "text_encoders": ("text_encoders", "clip"),
        "diffusion_models": ("unet", "diffusion_models"),
        "controlnet": ("controlnet", "t2i_adapter"),
        **{name: (name,) for name in _SINGLE_FOLDER_TYPES},
    }
)

#: Every folder under models/ that belongs to a built-in type.
BUILT_IN_FOLDERS = frozenset(folder for folders in TYPE_FOLDERS.values() for folder in folders)

#: Folders under output/ that ComfyUI's save nodes write models to; searched last.
OUTPUT_FOLDERS = ("checkpoints", "clip", "vae", "diffusion_models", "loras")

#: Keys of extra_model_paths.yaml that ComfyUI maps to another type (`map_legacy` in its folder_paths.py);
#: all others are types exactly as written.
LEGACY_TYPES = MappingProxyType({"unet": "diffusion_models", "clip": "text_encoders"})

#: Folder names that belong to another type.
TYPE_ALIASES = MappingProxyType(
    {"unet": "diffusion_models", "clip": "text_encoders", "t2i_adapter": "controlnet"}
)

#: Keys of ComfyUI's path tables that are not for models.
SKIPPED_TYPES = frozenset({"configs", "custom_nodes", "datasets", "download_model_base", "fonts"})

_OTHER_SPELLINGS = MappingProxyType({
    "checkpoint": "checkpoints", "lora": "loras", "embedding": "embeddings",
    "hypernetwork": "hypernetworks", "text_encoder": "text_encoders", "textual_inversion": "embeddings",
    "textualinversion": "embeddings", "diffusion_model": "diffusion_models", "upscale": "upscale_models",
    "upscaler": "upscale_models",
})  # fmt: skip

#: Extensions that are never models, even where any file may be one: companions, documents, archives,
#: unfinished downloads.
NO_MODEL_EXTENSIONS = frozenset({
    ".",
    ".avif", ".bmp", ".gif", ".heic", ".ico", ".jfif", ".jpeg", ".jpg", ".jxl", ".png", ".psd", ".svg",
    ".tif", ".tiff", ".webp",
    ".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm", ".flac", ".m4a", ".mp3", ".ogg", ".wav",
    ".cfg", ".conf", ".css", ".csv", ".db", ".doc", ".docx", ".htm", ".html", ".info", ".ini", ".ipynb",
    ".jinja", ".js", ".json", ".jsonl", ".lock", ".log", ".markdown", ".md", ".metadata", ".pdf", ".rst",
    ".rtf", ".sqlite", ".sqlite3", ".srt", ".toml", ".tsv", ".txt", ".xml", ".yaml", ".yml",
    ".bat", ".c", ".cmd", ".cpp", ".cu", ".exe", ".h", ".ps1", ".py", ".pyc", ".pyi", ".sh",
    ".desktop", ".lnk", ".torrent", ".url",
    ".asc", ".blake3", ".md5", ".sha1", ".sha256", ".sha512", ".sig",
    ".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz", ".xz", ".zip", ".zst",
    ".!qb", ".aria2", ".crdownload", ".download", ".downloading", ".incomplete", ".opdownload",
    ".part", ".partial", ".swp", ".temp", ".tmp",
    ".bak", ".old", ".orig",
})  # fmt: skip


def canonical_type(name: str) -> str:
    """The folder key of a type named by a person or an older manager, ignoring case.

    An unknown name is returned stripped but otherwise unchanged.
    """
    name = name.strip()
    key = name.lower()
    if key in TYPE_FOLDERS:
        return key
    return TYPE_ALIASES.get(key) or _OTHER_SPELLINGS.get(key) or name


def is_type_name(name: str) -> bool:
    """Whether `name` can be a type: visible, without control characters or undecodable bytes."""
    return name.isprintable() and not name.isspace() and name != ""


def is_model_name(name: str, *, any_file: bool) -> bool:
    """Whether a file called `name` can be a model.

    With `any_file`, ComfyUI has no extension list, so all count except those that are never models. A leading
    dot marks temporary files of downloads and macOS's AppleDouble files.
    """
    dot = name.rfind(".")
    if dot < 1 or name[0] == ".":
        return False
    extension = name[dot:].lower()
    return extension in MODEL_EXTENSIONS or (any_file and extension not in NO_MODEL_EXTENSIONS)


def name_below(path: str, root: str) -> str:
    """The loader name of the file at `path`: its path relative to the root, as workflows name it.

    As listed by ComfyUI's folder_paths.py (`recursive_search`). `db.search` has the same in SQL.
    """
    above = root if root.endswith(os.sep) else root + os.sep
    return path[len(above) :] if path.startswith(above) else os.path.relpath(path, root)
