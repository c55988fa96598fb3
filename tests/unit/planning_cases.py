"""Trainings and models to plan, for tests of what must hold of all of them."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import strategies as st

from bundler.planning import DecoderShape, TrainingSetting

CONFIGS = Path(__file__).parents[1] / "fixtures/configs"


def shape_of(name: str, layers: int | None = None) -> DecoderShape:
    """Of a model whose config.json lies in the fixtures, with fewer layers where they are named."""
    config = json.loads((CONFIGS / name / "config.json").read_text())
    return DecoderShape.parse(config | ({"num_hidden_layers": layers} if layers else {}))


TRAININGS = st.builds(
    TrainingSetting,
    method=st.sampled_from(["full", "freeze", "lora", "qlora"]),
    batch=st.integers(1, 32),
    cutoff_len=st.integers(16, 32768),
    rank=st.integers(1, 256),
    checkpointing=st.booleans(),
    liger=st.booleans(),
    sharding=st.sampled_from(["none", "z0", "z2", "z3", "fsdp"]),
    offload=st.booleans(),
    world=st.sampled_from([1, 2, 8]),
    stage=st.sampled_from(["pt", "sft", "rm", "dpo", "kto"]),
    reference=st.booleans(),
)
REAL_SHAPES = st.sampled_from(sorted(path.name for path in CONFIGS.iterdir())).map(shape_of)
ANY_SHAPES = st.builds(
    lambda layers, head, hidden, intermediate, vocab, tied, norm: DecoderShape(
        "qwen3", hidden, intermediate, layers, *head, 128, vocab, tied, norm, not norm, False, False
    ),
    st.integers(1, 96),
    st.sampled_from([(8, 2), (16, 8), (32, 8), (40, 8), (64, 8), (28, 4)]),
    st.integers(8, 96).map(lambda count: count * 128),
    st.integers(8, 256).map(lambda count: count * 128),
    st.integers(1000, 260_000),
    st.booleans(),
    st.booleans(),
)
