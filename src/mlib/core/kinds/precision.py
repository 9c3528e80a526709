"""In what precision a model is kept, as its users say it."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: `general.file_type` of GGUF; from llama.cpp's `llama_ftype`.
_FILE_TYPES = MappingProxyType(
    {
        0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1",
        10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M",
        16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S",
        22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M",
        28: "IQ2_S", 29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0",
        38: "MXFP4_MOE",
    }
)  # fmt: skip

#: What is called by another name than its own.
_SAID = MappingProxyType(
    {
        "BF16": "bf16",
        "F16": "fp16",
        "F32": "fp32",
        "F64": "fp64",
        "F8_E4M3": "fp8_e4m3fn",
        "F8_E5M2": "fp8_e5m2",
        "I8": "int8",
    }
)


def file_type(number: str) -> str:
    """The name of a GGUF file's type by its number, or nothing."""
    return (
        _FILE_TYPES.get(int(number), "") if number.isascii() and number.isdigit() and len(number) < 6 else ""
    )


def precision(metadata: Mapping[str, str], dtypes: Mapping[str, int]) -> str:
    """A word for the precision of a file whose tensors hold so many numbers of each type.

    What GGUF says of the whole goes first: its mixes have names. Otherwise the type of most numbers; norms
    and biases are often kept finer than the rest.
    """
    named = file_type(metadata.get("general.file_type", ""))
    most = max(dtypes, key=lambda dtype: (dtypes[dtype], dtype), default="")
    return _SAID.get(named or most, named or most)
