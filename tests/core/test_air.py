"""The names that Civitai gives to resources of any site."""

from __future__ import annotations

import pytest

from mlib.core.kinds.claims import Air, parse_air


@pytest.mark.parametrize(
    ("text", "air"),
    [
        ("urn:air:sdxl:lora:civitai:328553@368189", Air("SDXL", "lora", "328553", "368189")),
        ("air:sdxl:checkpoint:civitai:827184@2514310", Air("SDXL", "checkpoint", "827184", "2514310")),
        ("sd1:embedding:civitai:9@71", Air("SD 1.5", "embedding", "9", "71")),
        ("URN:AIR:Flux1:LoRA:CivitAI:9", Air("Flux.1", "LoRA", "9")),
        ("urn:air:sd15:vae:civitai:9@71+5.safetensors", Air("SD 1.5", "vae", "9", "71")),
        ("urn:air:sd2:model:civitai:2421@43533:0.ckpt", Air("SD 2", "model", "2421", "43533")),
        ("urn:air:wanvideo-22-i2v-a14b:lora:civitai:1@2", Air("Wan 2.2 I2V A14B", "lora", "1", "2")),
        ("urn:air:flux2klein_9b:lora:civitai:1@2", Air("Flux.2 Klein 9B", "lora", "1", "2")),
        ("urn:air:qwen:clip:huggingface:a/b@main/c.safetensors", Air("Qwen-Image", "clip")),
        ("urn:air:model:huggingface:stabilityai/sdxl-vae", Air("", "model")),
        ("urn:air:other:upscaler:civitai:9@71", Air("", "upscaler", "9", "71")),
        ("urn:air:sdxl:lora:civitai:x@71", Air("SDXL", "lora")),
    ],
)
def test_what_an_air_says(text: str, air: Air) -> None:
    assert parse_air(text) == air
    assert parse_air(f" {text}\n") == air


@pytest.mark.parametrize(
    "text", ["", ":", "::::", "urn:air:", "sdxl", "9@71", "urn:air:sdxl:lora", "x" * 10**6]
)
def test_what_is_no_air_says_nothing(text: str) -> None:
    assert parse_air(text) == Air()
