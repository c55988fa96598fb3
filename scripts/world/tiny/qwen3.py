"""A random Qwen3: the architecture's names and shapes, 123 thousand parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scripts.world.tiny.tensors import Tensor

_SEED = 7


@dataclass(frozen=True)
class Qwen3Shape:
    """`spread` is the standard deviation of the initial weights: 0.25 is what lets so small a model learn."""

    vocabulary: int
    hidden: int = 64
    layers: int = 2
    heads: int = 4
    kv_heads: int = 2
    head: int = 32
    intermediate: int = 128
    positions: int = 512
    spread: float = 0.25


def shards(shape: Qwen3Shape) -> list[dict[str, Tensor]]:
    """The weights, first the embedding and half of the layers, then the rest."""
    # RandomState's stream is frozen by NumPy (NEP 19), so the files have the same hashes everywhere.
    random = np.random.RandomState(_SEED)

    def matrix(rows: int, columns: int) -> Tensor:
        return (random.standard_normal((rows, columns)) * shape.spread).astype(np.float32)

    def ones(size: int) -> Tensor:
        return np.ones(size, dtype=np.float32)

    def layer(number: int) -> dict[str, Tensor]:
        queries, keys = shape.heads * shape.head, shape.kv_heads * shape.head
        weights = {
            "input_layernorm": ones(shape.hidden),
            "self_attn.q_proj": matrix(queries, shape.hidden),
            "self_attn.k_proj": matrix(keys, shape.hidden),
            "self_attn.v_proj": matrix(keys, shape.hidden),
            "self_attn.o_proj": matrix(shape.hidden, queries),
            "self_attn.q_norm": ones(shape.head),
            "self_attn.k_norm": ones(shape.head),
            "post_attention_layernorm": ones(shape.hidden),
            "mlp.gate_proj": matrix(shape.intermediate, shape.hidden),
            "mlp.up_proj": matrix(shape.intermediate, shape.hidden),
            "mlp.down_proj": matrix(shape.hidden, shape.intermediate),
        }
        return {f"model.layers.{number}.{name}.weight": values for name, values in weights.items()}

    first = {"model.embed_tokens.weight": matrix(shape.vocabulary, shape.hidden)}
    second: dict[str, Tensor] = {}
    for number in range(shape.layers):
        (first if number < shape.layers // 2 else second).update(layer(number))
    second["model.norm.weight"] = ones(shape.hidden)
    return [first, second]


def config(shape: Qwen3Shape, *, bos: int, eos: int) -> dict[str, object]:
    """config.json as the published Qwen3 repositories write it (transformers 4.51)."""
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": bos,
        "eos_token_id": eos,
        "head_dim": shape.head,
        "hidden_act": "silu",
        "hidden_size": shape.hidden,
        "initializer_range": shape.spread,
        "intermediate_size": shape.intermediate,
        "max_position_embeddings": shape.positions,
        "max_window_layers": shape.layers,
        "model_type": "qwen3",
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "num_key_value_heads": shape.kv_heads,
        "rms_norm_eps": 1e-06,
        "rope_scaling": None,
        "rope_theta": 10000,
        "sliding_window": None,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.51.0",
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": shape.vocabulary,
    }


def generation_config(*, bos: int, eos: int) -> dict[str, object]:
    """Greedy, so that an answer can be asserted on."""
    return {
        "bos_token_id": bos,
        "do_sample": False,
        "eos_token_id": [eos, bos],
        "pad_token_id": bos,
        "transformers_version": "4.51.0",
    }
