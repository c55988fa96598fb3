"""Failures that can't occur behind the gap, each with what there is in their place.

A proof's name stands in tests/fixtures/catalogue/catalogue.yaml, its docstring in docs/failures.md.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from manifest_cases import changed, manifest, write
from training_matrix import MATRIX

from bundler.core.events import Silence
from bundler.manifest.loader import load
from bundler.manifest.lock import Workload
from bundler.planning.datasets.description import Columns, Tags
from bundler.sources import files
from bundler.sources.fetch import fetch
from bundler.store.layout import Store
from bundler.workloads.container import CONFIG
from bundler.workloads.evaluation import evaluations
from bundler.workloads.graph import workloads

MANIFESTS = Path(__file__).parents[2] / "manifests"
_OF_THE_NODE = "/bundle/"


def proof(check: Callable[[Path], None]) -> Callable[[Path], None]:
    check.is_proof = True  # type: ignore[attr-defined]
    return check


def every_workload(directory: Path) -> Iterator[Workload]:
    """All that all manifests and all kinds of training run."""
    for path in sorted(MANIFESTS.glob("*.yaml")):
        yield from (*workloads(load(path)), *evaluations(load(path)))
    for changes in MATRIX.values():
        yield from workloads(load(write(directory, changed(changes))))


@proof
def every_model_is_a_directory_and_every_hub_library_is_offline(directory: Path) -> None:
    """Each job and server gets a directory, mounted read-only, and is told to ask no hub."""
    for workload in every_workload(directory):
        given = [member for text in workload.files.values() for member in _members(text)]
        named = [value for key, value in given if key in ("model_name_or_path", "adapter_name_or_path")]
        if workload.command[:2] == ("vllm", "serve"):
            named.append(workload.command[2])
        assert all(value.startswith(_OF_THE_NODE) for value in named)
        if named:
            offline = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")
            assert [workload.environment[name] for name in offline] == ["1", "1", "1"]


@proof
def a_cache_of_links_becomes_files(directory: Path) -> None:
    """A store has no links: what a link points to is hashed and copied."""
    (directory / "cache" / "blobs").mkdir(parents=True)
    (directory / "cache" / "blobs" / "0a").write_bytes(b"weights")
    snapshot = directory / "cache" / "snapshots" / "main"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").symlink_to("../../blobs/0a")
    store = Store.create(directory / "store")
    model = files.resolve("base", snapshot, store)
    fetch(files.downloads(model), store, Silence())
    blob = store.path(model.files[0].digest)
    assert blob.read_bytes() == b"weights"
    for path in store.root.rglob("*"):
        assert stat.S_ISREG(path.lstat().st_mode) or stat.S_ISDIR(path.lstat().st_mode)


@proof
def nothing_is_installed_where_it_runs(directory: Path) -> None:
    """No command on the node installs anything: images are whole when they are built."""
    for workload in every_workload(directory):
        words = " ".join((*workload.command, *workload.files.values())).split()
        assert not {"pip", "pip3", "uv", "apt-get", "apt", "conda"} & {*words}


@proof
def the_page_is_not_shared(directory: Path) -> None:
    """LLaMA Board is started with GRADIO_SHARE=0."""
    board = {"services.board": {"image": "train", "llamaboard": "0.9.3"}}
    (service,) = (one for one in workloads(manifest(directory, board)) if one.name == "board")
    assert service.environment["GRADIO_SHARE"] == "0"


@proof
def dataset_info_is_written_whole(directory: Path) -> None:
    """dataset_info.json is written from the manifest with every member, also those that nobody changed."""
    changes = {"datasets.pumps.formatting": "sharegpt", "datasets.pumps.columns": {"system": "about"}}
    train = workloads(manifest(directory, changes))[0]
    (entry,) = json.loads(train.files["dataset_info.json"]).values()
    assert entry["columns"].keys() == {*Columns.__slots__}
    assert entry["tags"].keys() == {*Tags.__slots__}
    assert (entry["columns"]["system"], entry["tags"]["system_tag"]) == ("about", "system")


@proof
def the_deepspeed_file_is_where_the_yaml_says(directory: Path) -> None:
    """The DeepSpeed file is rendered into the lock, and mounted where train.yaml says."""
    rendered = 0
    for workload in every_workload(directory):
        for key, value in (pair for text in workload.files.values() for pair in _members(text)):
            if key == "deepspeed":
                assert value == f"{CONFIG}/deepspeed.json"
                assert json.loads(workload.files["deepspeed.json"])["zero_optimization"]
                rendered += 1
    assert rendered > 5


@proof
def a_learning_rate_is_written_as_a_number(directory: Path) -> None:
    """The YAML says 1.0e-4, which every YAML reads as a number."""
    train = workloads(manifest(directory, {"train.learning_rate": 1e-4}))[0]
    assert "learning_rate: 1.0e-4\n" in train.files["train.yaml"]
    assert yaml.safe_load(train.files["train.yaml"])["learning_rate"] == 0.0001


@proof
def no_command_has_a_space_in_it(directory: Path) -> None:
    """Commands name paths of the container alone, which have none, whatever your files are called."""
    (directory / "my data").mkdir()
    spaced = workloads(manifest(directory, {"datasets.pumps.path": "my data"}))
    for workload in (*spaced, *every_workload(directory)):
        if workload.command[0] in ("llamafactory-cli", "accelerate"):
            assert not any(character.isspace() for word in workload.command for character in word)


@proof
def a_job_waits_for_no_other_machine(directory: Path) -> None:
    """A bundle runs on one node: its containers are told of no rank, no other node, no interface."""
    for workload in every_workload(directory):
        assert not {"RANK", "NODE_RANK", "NNODES", "MASTER_ADDR", "MASTER_PORT"} & workload.environment.keys()


@proof
def containers_have_shared_memory(directory: Path) -> None:
    """Each container with GPUs gets 16 GiB of /dev/shm, taken only as used."""
    assert all(workload.shm >= 16 << 30 for workload in every_workload(directory) if workload.gpus)


@proof
def vllm_is_told_of_the_rank(directory: Path) -> None:
    """vLLM gets --max-lora-rank from the manifest's rank, rounded up to one that it takes."""
    changes = {"serve.model": "base", "serve.adapter": "train", "train.lora": {"rank": 48}}
    (server,) = (one for one in workloads(manifest(directory, changes)) if one.name == "serve")
    assert server.command[server.command.index("--max-lora-rank") + 1] == "64"


@proof
def the_reasoning_parser_is_that_of_the_version(directory: Path) -> None:
    """`reasoning_parser: qwen3` is rendered as 0.8.5 wants it: --enable-reasoning --reasoning-parser deepseek_r1."""
    made = workloads(manifest(directory, {"serve.reasoning_parser": "qwen3"}))
    (server,) = (one for one in made if one.name == "serve")
    at = server.command.index("--enable-reasoning")
    assert server.command[at + 1 : at + 3] == ("--reasoning-parser", "deepseek_r1")


def _members(text: str) -> Iterator[tuple[str, Any]]:
    document = yaml.safe_load(text)
    yield from document.items() if isinstance(document, dict) else ()
