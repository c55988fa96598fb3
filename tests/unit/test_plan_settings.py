"""What `extra` says of memory: an argument that is overlooked there is gigabytes that a plan does not tell of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from manifest_cases import REMOVED, manifest
from planning_cases import CONFIGS, shape_of

from bundler.manifest.serving import VllmService
from bundler.operations.plan import plan
from bundler.operations.plan_settings import is_measured, quantization, training_setting
from bundler.planning import TrainingSetting, train_memory
from bundler.planning.checkpoints import weights_bytes
from bundler.planning.model_config import ModelConfig

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


@pytest.mark.parametrize(
    ("stated", "method"),
    [
        ({"quant_method": "gptq", "bits": 4}, "gptq"),
        ({"quant_method": "gptq", "bits": 8}, "gptq, 8 bits"),
        ({"quant_method": "awq"}, "awq"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "bitsandbytes, 8 bits"),
        ({"quant_method": "fp8"}, "fp8"),
        ({"quant_method": "gptq", "bits": "many"}, "gptq, 'many' bits"),
    ],
)
def test_files_of_eight_bits_are_not_taken_for_four(stated: dict[str, Any], method: str, tmp_path: Path) -> None:
    """Qwen2.5-7B-Instruct-GPTQ-Int8 would need twice what was planned."""
    config = json.loads((CONFIGS / "qwen3-8b/config.json").read_text())
    assert ModelConfig.parse(config | {"quantization_config": stated}).quantization == method
    service = manifest(tmp_path, {"serve.quantization": "gptq_marlin", "serve.model": "base"}).serve
    assert isinstance(service, VllmService)
    assert quantization(service, method) == (method if method.startswith("gptq") else "gptq_marlin")


@pytest.mark.parametrize(
    ("stated", "method", "planned"),
    [
        ({"quant_method": "awq", "bits": 4}, "lora", True),
        ({"quant_method": "gptq", "bits": 8}, "lora", False),
        ({"quant_method": "fp8"}, "lora", False),
        ({"quant_method": "awq", "bits": 4}, "full", False),
    ],
)
def test_an_adapter_on_quantized_files_is_not_refused_for_weights_of_sixteen_bits(
    stated: dict[str, Any], method: str, planned: bool, tmp_path: Path
) -> None:
    """Qwen3-32B-AWQ takes 17 GB, and 65 were planned; what is not counted is said to be, and refuses nothing."""
    config = json.loads((CONFIGS / "qwen3-32b/config.json").read_text()) | {"quantization_config": stated}
    (tmp_path / "config.json").write_text(json.dumps(config))
    changes = {"serve": REMOVED, "ask": REMOVED, "target.count": 1, "train.method": method}
    found = plan(manifest(tmp_path, changes), {"base": tmp_path / "config.json"}, {})
    assert found.fits
    assert (found.train is not None, "train" in found.not_planned) == (planned, not planned)
    if found.train:
        assert not found.train.measured
        assert 16 * 10**9 < found.train.per_gpu.breakdown["weights"] < 20 * 10**9
