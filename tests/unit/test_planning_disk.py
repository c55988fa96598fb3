"""A disk that fills behind the gap ends a training of days; a time that is wrong lets people miss the courier."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundler.planning import DecoderShape, TrainingSetting, train_memory
from bundler.planning.checkpoints import (
    checkpoint_bytes,
    merged_bytes,
    most_checkpoints,
    trained_parameters,
    weights_bytes,
)
from bundler.planning.disk import Image, Part, Payload, machines
from bundler.planning.duration import Rate, duration
from bundler.planning.model_config import ModelConfig
from bundler.planning.shape import ShapeUnknown
from scripts.world.tiny import qwen3
from scripts.world.tiny.qwen3 import Qwen3Shape

CONFIGS = Path(__file__).parents[1] / "fixtures/configs"
TINY = DecoderShape.parse(qwen3.config(Qwen3Shape(vocabulary=384), bos=0, eos=1))
DEMO = TrainingSetting(rank=32, dtype="fp32")
EIGHT = DecoderShape.parse(json.loads((CONFIGS / "qwen3-8b/config.json").read_text()))
LORA = EIGHT.lora(8)


def test_what_the_demo_left_on_the_disk_is_what_was_predicted_but_for_headers() -> None:
    """Seen in results/ of the demo (LLaMA-Factory 0.9.5 on a CPU): adapter, optimizer.pt, merged model.safetensors."""
    adapter, optimizer, merged = 314_872, 646_171, 495_784
    assert 0.98 < weights_bytes(TINY, DEMO) / adapter <= 1
    assert 0.96 < checkpoint_bytes(TINY, DEMO) / (adapter + optimizer) <= 1
    assert 0.99 < merged_bytes(TINY, DEMO) / merged <= 1


SMALL = DecoderShape.parse(
    {
        "model_type": "qwen3",
        "hidden_size": 256,
        "intermediate_size": 768,
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 32,
        "vocab_size": 2048,
    }
)


@pytest.mark.parametrize(
    ("method", "stage", "weights", "rest"),
    [
        ("lora", "z0", 629_808, 2 * 1_874_245 + 667_225),
        ("lora", "z2", 629_808, 2 * 1_874_565 + 667_225),
        ("lora", "z3", 629_808, 2 * 1_871_813 + 2 * 56_957),
        ("full", "z2", 8_398_744, 2 * 25_186_821 + 8_408_089),
        ("full", "z3", 8_398_744, 2 * 25_186_437 + 2 * 24_705),
    ],
)
def test_what_deepspeed_wrote_is_what_was_predicted(method: str, stage: str, weights: int, rest: int) -> None:
    """Seen: one step of this model in bf16 on two CPU processes by the DeepSpeed files that a bundle carries, DeepSpeed
    0.16.9, transformers 4.51.3 and peft 0.15.2 (torch 2.13). Headers are some per cent of so small a model.
    """
    setting = TrainingSetting(method, rank=16, sharding=stage)  # type: ignore[arg-type]
    assert trained_parameters(SMALL, setting) == {"lora": 311_296, "full": 4_196_864}[method]
    assert 0.98 < weights_bytes(SMALL, setting) / weights <= 1
    assert 0.96 < checkpoint_bytes(SMALL, setting) / (weights + rest) <= 1


@pytest.mark.parametrize(
    ("setting", "weights", "checkpoint"),
    [
        (TrainingSetting("lora"), 4 * LORA, 12 * LORA),
        (TrainingSetting("qlora"), 4 * LORA, 12 * LORA),
        (TrainingSetting("lora", sharding="z2"), 2 * LORA, 16 * LORA),
        (TrainingSetting("lora", sharding="z3"), 2 * LORA, 14 * LORA),
        (TrainingSetting("lora", sharding="fsdp"), 4 * LORA, 16 * LORA),
        (TrainingSetting("full"), 4 * EIGHT.parameters, 12 * EIGHT.parameters),
        (TrainingSetting("full", pure=True), 2 * EIGHT.parameters, 6 * EIGHT.parameters),
        (TrainingSetting("full", sharding="z3"), 2 * EIGHT.parameters, 14 * EIGHT.parameters),
        (TrainingSetting("full", sharding="fsdp"), 4 * EIGHT.parameters, 16 * EIGHT.parameters),
    ],
)
def test_a_checkpoint_has_what_whoever_shares_the_training_writes(
    setting: TrainingSetting, weights: int, checkpoint: int
) -> None:
    assert weights_bytes(EIGHT, setting) == weights
    assert checkpoint_bytes(EIGHT, setting) == checkpoint


def test_a_frozen_model_is_saved_whole_in_every_checkpoint() -> None:
    setting = TrainingSetting("freeze")
    trained = trained_parameters(EIGHT, setting)
    assert weights_bytes(EIGHT, setting) == 2 * (EIGHT.parameters - trained) + 4 * trained


@pytest.mark.parametrize("method", ["full", "freeze", "lora", "qlora"])
def test_what_is_trained_is_what_the_memory_is_planned_for(method: str) -> None:
    setting = TrainingSetting(method)  # type: ignore[arg-type]
    states = train_memory(EIGHT, setting).breakdown["optimizer_states"]
    assert abs(8 * trained_parameters(EIGHT, setting) - states) <= 8 * EIGHT.layers


def test_the_checkpoint_that_is_being_written_lies_beside_those_that_are_kept() -> None:
    assert [most_checkpoints(2, written) for written in (0, 1, 2, 3, 40, None)] == [0, 1, 2, 3, 3, 3]


settings = st.builds(
    TrainingSetting,
    method=st.sampled_from(["full", "freeze", "lora", "qlora"]),
    rank=st.integers(1, 256),
    sharding=st.sampled_from(["none", "z0", "z2", "z3", "fsdp"]),
    pure=st.booleans(),
)


@given(settings)
def test_a_checkpoint_is_never_smaller_than_its_weights_and_grows_with_the_rank(setting: TrainingSetting) -> None:
    one = checkpoint_bytes(EIGHT, setting)
    assert one > weights_bytes(EIGHT, setting) > 0
    more = replace(setting, rank=setting.rank + 8)
    assert checkpoint_bytes(EIGHT, more) >= one


def test_the_node_has_the_store_the_images_again_unpacked_and_the_results_and_what_is_not_known_is_named() -> None:
    bundle = Payload(
        (Image(Part("image train", 100), built=True), Image(Part("image serve", None, "no lock"))),
        (Part("model base", 1000),),
        (Part("checkpoints", 7),),
    )
    builder, host, node = machines(bundle)
    assert (builder.bytes, host.bytes, node.bytes) == (1390, 1100, 1397)
    unknown = [(part.name, part.why) for part in node.parts if part.bytes is None]
    assert unknown == [("image serve", "no lock"), ("image serve, unpacked in the engine", "no lock")]


def test_an_image_whose_layers_are_known_is_not_guessed_from_its_gzip() -> None:
    image = Image(Part("image train", 100), unpacked=341)
    assert machines(Payload((image,)))[2].bytes == 441


def test_a_step_takes_its_known_bytes_at_the_stated_rate_and_says_what_is_not_in_it() -> None:
    parts = (Part("model base", 1_000_000), Part("image serve", None, "no lock"))
    step = duration("push", parts, {"push": Rate(500_000, "stated")})
    assert (step.seconds, step.rate.basis, step.without) == (2.0, "stated", ("image serve",))
    assert duration("build", parts, {"push": Rate(1, "stated")}).rate.basis == "assumed"


@pytest.mark.parametrize(
    ("name", "gigabytes"),
    [("qwen3-8b", 16.38), ("qwen3-14b", 29.54), ("qwen3-32b", 65.52), ("qwen3-0.6b", 1.19)],
)
def test_the_files_of_a_model_are_as_large_as_its_parameters(name: str, gigabytes: float) -> None:
    size = ModelConfig.parse(json.loads((CONFIGS / name / "config.json").read_text())).file_bytes()
    assert size is not None
    assert round(size / 1e9, 2) == gigabytes


def test_a_quantized_model_is_smaller_on_the_disk_and_one_quantized_otherwise_is_not_guessed() -> None:
    config = json.loads((CONFIGS / "qwen3-8b/config.json").read_text())
    sizes = {
        method: ModelConfig.parse(config | {"quantization_config": {"quant_method": method}}).file_bytes()
        for method in ("awq", "fp8", "mxfp4")
    }
    assert sizes["awq"] is not None
    assert sizes["fp8"] is not None
    assert sizes["awq"] < sizes["fp8"] < 2 * EIGHT.parameters
    assert sizes["mxfp4"] is None


def test_an_architecture_that_is_not_counted_is_no_error_and_a_config_without_sizes_is() -> None:
    config = ModelConfig.parse({"model_type": "deepseek_v3", "torch_dtype": "bfloat16"})
    assert config.shape is None
    assert config.file_bytes() is None
    assert "'deepseek_v3' is none of" in config.why
    with pytest.raises(ShapeUnknown):
        ModelConfig.parse({"model_type": "qwen3"})
