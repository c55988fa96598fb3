"""What `extra` says of memory: an argument that is overlooked there is gigabytes that a plan does not tell of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from manifest_cases import REMOVED, manifest
from planning_cases import shape_of

from bundler.operations.plan_settings import is_measured, training_setting
from bundler.planning import TrainingSetting, train_memory
from bundler.planning.checkpoints import weights_bytes

EIGHT = shape_of("qwen3-8b")


@pytest.mark.parametrize(
    ("changes", "tables"),
    [
        ({"train.extra": {"additional_target": "embed_tokens,lm_head"}}, 2),
        ({"train.extra": {"additional_target": "lm_head"}}, 1),
        ({"train.extra": {"additional_target": ["embed_tokens", "norm"]}}, 1),
        ({"train.extra": {"resize_vocab": True}}, 2),
        ({"train.extra": {"resize_vocab": True}, "train.method": "full"}, 0),
        ({"train.extra": {"additional_target": None}}, 0),
    ],
)
def test_tables_that_are_trained_beside_an_adapter_are_counted(
    changes: dict[str, Any], tables: int, tmp_path: Path
) -> None:
    made = manifest(tmp_path, {"serve": REMOVED, "ask": REMOVED, **changes})
    assert made.train
    setting = training_setting(made.train, made.target)
    assert setting.tables == tables
    assert is_measured(made.train, TrainingSetting(tables=tables)) is not bool(tables)


def test_a_trained_table_has_weights_gradients_and_states_in_fp32_and_is_saved() -> None:
    bare, both = TrainingSetting("lora", 1, 512), TrainingSetting("lora", 1, 512, tables=2)
    table = EIGHT.embedding
    parts, more = train_memory(EIGHT, bare).breakdown, train_memory(EIGHT, both).breakdown
    assert more["adapter"] - parts["adapter"] == 2 * 4 * table
    assert more["optimizer_states"] - parts["optimizer_states"] == 2 * 8 * table
    assert weights_bytes(EIGHT, both) - weights_bytes(EIGHT, bare) == 2 * 4 * table
