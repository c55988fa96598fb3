"""Container specs: what a workload may see and do on the node, as data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath

import pytest

from bundler.core.digest import Digest
from bundler.manifest.lock import Mount, Workload
from bundler.workloads.container import Bind, ContainerSpec, Placement, Published, container, fingerprint
from bundler.workloads.proxy import SOURCE, proxy

PLACE = Placement("demo", Digest.of(b"root"), "bundle-demo", PurePosixPath("/store/releases/demo"), "1000:1000")
FINGERPRINT = Digest.of(b"fingerprint")
TRAIN = Workload(
    "train",
    "llamafactory",
    "train",
    ("llamafactory-cli", "train", "/bundle/config/train.yaml"),
    (Mount("models/base", "/bundle/model"), Mount("datasets/pumps", "/bundle/data/pumps")),
    {"HF_HUB_OFFLINE": "1"},
    {"train.yaml": "stage: sft\n"},
    gpus=4,
    shm=16 << 30,
)
SERVE = Workload(
    "serve", "vllm", "serve", ("vllm", "serve", "/bundle/model"), (Mount("results/merge", "/bundle/model"),), port=8000
)
LABELS = {
    "io.bundler.bundle": "demo",
    "io.bundler.root": str(PLACE.root),
    "io.bundler.fingerprint": str(FINGERPRINT),
    "io.bundler.directory": "/store/releases/demo",
}


def test_a_job_sees_its_inputs_read_only_writes_one_directory_and_has_no_network() -> None:
    assert container(TRAIN, "sha256:image", FINGERPRINT, PLACE) == ContainerSpec(
        name="bundle-demo--train",
        image="sha256:image",
        command=("llamafactory-cli", "train", "/bundle/config/train.yaml"),
        network="none",
        user="1000:1000",
        labels={**LABELS, "io.bundler.workload": "train", "io.bundler.role": "job"},
        environment={"HOME": "/tmp", "PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1"},
        binds=(
            Bind("/store/releases/demo/models/base", "/bundle/model"),
            Bind("/store/releases/demo/datasets/pumps", "/bundle/data/pumps"),
            Bind("/store/releases/demo/config/train", "/bundle/config"),
            Bind("/store/releases/demo/results/train", "/bundle/output", read_only=False),
        ),
        gpus=4,
        shm=16 << 30,
    )


def test_a_service_sits_on_the_inner_network_and_publishes_nothing_itself() -> None:
    assert container(SERVE, "sha256:image", FINGERPRINT, PLACE) == ContainerSpec(
        name="bundle-demo--serve",
        image="sha256:image",
        command=("vllm", "serve", "/bundle/model"),
        network="bundle-demo--inner",
        alias="serve",
        user="1000:1000",
        labels={**LABELS, "io.bundler.workload": "serve", "io.bundler.role": "service"},
        environment={"HOME": "/tmp", "PYTHONUNBUFFERED": "1"},
        binds=(Bind("/store/releases/demo/results/merge", "/bundle/model"),),
        shm=1 << 30,
    )


def test_the_proxy_publishes_the_port_where_the_manifest_says_and_sees_no_file() -> None:
    assert proxy(replace(SERVE, bind="10.0.0.5"), "sha256:image", FINGERPRINT, PLACE) == ContainerSpec(
        name="bundle-demo--serve--proxy",
        image="sha256:image",
        command=("python3", "-c", SOURCE, "serve", "8000"),
        network="bundle-demo--inner",
        edge="bundle-demo--edge",
        published=Published("10.0.0.5", 8000),
        user="1000:1000",
        labels={**LABELS, "io.bundler.workload": "serve", "io.bundler.role": "proxy"},
    )


INPUTS = {"models/base": Digest.of(b"model"), "datasets/pumps": Digest.of(b"data")}


@pytest.mark.parametrize(
    "changed",
    [
        fingerprint(replace(TRAIN, files={"train.yaml": "stage: dpo\n"}), FINGERPRINT, INPUTS),
        fingerprint(TRAIN, Digest.of(b"another image"), INPUTS),
        fingerprint(TRAIN, FINGERPRINT, {**INPUTS, "datasets/pumps": Digest.of(b"other data")}),
    ],
    ids=["configuration", "image", "data"],
)
def test_a_job_runs_again_when_anything_that_it_is_made_from_changed(changed: Digest) -> None:
    assert changed != fingerprint(TRAIN, FINGERPRINT, INPUTS)


def test_a_job_does_not_run_again_when_nothing_changed() -> None:
    assert fingerprint(replace(TRAIN), FINGERPRINT, dict(reversed(INPUTS.items()))) == fingerprint(
        TRAIN, FINGERPRINT, {**INPUTS, "models/unrelated": Digest.of(b"z")}
    )
