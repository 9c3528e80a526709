"""The numbers GGUF has for the types of values and of tensors. From ggml's docs/gguf.md and type traits."""

from __future__ import annotations

#: Types of key-values: what they are called, and how `struct` reads the scalars.
VALUE_TYPES = {
    0: ("uint8", "<B"),
    1: ("int8", "<b"),
    2: ("uint16", "<H"),
    3: ("int16", "<h"),
    4: ("uint32", "<I"),
    5: ("int32", "<i"),
    6: ("float32", "<f"),
    7: ("bool", "<?"),
    10: ("uint64", "<Q"),
    11: ("int64", "<q"),
    12: ("float64", "<d"),
}
UINT32, INT32, FLOAT32, STRING, ARRAY = 4, 5, 6, 8, 9

#: Names and bytes of a block by tensor type number, for each length of a block in elements.
_BLOCKS = {
    1: {
        0: ("F32", 4),
        1: ("F16", 2),
        24: ("I8", 1),
        25: ("I16", 2),
        26: ("I32", 4),
        27: ("I64", 8),
        28: ("F64", 8),
        30: ("BF16", 2),
    },
    32: {
        2: ("Q4_0", 18),
        3: ("Q4_1", 20),
        6: ("Q5_0", 22),
        7: ("Q5_1", 24),
        8: ("Q8_0", 34),
        9: ("Q8_1", 36),
        20: ("IQ4_NL", 18),
        # Three withdrawn orders of Q4_0.
        31: ("Q4_0_4_4", 18),
        32: ("Q4_0_4_8", 18),
        33: ("Q4_0_8_8", 18),
        39: ("MXFP4", 17),
    },
    64: {40: ("NVFP4", 36)},
    128: {41: ("Q1_0", 18)},
    256: {
        10: ("Q2_K", 84),
        11: ("Q3_K", 110),
        12: ("Q4_K", 144),
        13: ("Q5_K", 176),
        14: ("Q6_K", 210),
        15: ("Q8_K", 292),
        16: ("IQ2_XXS", 66),
        17: ("IQ2_XS", 74),
        18: ("IQ3_XXS", 98),
        19: ("IQ1_S", 50),
        21: ("IQ3_S", 110),
        22: ("IQ2_S", 82),
        23: ("IQ4_XS", 136),
        29: ("IQ1_M", 56),
        34: ("TQ1_0", 54),
        35: ("TQ2_0", 66),
    },
}
#: Tensor types: name, elements of a block, bytes of a block.
TENSOR_TYPES = {
    kind: (name, elements, size)
    for elements, kinds in _BLOCKS.items()
    for kind, (name, size) in kinds.items()
}
