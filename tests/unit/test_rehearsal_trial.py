"""A rehearsal's container is the workload's own, locked down as it will be; predictions come from the lock."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

import click
import pytest
import yaml
from manifest_cases import changed, write

from bundler.cli.rehearse import command
from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.events import Silence
from bundler.core.media_types import OCI_MANIFEST
from bundler.manifest.loader import load
from bundler.manifest.lock import BuildRecord, LockedImage, Mount, Question, Workload
from bundler.operations.judge_data import judge_datasets
from bundler.planning.datasets.verdict import DatasetVerdict
from bundler.rehearsal.prediction import predictions
from bundler.rehearsal.trial import (
    ONE_STEP,
    Machine,
    chat_plan,
    ending,
    imports,
    one_step,
    placed,
    plan,
    stand_in,
    trial,
)
from bundler.store.contents import read_lock
from bundler.store.layout import Store
from bundler.workloads.api_key import behind_key
from bundler.workloads.container import Bind, Placement, container
from bundler.workloads.graph import workloads
from bundler.workloads.way_out import through
from tests.bundles import make_bundle, make_lock

AT = placed("demo", Placement("demo", Digest.of(b"root"), "bundle-demo", PurePosixPath("/run"), "1000:1000"))
SERVE = Workload(
    "serve",
    "vllm",
    "serve",
    ("vllm", "serve", "/bundle/model", "--served-model-name", "tuned"),
    (Mount("results/merge", "/bundle/model"), Mount("results/train", "/bundle/adapter")),
    {"HF_HUB_OFFLINE": "1"},
    gpus=4,
    port=8000,
    health="/health",
)
TRAIN = Workload(
    "train",
    "train",
    "train",
    ("llamafactory-cli", "train", "/bundle/config/train.yaml"),
    (Mount("models/base", "/bundle/model"),),
    files={"train.yaml": "stage: sft\nquantization_bit: 4\n"},
    gpus=4,
)
MERGE = replace(TRAIN, name="merge", kind="merge", mounts=(*TRAIN.mounts, Mount("results/train", "/bundle/adapter")))
COMMAND = ("python3", "/bundle/probes/probe.py")


def image(store: Store, packages: dict[str, str] | None = None) -> LockedImage:
    manifest = store.put(b"{}", OCI_MANIFEST)
    build = BuildRecord("base", Digest.of(b"dockerfile"), packages=packages) if packages else None
    return LockedImage("train", "registry.example/train:v0.9.3", manifest, (manifest,), build=build)


def image_without_a_store() -> LockedImage:
    blob = Descriptor.of(b"{}", OCI_MANIFEST)
    return LockedImage("train", "registry.example/train:v0.9.3", blob, (blob,))


def test_a_service_is_tried_without_a_network_and_with_everything_else_as_on_the_node() -> None:
    spec = trial(SERVE, "sha256:1", AT, Machine(4), COMMAND)
    there = container(SERVE, "sha256:1", Digest.of(b"x"), AT)
    assert (spec.network, spec.alias, spec.edge, spec.published) == ("none", "", "", None)
    assert (spec.user, spec.gpus, spec.shm, spec.image) == (there.user, 4, there.shm, there.image)
    assert set(there.binds) < set(spec.binds)
    assert [bind.target for bind in spec.binds if not bind.read_only] == ["/bundle/report"]
    assert spec.environment["HF_HUB_OFFLINE"] == "1"
    assert spec.command == COMMAND


def test_its_name_is_no_releases_so_that_both_can_be_on_one_engine() -> None:
    assert trial(SERVE, "sha256:1", AT, Machine(4), COMMAND).name == "rehearse-demo--serve"


def test_without_the_gpus_that_it_needs_it_is_given_none() -> None:
    assert trial(SERVE, "sha256:1", AT, Machine(2), COMMAND).gpus == 0


def test_the_images_own_python_path_stays_behind_ours() -> None:
    spec = trial(SERVE, "sha256:1", AT, Machine(4), COMMAND, "/opt/more")
    assert spec.environment["PYTHONPATH"] == "/bundle/probes:/opt/more"


def test_a_key_that_is_on_the_node_is_neither_mounted_nor_waited_for() -> None:
    keyed = replace(SERVE, command=behind_key(SERVE.command, "VLLM_API_KEY"), api_key="/etc/key")
    assert "/etc/key" not in [bind.source for bind in trial(keyed, "sha256:1", AT, Machine(4), COMMAND).binds]
    told = chat_plan(keyed, None, 60)
    assert told["command"] == list(SERVE.command)


def test_a_training_that_reports_to_a_server_takes_its_step_without_its_socket_and_without_reporting() -> None:
    """The socket is the node's: a bind that is not there would end the rehearsal, and the SDK the step."""
    command = through(behind_key(TRAIN.command, "SWANLAB_API_KEY"))
    cloud = replace(TRAIN, command=command, api_key="/etc/key", way_out="swanlab.intra:8000")
    assert plan(cloud, image_without_a_store(), Machine(4))["arguments"] == [
        "llamafactory-cli", "/bundle/config/train.yaml",
    ]  # fmt: skip
    assert one_step(cloud) == (*TRAIN.command, *ONE_STEP, "use_swanlab=false")
    assert one_step(replace(cloud, api_key="", command=through(TRAIN.command)))[:3] == TRAIN.command
    binds = {bind.target for bind in trial(cloud, "sha256:1", AT, Machine(4), COMMAND).binds}
    assert binds == {bind.target for bind in trial(TRAIN, "sha256:1", AT, Machine(4), COMMAND).binds}


