"""Writing safetensors by hand: a length, a JSON header, and the bytes (safetensors format, README)."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Tensor: TypeAlias = npt.NDArray[np.float32]
_ALIGNMENT = 8


def bfloat16(values: Tensor) -> bytes:
    """The upper half of each float32, rounded to nearest, ties to even; little-endian."""
    bits = values.astype("<f4").view("<u4").astype(np.uint64)
    rounded = bits + 0x7FFF + ((bits >> 16) & 1)
    return (rounded >> 16).astype("<u2").tobytes()


def safetensors(tensors: Mapping[str, Tensor]) -> bytes:
    """A whole file; tensors lie in the order of the mapping."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    bodies = []
    offset = 0
    for name, values in tensors.items():
        body = bfloat16(values)
        bodies.append(body)
        end = offset + len(body)
        header[name] = {"dtype": "BF16", "shape": list(values.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return struct.pack("<Q", len(text)) + text + b"".join(bodies)
