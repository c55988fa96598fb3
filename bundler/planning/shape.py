"""The shape of a decoder, as its config.json gives it, and the parameters that follow from it, exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bundler.core.errors import ManifestInvalid

QK_NORM = frozenset({"qwen3", "qwen3_moe"})
QKV_BIAS = frozenset({"qwen2"})  # Qwen2 and 2.5 have it and no key for it (transformers, modeling_qwen2.py)
KNOWN = frozenset({"qwen2", "qwen3", "qwen3_moe", "llama", "mistral"})


LARGEST = 10**6
"""No size of a decoder is above it: the widest vocabularies have some 260,000 entries."""
FARTHEST = 10**9
"""Nor its positions above this: Qwen2.5-7B-Instruct-1M has 1,010,000."""


class ShapeUnknown(ManifestInvalid):
    """A config.json is not of a decoder that we can count."""


class NotCounted(ShapeUnknown):
    """A config.json is well, and of an architecture that no formula is written for."""


@dataclass(frozen=True, slots=True)
class DecoderShape:
    """What memory depends on; sizes in elements. `experts` is 0 for a dense model.

    `stretched`: the config scales its positions, so that `max_positions` is not how far it reaches.
    """

    model_type: str
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    tied: bool
    qk_norm: bool
    qkv_bias: bool
    o_bias: bool
    mlp_bias: bool
    experts: int = 0
    experts_per_token: int = 0
    expert_intermediate: int = 0
    moe_layers: int = 0
    max_positions: int = 0
    stretched: bool = False

    @classmethod
    def parse(cls, config: Mapping[str, Any]) -> DecoderShape:
        """From the members of a config.json. Raises ShapeUnknown."""
        kind = str(config.get("model_type"))
        if kind not in KNOWN:
            raise NotCounted(
                f"the memory of a model of type {kind!r} can't be planned",
                because=f"its config.json is none of {', '.join(sorted(KNOWN))}",
                hint="bundle build MANIFEST   # goes on without a plan of the memory",
            )
        layers, heads, hidden = (
            _size(config, key) for key in ("num_hidden_layers", "num_attention_heads", "hidden_size")
        )
        bias = bool(config.get("attention_bias", False))
        experts = _size(config, "num_experts", 0) if kind == "qwen3_moe" else 0
        step, dense = _size(config, "decoder_sparse_step", 1), config.get("mlp_only_layers") or []
        if not isinstance(dense, list):
            raise _odd("mlp_only_layers", dense, "a list")
        return cls(
            kind,
            hidden,
            _size(config, "intermediate_size"),
            layers,
            heads,
            _size(config, "num_key_value_heads", heads),
            _size(config, "head_dim", max(1, hidden // heads)),
            _size(config, "vocab_size"),
            bool(config.get("tie_word_embeddings", False)),
            kind in QK_NORM,
            bias or kind in QKV_BIAS,
            bias and kind not in QKV_BIAS,
            bool(config.get("mlp_bias", False)),
            experts,
            _size(config, "num_experts_per_tok") if experts else 0,
            _size(config, "moe_intermediate_size") if experts else 0,
            sum(experts > 0 and layer not in dense and (layer + 1) % step == 0 for layer in range(layers)),
            _size(config, "max_position_embeddings", 0, FARTHEST),
            bool(config.get("rope_scaling")),
        )

    @property
    def q(self) -> int:
        return self.heads * self.head_dim

    @property
    def kv(self) -> int:
        return self.kv_heads * self.head_dim

    @property
    def embedding(self) -> int:
        """Elements of the embedding, and of lm_head where it is not tied."""
        return self.vocab * self.hidden

    def _linear(self) -> list[tuple[int, int, int]]:
        """(inputs, outputs, how many) of every linear layer but lm_head."""
        dense, moe, h = self.layers - self.moe_layers, self.moe_layers, self.hidden
        expert, count = self.expert_intermediate, moe * self.experts
        return [
            (h, self.q, self.layers),
            (h, self.kv, 2 * self.layers),
            (self.q, h, self.layers),
            (h, self.intermediate, 2 * dense),
            (self.intermediate, h, dense),
            (h, self.experts, moe),
            (h, expert, 2 * count),
            (expert, h, count),
        ]

    @property
    def linear(self) -> int:
        """Elements of the weights of all linear layers but lm_head, biases left out."""
        return sum(inputs * outputs * count for inputs, outputs, count in self._linear())

    @property
    def linear_count(self) -> int:
        return sum(count for _, _, count in self._linear())

    @property
    def widest_linear(self) -> int:
        return max(inputs * outputs for inputs, outputs, count in self._linear() if count)

    @property
    def other(self) -> int:
        """Elements of norms and biases."""
        norms = (2 * self.layers + 1) * self.hidden + (2 * self.layers * self.head_dim if self.qk_norm else 0)
        biases = self.layers * ((self.q + 2 * self.kv) * self.qkv_bias + self.hidden * self.o_bias)
        return norms + biases + self.layers * self.mlp_bias * (2 * self.intermediate + self.hidden)

    @property
    def parameters(self) -> int:
        """All parameters, a tied lm_head once."""
        return self.linear + self.other + self.embedding * (1 if self.tied else 2)

    @property
    def active_intermediate(self) -> int:
        """Intermediate elements that one token passes through in the widest layer."""
        routed = self.experts_per_token * self.expert_intermediate if self.moe_layers else 0
        return max(routed, self.intermediate if self.moe_layers < self.layers else 0)

    def lora(self, rank: int) -> int:
        """Elements of adapters of this rank on all linear layers but lm_head."""
        return sum(rank * (inputs + outputs) * count for inputs, outputs, count in self._linear())


def _size(config: Mapping[str, Any], key: str, default: int | None = None, most: int = LARGEST) -> int:
    """A size of a config.json; null counts as left out. Raises ShapeUnknown for what is no size of a decoder."""
    value = config.get(key)
    value = default if value is None else value
    least = 0 if default == 0 else 1
    if type(value) is not int or not least <= value <= most:
        raise _odd(key, config.get(key), f"a whole number from {least} to {most}")
    return value


def _odd(key: str, found: object, expected: str) -> ShapeUnknown:
    said = "is not there" if found is None else f"is {str(found)[:40]}"
    return ShapeUnknown(
        "a config.json does not give the shape of its model", because=f"{key} {said}, and should be {expected}"
    )
