"""What vLLM is told, whole: a wrong flag is an exit behind the gap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from manifest_cases import REMOVED, manifest

from bundler.manifest.lock import Mount, Question, Workload
from bundler.workloads.graph import question, workloads

CPU = {"target": REMOVED, "serve.tensor_parallel": 1}
SERVE = ("vllm", "serve", "/bundle/model", "--served-model-name", "tuned", "--host", "0.0.0.0", "--port", "8000")


def serve(directory: Path, changes: dict[str, Any]) -> Workload:
    return next(workload for workload in workloads(manifest(directory, changes)) if workload.name == "serve")


def test_all_of_a_command(tmp_path: Path) -> None:
    options = {
        "dtype": "half",
        "quantization": "fp8",
        "max_model_len": 512,
        "max_num_seqs": 4,
        "pipeline_parallel": 2,
        "tensor_parallel": 2,
        "gpu_memory_utilization": 0.85,
        "enforce_eager": True,
        "reasoning_parser": "granite",
    }
    assert serve(tmp_path, {f"serve.{key}": value for key, value in options.items()}).command == (
        *SERVE, "--tensor-parallel-size", "2", "--pipeline-parallel-size", "2", "--dtype", "half", "--quantization",
        "fp8", "--max-model-len", "512", "--max-num-seqs", "4", "--gpu-memory-utilization", "0.85",
        "--enable-reasoning", "--reasoning-parser", "granite", "--enforce-eager",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("version", "flags"),
    [
        ("0.8.5.post1", ("--enable-reasoning", "--reasoning-parser", "deepseek_r1")),
        ("0.9.2", ("--reasoning-parser", "qwen3")),
        ("0.32.0", ("--reasoning-parser", "qwen3")),
    ],
)
def test_the_reasoning_parser_follows_the_pinned_version(tmp_path: Path, version: str, flags: tuple[str, ...]) -> None:
    image = {"images.serve.registry": f"vllm/vllm-openai:v{version}", "serve.vllm": version}
    assert serve(tmp_path, {**image, "serve.reasoning_parser": "qwen3"}).command[-len(flags) :] == flags


def test_a_gpu_without_bfloat16_serves_in_half_without_being_told(tmp_path: Path) -> None:
    assert "--dtype half" in " ".join(serve(tmp_path, {"target.gpu": "T10"}).command)
    assert "--dtype" not in serve(tmp_path, {}).command
    assert "--dtype auto" in " ".join(serve(tmp_path, {"target.gpu": "T10", "serve.dtype": "auto"}).command)


def test_on_the_cpu_nothing_is_said_of_gpus(tmp_path: Path) -> None:
    workload = serve(tmp_path, CPU)
    assert workload.command == SERVE
    assert workload.gpus == 0
    assert workload.environment["VLLM_CPU_KVCACHE_SPACE"] == "1"


def test_nothing_is_reported_to_anybody(tmp_path: Path) -> None:
    assert serve(tmp_path, {}).environment.items() >= {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}.items()


def test_a_service_takes_as_many_gpus_as_it_splits_over_and_answers_where_it_should(tmp_path: Path) -> None:
    changes = {"serve.tensor_parallel": 2, "serve.pipeline_parallel": 2, "serve.port": 9000, "serve.bind": "0.0.0.0"}
    workload = serve(tmp_path, changes)
    assert (workload.gpus, workload.port, workload.bind, workload.health) == (4, 9000, "0.0.0.0", "/health")
    assert workload.is_service


@pytest.mark.parametrize(
    ("extra", "flags"),
    [
        ({"enable-lora": True}, ("--enable-lora",)),
        ({"enable_prefix_caching": False}, ("--no-enable-prefix-caching",)),
        ({"max-lora-rank": 64}, ("--max-lora-rank", "64")),
        ({"lora-modules": ["a=/x", "b=/y"]}, ("--lora-modules", "a=/x", "b=/y")),
        ({"rope-scaling": {"factor": 2.0}}, ("--rope-scaling", '{"factor": 2.0}')),
        ({"--seed": 0}, ("--seed", "0")),
    ],
)
def test_further_flags_are_passed_as_vllm_reads_them(
    tmp_path: Path, extra: dict[str, Any], flags: tuple[str, ...]
) -> None:
    assert serve(tmp_path, {**CPU, "serve.extra": extra}).command == (*SERVE, *flags)


def test_further_services_come_last_and_serve_what_they_name(tmp_path: Path) -> None:
    other = {"image": "serve", "vllm": "0.8.5.post1", "model": "base", "name": "raw", "port": 8001}
    last = workloads(manifest(tmp_path, {**CPU, "services": {"raw": other}}))[-1]
    assert (last.name, last.port, last.mounts) == ("raw", 8001, (Mount("models/base", "/bundle/model"),))


def test_the_question_goes_to_serve_under_the_name_that_it_answers_to(tmp_path: Path) -> None:
    assert question(manifest(tmp_path, {})) == Question("serve", "tuned", "Which pump?", 64)
    longer = {"ask": {"text": "Why?", "max_tokens": 512}}
    assert question(manifest(tmp_path, longer)) == Question("serve", "tuned", "Why?", 512)
    assert question(manifest(tmp_path, {"ask": REMOVED})) is None