def test_a_step_does_not_stop_early_which_would_want_the_evaluations_that_it_leaves_out() -> None:
    stops = replace(TRAIN, files={"train.yaml": "stage: sft\nearly_stopping_steps: 3\n"})
    assert one_step(stops) == (*TRAIN.command, *ONE_STEP, "early_stopping_steps=null")
    assert one_step(TRAIN) == (*TRAIN.command, *ONE_STEP), "a LLaMA-Factory that does not know the key would refuse it"


def test_what_only_a_training_makes_is_stood_in_for_by_the_base_model(tmp_path: Path) -> None:
    """Config and tokenizer are the base's; its adapter stays where one step would leave it."""
    images = tuple(replace(image(Store.create(tmp_path)), name=name) for name in ("train", "serve"))
    weights = make_bundle(Store.create(tmp_path), (10,))
    model = read_lock(Store(tmp_path), weights).models[0]
    lock = replace(make_lock(model), images=images, workloads=(TRAIN, MERGE, SERVE))
    binds = trial(stand_in(SERVE, lock), "sha256:1", AT, Machine(4), COMMAND).binds
    assert Bind("/run/models/base", "/bundle/model") in binds
    assert Bind("/run/results/train", "/bundle/adapter") in binds


def test_the_probe_is_asked_for_every_package_that_the_lock_names_and_for_what_the_yaml_wants(tmp_path: Path) -> None:
    store = Store.create(tmp_path)
    pinned = plan(TRAIN, image(store, {"torch": "2.6.0", "numpy": "1.26.4"}), Machine(0))
    assert pinned["packages"] == ["torch", "numpy"]
    assert pinned["arguments"] == ["llamafactory-cli", "/bundle/config/train.yaml"]
    assert pinned["without_gpus"] is True
    assert "bitsandbytes" in imports(TRAIN)
    assert "deepspeed" not in imports(TRAIN)
    assert "flash_attn" in imports(replace(TRAIN, files={"train.yaml": "flash_attn: fa2\n"}))
    quiet = replace(TRAIN, files={"train.yaml": "flash_attn: sdpa\nuse_swanlab: false\n"})
    assert not {"flash_attn", "swanlab"} & {*imports(quiet)}, "what is switched off is not imported"
    unpinned = plan(SERVE, image(store), Machine(4))
    assert unpinned["packages"] == ["torch", "transformers", "vllm"]
    assert unpinned["arguments"] == list(SERVE.command)
    assert plan(MERGE, image(store), Machine(4), known=True)["imports"] == []


def test_one_step_is_told_in_words_that_yaml_reads_as_meant() -> None:
    """A bare `no` is false there, and LLaMA-Factory ends over it: seen with 0.9.5."""
    told = {key: yaml.safe_load(value) for key, value in (one.split("=") for one in ONE_STEP)}
    assert told["save_strategy"] == told["eval_strategy"] == "no"
    assert told["max_steps"] == 1


def test_a_question_of_the_bundle_is_asked_under_its_model_name() -> None:
    asked = chat_plan(SERVE, Question("serve", "tuned", "Which pump?", 40), 60)
    assert (asked["model"], asked["question"], asked["tokens"]) == ("tuned", "Which pump?", 40)
    assert chat_plan(SERVE, None, 60)["model"] == "tuned"
    assert chat_plan(replace(SERVE, kind="easy-dataset"), None, 60) == {}


def test_a_container_that_hangs_is_ended_by_its_alarm() -> None:
    program, *arguments = ending(1, ("sleep", "60"), "step")
    assert subprocess.run([program, *arguments], check=False).returncode == -14


def test_the_longest_timeout_is_one_that_an_alarm_takes() -> None:
    """Else each container would end at once, and the bundle be blamed."""
    timeout = next(one for one in command.params if one.name == "timeout")
    assert isinstance(timeout.type, click.IntRange)
    assert timeout.type.max
    assert subprocess.run(ending(int(timeout.type.max), ("true",)), check=False).returncode == 0


@pytest.mark.parametrize(
    "records",
    [
        [{"instruction": "Which pump?", "input": "", "output": "The blue one."}] * 3,
        [{"instruction": "Which pump?", "input": "", "output": "Blue."}, {"instruction": "?", "output": None}],
        [{"question": "Which?", "answer": "This."}],
    ],
)
def test_the_prediction_from_a_lock_is_the_one_that_the_build_made_from_the_manifest(
    tmp_path: Path, records: list[dict[str, str]]
) -> None:
    """Were they two, rehearse would find a difference that is ours and not LLaMA-Factory's."""
    (tmp_path / "pumps.json").write_text(json.dumps(records))
    manifest = load(write(tmp_path, changed({})))
    foretold = judge_datasets(manifest, Silence())
    laid_out = tmp_path / "run" / "datasets" / "pumps"
    laid_out.mkdir(parents=True)
    os.link(tmp_path / "pumps.json", laid_out / "pumps.json")
    train = next(one for one in workloads(manifest) if one.name == "train")
    found = predictions(train, laid_out.parent, "0.9.3")
    assert outcome(found) == outcome(foretold)


def outcome(verdicts: Mapping[str, DatasetVerdict]) -> dict[str, tuple[int, int, str | None]]:
    return {
        name: (one.records, one.kept, one.failure.reason if one.failure else None) for name, one in verdicts.items()
    }
