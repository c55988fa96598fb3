"""A memory plan that is wrong costs a day behind the gap: an out-of-memory there, or a GPU that was not needed."""

from __future__ import annotations

import json
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from planning_cases import ANY_SHAPES, CONFIGS, REAL_SHAPES, TRAININGS, shape_of

from bundler.planning import DecoderShape, MemoryPlan, TrainingSetting, train_memory
from bundler.planning.activations import repeated_kv
from bundler.planning.shape import ShapeUnknown

ROOT = Path(__file__).parents[2]
BY_TRAINER = [
    json.loads(line) for line in (ROOT / "docs/memory-measurements-llamafactory.jsonl").read_text().splitlines()
]
MEASURED = [json.loads(line) for line in (ROOT / "docs/memory-measurements.jsonl").read_text().splitlines()]


def error_of(run: dict[str, Any]) -> float:
    setting = TrainingSetting(
        run["method"], run["batch"], run["cutoff_len"], run["rank"], run["checkpointing"], run["liger"]
    )
    predicted = train_memory(shape_of(run["shape"], run.get("layers")), setting).peak_bytes
    return float(predicted / run["peak_bytes"] - 1)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("qwen3-0.6b", 596_049_920),
        ("qwen3-8b", 8_190_735_360),
        ("qwen3-14b", 14_768_307_200),
        ("qwen3-32b", 32_762_123_264),
        ("qwen2.5-7b", 7_615_616_512),
        ("llama-3.1-8b", 8_030_261_248),
        ("qwen3-30b-a3b", 30_532_122_624),
    ],
)
def test_the_parameters_of_a_model_are_counted_exactly(name: str, parameters: int) -> None:
    assert shape_of(name).parameters == parameters


@pytest.mark.parametrize("run", MEASURED, ids=lambda run: run["id"])
def test_a_prediction_stays_within_ten_percent_of_what_a_gpu_took(run: dict[str, Any]) -> None:
    assert abs(error_of(run)) < 0.10


def predicted(run: dict[str, Any]) -> MemoryPlan:
    """What is said of a training that LLaMA-Factory itself ran."""
    numbers = run["numbers"]
    setting = TrainingSetting(
        run["method"],
        run["batch"],
        run["cutoff_len"],
        run["rank"],
        run["checkpointing"],
        run["liger"],
        "bf16" if numbers == "pure_bf16" else numbers,
        pure=numbers == "pure_bf16",
        sharding="none" if run["parallel"] in ("none", "ddp") else run["parallel"],
        world=run["world"],
        frozen_kept=False,
    )
    return train_memory(shape_of(run["shape"], run.get("layers")), setting)


@pytest.mark.parametrize("run", BY_TRAINER, ids=lambda run: run["id"])
def test_what_the_trainer_itself_took_on_one_gpu_or_two_lies_in_the_interval(run: dict[str, Any]) -> None:
    plan = predicted(run)
    assert plan.low_bytes * 0.98 <= run["peak_bytes"] <= plan.high_bytes
    assert abs(plan.peak_bytes / run["peak_bytes"] - 1) < 0.05


def test_several_gpus_are_predicted_as_well_as_one() -> None:
    errors = [abs(predicted(run).peak_bytes / run["peak_bytes"] - 1) for run in BY_TRAINER if run["world"] > 1]
    assert len(errors) >= 15
    assert statistics.median(errors) < 0.01


@pytest.mark.parametrize("run", [run for run in MEASURED if run["method"] != "freeze"], ids=lambda run: run["id"])
def test_what_is_trained_is_counted_as_the_frameworks_count_it(run: dict[str, Any]) -> None:
    shape = shape_of(run["shape"], run.get("layers"))
    assert run["trainable"] == (shape.parameters if run["method"] == "full" else shape.lora(run["rank"]))


def test_the_median_error_on_runs_that_the_derivation_did_not_see_is_below_five_percent() -> None:
    assert statistics.median(abs(error_of(run)) for run in MEASURED if run["heldout"]) < 0.05


def test_a_model_that_reaches_a_million_tokens_is_planned() -> None:
    """Qwen2.5-7B-Instruct-1M states 1,010,000 positions."""
    config = json.loads((CONFIGS / "qwen2.5-7b/config.json").read_text())
    assert DecoderShape.parse(config | {"max_position_embeddings": 1_010_000}).max_positions == 1_010_000


def test_offloaded_gradients_are_not_taken_off_a_second_time() -> None:
    """FSDP's root has its part of gradients that the host holds: the end of backward was negative by it."""
    offloaded = TrainingSetting("full", sharding="fsdp", offload=True, world=2, cutoff_len=16, checkpointing=False)
    assert train_memory(shape_of("llama-3.1-8b"), offloaded).breakdown["gradients"] == 0


@pytest.mark.parametrize(("sharding", "method", "each"), [("z2", "full", 16), ("z3", "full", 18), ("fsdp", "full", 16)])
def test_what_is_offloaded_is_the_share_of_one_gpu_and_adds_up_to_what_the_node_must_have(
    sharding: Any, method: Any, each: int
) -> None:
    """Bytes a parameter, as DeepSpeed's own estimators have them (estimate_zero2_model_states, zero3)."""
    shape = shape_of("qwen3-8b")
    for world in (1, 2, 8):
        plan = train_memory(shape, TrainingSetting(method, sharding=sharding, offload=True, world=world))
        assert plan.host_bytes * world == pytest.approx(each * shape.parameters, rel=1e-6)


def test_a_model_whose_shape_is_unknown_is_named() -> None:
    with pytest.raises(ShapeUnknown, match="'mamba'"):
        DecoderShape.parse({"model_type": "mamba"})


@given(REAL_SHAPES | ANY_SHAPES, TRAININGS)
def test_more_batch_length_or_rank_never_takes_less(shape: DecoderShape, setting: TrainingSetting) -> None:
    peak = train_memory(shape, setting).peak_bytes
    for more in ({"batch": setting.batch + 1}, {"cutoff_len": setting.cutoff_len * 2}, {"rank": setting.rank + 8}):
        assert train_memory(shape, replace(setting, **more)).peak_bytes >= peak


@given(REAL_SHAPES | ANY_SHAPES, TRAININGS)
def test_a_peak_is_never_below_the_weights_and_lies_in_its_interval(
    shape: DecoderShape, setting: TrainingSetting
) -> None:
    plan = train_memory(shape, setting)
    assert plan.low_bytes <= plan.peak_bytes <= plan.high_bytes
    assert plan.high_bytes - repeated_kv(shape, setting) < plan.device_bytes * 1.2
    assert plan.peak_bytes > plan.breakdown["weights"] >= 0
    assert plan.breakdown["weights"] + plan.host_bytes > 0
    assert all(value >= 0 for value in (plan.low_bytes, plan.host_bytes, *plan.breakdown.values()))


@given(REAL_SHAPES, TRAININGS)
def test_checkpointing_and_sharding_never_take_more_activations(shape: DecoderShape, setting: TrainingSetting) -> None:
    one = replace(setting, world=1, sharding="none", frozen_kept=False)
    kept = train_memory(shape, replace(one, checkpointing=False)).peak_bytes
    assert train_memory(shape, replace(one, checkpointing=True)).peak_bytes <= kept * 1.3
