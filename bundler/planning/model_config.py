"""A model's config.json, as far as plans read it: the decoder's shape, the width of its numbers, its quantization."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bundler.planning.serving_memory import BYTES, FOUR_BITS
from bundler.planning.shape import KNOWN, DecoderShape, NotCounted

_WIDTHS = {"float32": 4, "float": 4, "float16": 2, "half": 2, "bfloat16": 2}


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """`shape` is None for an architecture that is not counted, and `why` then says so.

    `dtype_bytes` is the width of a number in the model's files; `quantization` is vLLM's word for how its linear
    layers are quantized there already, with the bits where they are not four; None where they are not quantized.
    """

    shape: DecoderShape | None
    why: str = ""
    dtype_bytes: int = 2
    quantization: str | None = None

    @classmethod
    def parse(cls, config: Mapping[str, Any]) -> ModelConfig:
        """From the members of a config.json. Raises ShapeUnknown where it is of no model at all.

        transformers writes `torch_dtype`, from 4.56 on `dtype`; where neither is there the files are taken for 16 bits.
        """
        quantized = config.get("quantization_config")
        method = _method(quantized) if isinstance(quantized, Mapping) else None
        width = _WIDTHS.get(str(config.get("torch_dtype") or config.get("dtype")), 2)
        try:
            return cls(DecoderShape.parse(config), "", width, method)
        except NotCounted:
            why = f"its type {str(config.get('model_type'))[:40]!r} is none of {', '.join(sorted(KNOWN))}"
            return cls(None, why, width, method)

    def file_bytes(self) -> int | None:
        """Bytes of the model's weights in files; None where they can't be counted.

        A tied lm_head is written once. Quantized layers are as wide as vLLM reads them, embedding and lm_head are not
        quantized.
        """
        if self.shape is None or (self.quantization and self.quantization not in BYTES):
            return None
        width = BYTES[self.quantization] if self.quantization else self.dtype_bytes
        rest = (self.shape.parameters - self.shape.linear) * self.dtype_bytes
        return round(self.shape.linear * width) + rest


def _method(quantized: Mapping[str, Any]) -> str:
    """The method that a quantization_config names; AWQ and GPTQ state their bits, bitsandbytes whether it is 8."""
    method = str(quantized.get("quant_method"))
    bits = quantized.get("bits", 8 if method == "bitsandbytes" and quantized.get("load_in_8bit") is True else 4)
    return method if bits == 4 or method not in FOUR_BITS else f"{method}, {bits!r:.8} bits"
