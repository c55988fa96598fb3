"""What the plan predicts travels in the lock, so that the node compares its free memory with what the job needs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from manifest_cases import manifest
from node_cases import GIB, LOCK, NEEDS, facts, finding

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.events import Silence
from bundler.core.strict_json import MalformedJson
from bundler.manifest.loader import load
from bundler.manifest.lock import GpuMemory, Lock, LockedImage, Mount, Workload
from bundler.node.facts import GpuProcess
from bundler.node.findings import Severity
from bundler.node.needs import Needs
from bundler.operations import lock as locking
from bundler.operations.lock import lock
from bundler.operations.plan_settings import is_measured
from bundler.operations.release import fingerprints
from bundler.planning import TrainingSetting
from bundler.store.layout import Store

ROOT = Path(__file__).parents[2]
TRAINING = GpuMemory("train", 30 * GIB, 25 * GIB, 0, "measured")
JOB = (Workload("train", "train", "train", ("x",), gpus=4, shm=16 * GIB),)


def needs(*memory: GpuMemory, workloads: tuple[Workload, ...] = JOB) -> Needs:
    return replace(NEEDS, lock=replace(LOCK, workloads=workloads, memory=memory))


@pytest.mark.parametrize(
    ("free", "basis", "severity", "said"),
    [
        (44, "measured", Severity.PASS, "enough"),
        (28, "measured", Severity.WARN, "train with fragmentation takes about 32.2 GB"),
        (20, "measured", Severity.BLOCK, "train takes at least 26.8 GB"),
        (20, "formula", Severity.WARN, "train takes at least 26.8 GB"),
    ],
)
def test_a_gpu_without_room_for_the_training_is_told_before_it_is_loaded(
    free: int, basis: str, severity: Severity, said: str
) -> None:
    found = finding("gpu-memory-free", facts({"memory_free": free * GIB}), needs(replace(TRAINING, basis=basis)))
    assert found.severity is severity
    assert found.what.endswith(said)


def test_what_this_bundle_holds_itself_is_free_for_its_training() -> None:
    busy = facts({"memory_free": GIB, "processes": (GpuProcess(7, "python3", 42 * GIB, "a" * 64),)})
    assert finding("gpu-memory-free", busy, needs(TRAINING)).severity is Severity.BLOCK
    ours = replace(needs(TRAINING), ours=frozenset({"a" * 64}))
    assert finding("gpu-memory-free", busy, ours).severity is Severity.PASS


def test_a_service_is_held_to_what_it_needs_to_answer_and_not_to_its_whole_cache() -> None:
    command = ("sglang", "--mem-fraction-static", "0.85")  # of what is free, so less is no end
    serve = (Workload("serve", "sglang", "serve", command, gpus=4, port=1),)
    wanted = needs(GpuMemory("serve", 40 * GIB, 20 * GIB, 0, "formula"), workloads=serve)
    assert finding("gpu-memory-free", facts({"memory_free": 30 * GIB}), wanted).severity is Severity.PASS
    assert finding("gpu-memory-free", facts({"memory_free": 10 * GIB}), wanted).severity is Severity.WARN


def test_a_host_without_memory_for_an_offloaded_adapter_is_told() -> None:
    wanted = needs(replace(TRAINING, host_bytes=300 * GIB))
    found = finding("host-memory", facts(), wanted)
    assert found.severity is Severity.BLOCK
    assert "train takes 322 GB at least" in found.what


def test_offloaded_parameters_are_counted_once() -> None:
    """What the lock predicts has them already: full with z3-offload takes 18 bytes a parameter, not 20."""
    zero = json.dumps(
        {"zero_optimization": {"offload_optimizer": {"device": "cpu"}, "offload_param": {"device": "cpu"}}}
    )
    files = {"deepspeed.json": zero, "train.yaml": "finetuning_type: full"}
    job = replace(JOB[0], files=files, mounts=(Mount("models/base", "/bundle/model"),))
    lock = replace(LOCK, workloads=(job,), memory=(replace(TRAINING, host_bytes=585 * GIB),))
    asked = replace(NEEDS, lock=lock)
    assert asked.weights["models/base"] == 65 * GIB
    assert finding("host-memory", facts(host={"memory_available": 586 * GIB}), asked).severity is Severity.PASS
    assert finding("host-memory", facts(host={"memory_available": 584 * GIB}), asked).severity is Severity.BLOCK


def test_a_lock_without_predictions_is_what_it_was_and_one_with_them_makes_no_job_run_again() -> None:
    predicted = replace(LOCK, memory=(TRAINING,))
    assert b"least_bytes" not in LOCK.encode()
    assert Lock.parse(predicted.encode(), "the lock") == predicted
    assert fingerprints(predicted) == fingerprints(LOCK)


@pytest.mark.parametrize("wrong", [{"device_bytes": -1}, {"basis": "rumour"}, {"basis": 3}, {"watts": 700}])
def test_a_prediction_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    document = json.loads(replace(LOCK, memory=(TRAINING,)).encode())
    document["memory"][0] |= wrong
    with pytest.raises(MalformedJson):
        Lock.parse(json.dumps(document).encode(), "the lock")


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lock:
    """The lock of a manifest that trains and serves a local model; its image is one that a registry had."""
    blob = Descriptor("x", Digest.of(b"x"), 1)

    def resolved(name: str, *_: object, **__: object) -> LockedImage:
        return LockedImage(name, "registry", blob, (blob,))

    monkeypatch.setattr(locking.images, "resolve_image", resolved)
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_bytes((ROOT / "tests/fixtures/configs/qwen3-8b/config.json").read_bytes())
    for name in ("tokenizer.json", "model.safetensors"):
        (model / name).write_bytes(b"{}")
    (tmp_path / "data.json").write_text('[{"instruction": "a", "input": "", "output": "b"}]')
    (tmp_path / "m.yaml").write_text(
        'name: m\nversion: "1"\ntarget: {gpu: L20, count: 1}\n'
        'images: {train: {registry: "r/train:1"}, serve: {registry: "vllm/vllm-openai:v0.8.5.post1"}}\n'
        "models: {base: {path: model}}\ndatasets: {pumps: {path: data.json}}\n"
        'train: {image: train, llamafactory: "0.9.3", model: base, datasets: [pumps], template: qwen3}\n'
        'serve: {image: serve, vllm: "0.8.5.post1", model: train, name: tuned, max_model_len: 8192}\n'
    )
    store = Store.create(tmp_path / "store")
    return lock(load(tmp_path / "m.yaml"), tmp_path / "m.yaml", store, Silence()).lock


def test_what_was_not_compared_with_a_gpu_is_not_called_measured(tmp_path: Path) -> None:
    """A block behind the gap stands on a measured prediction alone."""
    train = manifest(tmp_path, {"target": {"gpu": "L20", "count": 1}, "serve.tensor_parallel": 1}).train
    assert train
    setting = TrainingSetting()
    assert is_measured(train, setting)
    assert is_measured(train, replace(setting, world=2, sharding="z3"))
    assert not is_measured(train, replace(setting, world=4, sharding="z3"))
    assert not is_measured(train, replace(setting, method="qlora", world=2, sharding="z2"))


def test_lock_writes_down_what_the_plan_predicts_of_training_and_service(locked: Lock) -> None:
    train, serve = locked.memory
    assert (train.workload, train.basis, train.host_bytes) == ("train", "measured", 0)
    assert 16 * 10**9 < train.least_bytes < train.device_bytes < 48 * 10**9
    assert (serve.workload, serve.basis) == ("serve", "formula")
    assert 16 * 10**9 < serve.least_bytes < serve.device_bytes == int(48e9 * 0.9)
