"""What LLaMA-Factory is told: nothing dropped silently, nothing lost by a crash, nothing asked of a hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from manifest_cases import REMOVED, manifest

from bundler.manifest.lock import Mount, Workload
from bundler.manifest.rules.arguments import ARGUMENTS
from bundler.workloads.deepspeed import configuration
from bundler.workloads.flat_yaml import document, value
from bundler.workloads.graph import workloads

CPU = {"target": REMOVED, "serve.tensor_parallel": 1}


def jobs(directory: Path, changes: dict[str, Any]) -> dict[str, Workload]:
    return {workload.name: workload for workload in workloads(manifest(directory, changes))}


def arguments(directory: Path, changes: dict[str, Any]) -> dict[str, Any]:
    """train.yaml as LLaMA-Factory 0.9.3 reads it: with PyYAML, YAML 1.1."""
    read: dict[str, Any] = yaml.safe_load(jobs(directory, changes)["train"].files["train.yaml"])
    return read


def test_train_then_merge_then_serve_each_on_what_the_one_before_left(tmp_path: Path) -> None:
    found = jobs(tmp_path, {})
    assert list(found) == ["train", "merge", "serve"]
    assert found["train"].command == ("llamafactory-cli", "train", "/bundle/config/train.yaml")
    assert found["merge"].command == ("llamafactory-cli", "export", "/bundle/config/merge.yaml")
    assert Mount("results/train", "/bundle/adapter") in found["merge"].mounts
    assert found["serve"].mounts == (Mount("results/merge", "/bundle/model"),)


@pytest.mark.parametrize("method", ["full", "freeze"])
def test_a_method_that_trains_the_weights_needs_no_merge(tmp_path: Path, method: str) -> None:
    found = jobs(tmp_path, {"train.method": method})
    assert list(found) == ["train", "serve"]
    assert found["serve"].mounts == (Mount("results/train", "/bundle/model"),)
    assert not [key for key in arguments(tmp_path, {"train.method": method}) if key.startswith("lora")]


def test_a_job_that_died_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    assert "overwrite_output_dir" not in arguments(tmp_path, {})


def test_no_job_asks_a_hub(tmp_path: Path) -> None:
    for workload in jobs(tmp_path, {}).values():
        assert (
            workload.environment.items()
            >= {
                "HF_HUB_OFFLINE": "1",
                "TRANSFORMERS_OFFLINE": "1",
                "HF_DATASETS_OFFLINE": "1",
                "HOME": "/tmp",
            }.items()
        )
        assert "DISABLE_VERSION_CHECK" not in workload.environment


@pytest.mark.parametrize(
    ("changes", "processes"),
    [
        ({}, "4"),
        ({"target.count": 1, "serve.tensor_parallel": 1}, None),
        ({"target.count": 1, "serve.tensor_parallel": 1, "train.deepspeed": "z2"}, "1"),
        (CPU, None),
    ],
)
def test_training_runs_under_torchrun_when_it_must(
    tmp_path: Path, changes: dict[str, Any], processes: str | None
) -> None:
    environment = jobs(tmp_path, changes)["train"].environment
    assert environment.get("NPROC_PER_NODE") == processes
    assert environment.get("FORCE_TORCHRUN") == ("1" if processes else None)


@pytest.mark.parametrize(
    ("changes", "numbers", "merged"),
    [
        ({}, (True, False), "bfloat16"),
        ({"target.gpu": "T10"}, (False, True), "float16"),
        ({"train.precision": "fp32"}, (False, False), "float32"),
        (CPU, (False, False), "float32"),
    ],
)
def test_numbers_are_those_that_the_target_has(
    tmp_path: Path, changes: dict[str, Any], numbers: tuple[bool, bool], merged: str
) -> None:
    train = arguments(tmp_path, changes)
    assert (train["bf16"], train["fp16"]) == numbers
    assert train.get("use_cpu", False) == (changes is CPU)
    assert yaml.safe_load(jobs(tmp_path, changes)["merge"].files["merge.yaml"])["infer_dtype"] == merged


@pytest.mark.parametrize(("version", "method"), [("0.9.2", "bitsandbytes"), ("0.9.3", "bnb"), ("0.9.5", "bnb")])
def test_a_quantized_model_is_really_quantized_whatever_the_version_calls_it(
    tmp_path: Path, version: str, method: str
) -> None:
    model = {"models.base.huggingface": "Qwen/Qwen2.5-7B", "train.template": "qwen"}
    train = arguments(tmp_path, {**model, "train.llamafactory": version, "train.quantization": "nf4"})
    assert (train["quantization_bit"], train["quantization_method"], train["double_quantization"]) == (4, method, True)


def test_the_merge_reads_the_model_unquantized_because_an_adapter_does_not_merge_into_a_quantized_one(
    tmp_path: Path,
) -> None:
    assert "quantization" not in jobs(tmp_path, {"train.quantization": "nf4"})["merge"].files["merge.yaml"]


def test_every_column_and_tag_is_spelled_out_so_that_no_sample_is_dropped(tmp_path: Path) -> None:
    dataset = {
        "path": "chats.jsonl",
        "formatting": "sharegpt",
        "columns": {"messages": "turns"},
        "tags": {"role_tag": "role"},
    }
    changes = {"datasets.chats": dataset, "train.datasets": ["pumps", "chats", "pumps"]}
    info = json.loads(jobs(tmp_path, changes)["train"].files["dataset_info.json"])
    assert list(info) == ["chats", "pumps"]
    assert (len(info["chats"]["columns"]), len(info["chats"]["tags"])) == (13, 7)
    assert info["chats"]["columns"]["messages"] == "turns"
    assert info["chats"]["tags"] == {
        "role_tag": "role",
        "content_tag": "value",
        "user_tag": "human",
        "assistant_tag": "gpt",
        "observation_tag": "observation",
        "function_tag": "function_call",
        "system_tag": "system",
    }
    assert info["chats"]["file_name"] == "/bundle/data/chats/chats.jsonl"
    assert arguments(tmp_path, changes)["dataset"] == "pumps,chats"


def test_a_directory_of_data_is_read_as_a_directory(tmp_path: Path) -> None:
    info = json.loads(jobs(tmp_path, {"datasets.pumps.path": "all.pumps/"})["train"].files["dataset_info.json"])
    assert info["pumps"]["file_name"] == "/bundle/data/pumps"


def test_extra_arguments_reach_llamafactory_and_win_over_what_has_no_key(tmp_path: Path) -> None:
    extra = {
        "report_to": "tensorboard",
        "disable_shuffling": True,
        "loraplus_lr_ratio": None,
        "ray_init_kwargs": {"a": 1e-7},
    }
    assert arguments(tmp_path, {"train.extra": extra}).items() >= extra.items()


@pytest.mark.parametrize(
    "changes",
    [
        {"train.quantization": "nf4", "train.deepspeed": "z3", "train.warmup_ratio": 0.1},
        {"train.method": "full", "train.max_steps": 3},
        CPU,
    ],
)
def test_no_argument_that_we_set_can_be_set_a_second_time_by_extra(tmp_path: Path, changes: dict[str, Any]) -> None:
    free = {"plot_loss", "report_to", "ddp_timeout"}
    assert arguments(tmp_path, changes).keys() - free <= ARGUMENTS.keys()


@pytest.mark.parametrize(
    ("name", "stage", "offloaded"),
    [
        ("z0", 0, set()),
        ("z2", 2, set()),
        ("z2-offload", 2, {"offload_optimizer"}),
        ("z3", 3, set()),
        ("z3-offload", 3, {"offload_optimizer", "offload_param"}),
    ],
)
def test_the_deepspeed_file_is_there_and_is_what_its_name_says(
    tmp_path: Path, name: str, stage: int, offloaded: set[str]
) -> None:
    workload = jobs(tmp_path, {"train.deepspeed": name})["train"]
    assert yaml.safe_load(workload.files["train.yaml"])["deepspeed"] == "/bundle/config/deepspeed.json"
    zero = json.loads(workload.files["deepspeed.json"])["zero_optimization"]
    assert zero["stage"] == stage
    assert {key for key in zero if key.startswith("offload")} == offloaded
    assert workload.files["deepspeed.json"] == configuration(name)


def test_quantized_parameters_are_not_offloaded(tmp_path: Path) -> None:
    """QLoRA with offload: the optimizer moves to the host, the 4-bit parameters stay on the GPUs."""
    workload = jobs(tmp_path, {"train.quantization": "nf4", "train.deepspeed": "z3-offload"})["train"]
    zero = json.loads(workload.files["deepspeed.json"])["zero_optimization"]
    assert {key for key in zero if key.startswith("offload")} == {"offload_optimizer"}


def test_zero_3_leaves_weights_that_others_can_read() -> None:
    assert json.loads(configuration("z3"))["zero_optimization"]["stage3_gather_16bit_weights_on_model_save"] is True


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(JSON)
def test_what_is_written_is_what_yaml_1_1_reads_back(member: Any) -> None:
    assert yaml.safe_load(f"key: {value(member)}\n") == {"key": member}


@given(st.dictionaries(st.text(min_size=1), JSON))
def test_a_whole_document_is_read_back_as_it_was(members: dict[str, Any]) -> None:
    assert (yaml.safe_load(document(members)) or {}) == members


@pytest.mark.parametrize(
    ("number", "written"),
    [(1e-4, "1.0e-4"), (5e-3, "5.0e-3"), (2.5e-5, "2.5e-5"), (0.1, "0.1"), (3.0, "3.0"), (0.0, "0.0")],
)
def test_a_learning_rate_is_written_as_a_number_that_llamafactory_reads_as_one(number: float, written: str) -> None:
    assert value(number) == written


RANKED = {"datasets.pumps.ranking": True, "datasets.pumps.columns": {"chosen": "good", "rejected": "bad"}}
REWARD = {"train.stage": "rm", "serve.model": "base", **RANKED}


def test_a_reward_model_is_not_merged_since_the_merge_would_lose_its_value_head(tmp_path: Path) -> None:
    assert list(jobs(tmp_path, REWARD)) == ["train", "serve"]


def test_a_reward_model_that_died_starts_over_since_llamafactory_cannot_go_on_from_its_checkpoints(
    tmp_path: Path,
) -> None:
    found = arguments(tmp_path, REWARD)
    assert found["save_strategy"] == "no"
    assert "save_steps" not in found


def test_a_crash_leaves_an_older_whole_checkpoint_beside_a_spoilt_one(tmp_path: Path) -> None:
    found = arguments(tmp_path, {})
    assert found["save_total_limit"] >= 2
    assert "save_only_model" not in found


def test_fsdp_is_launched_by_accelerate_and_shards_over_all_gpus(tmp_path: Path) -> None:
    workload = jobs(tmp_path, {"train.fsdp": "full-offload"})["train"]
    assert workload.command[:4] == ("accelerate", "launch", "--config_file", "/bundle/config/accelerate.yaml")
    assert workload.command[4:] == ("-m", "llamafactory.launcher", "/bundle/config/train.yaml")
    assert "FORCE_TORCHRUN" not in workload.environment
    config = yaml.safe_load(workload.files["accelerate.yaml"])
    assert (config["distributed_type"], config["num_processes"], config["mixed_precision"]) == ("FSDP", 4, "bf16")
    assert config["fsdp_config"]["fsdp_sharding_strategy"] == "FULL_SHARD"
    assert config["fsdp_config"]["fsdp_offload_params"] is True
    assert "fsdp_transformer_layer_cls_to_wrap" not in config["fsdp_config"]


def test_numbers_that_are_not_mixed_are_no_boolean_to_accelerate(tmp_path: Path) -> None:
    workload = jobs(tmp_path, {"train.fsdp": "full", "train.precision": "fp32"})["train"]
    assert yaml.safe_load(workload.files["accelerate.yaml"])["mixed_precision"] == "no"


def test_data_that_is_held_back_is_also_measured_on(tmp_path: Path) -> None:
    found = arguments(tmp_path, {"train.val_size": 0.1, "train.save_steps": 70})
    assert (found["val_size"], found["eval_strategy"], found["eval_steps"]) == (0.1, "steps", 70)


def test_data_to_measure_on_crosses_the_gap_too(tmp_path: Path) -> None:
    changes = {"datasets.others": {"path": "others.json"}, "train.eval_datasets": ["others"]}
    workload = jobs(tmp_path, changes)["train"]
    assert Mount("datasets/others", "/bundle/data/others") in workload.mounts
    assert "others" in json.loads(workload.files["dataset_info.json"])


def test_a_merged_model_keeps_the_positions_that_it_was_trained_with(tmp_path: Path) -> None:
    merged = jobs(tmp_path, {"train.cutoff_len": 65536, "train.rope_scaling": "yarn"})["merge"].files["merge.yaml"]
    assert yaml.safe_load(merged).items() >= {"rope_scaling": "yarn", "cutoff_len": 65536}.items()


def test_curves_stay_with_the_results_and_ask_for_no_key(tmp_path: Path) -> None:
    found = arguments(tmp_path, {"train.swanlab": {}})
    assert (found["swanlab_mode"], found["swanlab_logdir"]) == ("offline", "/bundle/output/swanlog")
    assert not [key for key in found if "api_key" in key]
