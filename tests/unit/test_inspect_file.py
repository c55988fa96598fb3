"""What a training is told can be read in the store, before it crosses the gap and after."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from bundler.cli.inspect import command
from bundler.core.errors import UsageInvalid
from bundler.core.media_types import AGENT, BUNDLE, LOCK, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from bundler.core.reference import BundleName
from bundler.core.strict_json import canonical
from bundler.manifest.lock import FORMAT, GpuMemory, Hardware, Lock, LockedAgent, LockedImage, Workload
from bundler.operations.inspect import rendered_file
from bundler.store.layout import BundleEntry, Store

GB = 10**9
YAML = "stage: sft\nlearning_rate: 1.0e-4\n"


@pytest.fixture
def bundle(tmp_path: Path) -> tuple[Store, BundleEntry]:
    store, name = Store.create(tmp_path / "store"), BundleName.parse("demo:1.0.0")
    config, agent = store.put(b'{"os": "linux"}', OCI_CONFIG), store.put(b"agent", AGENT)
    made = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config.to_json(), "layers": []}
    image = store.put(canonical(made), OCI_MANIFEST)
    job = Workload("train", "train", "train", ("llamafactory-cli",), files={"train.yaml": YAML})
    images = (LockedImage("train", "here", image, (config,)),)
    train = GpuMemory("train", 30 * GB, 20 * GB, 4 * GB, "measured")
    memory = (train, GpuMemory("serve", 40 * GB, 25 * GB, 0, "formula"))
    lock = Lock(
        FORMAT,
        name.name,
        name.version,
        LockedAgent("0.0.0", agent),
        Hardware(gpus=1),
        images=images,
        workloads=(job,),
        memory=memory,
    )
    listed = (store.put(lock.encode(), LOCK), agent)
    root = {"schemaVersion": 2, "mediaType": OCI_INDEX, "artifactType": BUNDLE}
    document = canonical({**root, "manifests": [blob.to_json() for blob in listed]})
    entry = replace(store.put(document, OCI_INDEX), artifact_type=BUNDLE).named(str(name))
    store.record((entry,))
    return store, BundleEntry(name, entry)


def test_a_file_is_printed_as_it_will_stand_on_the_node(bundle: tuple[Store, BundleEntry]) -> None:
    store, entry = bundle
    assert rendered_file(store, entry, "train/train.yaml") == YAML
    arguments = ["demo", "--store", str(store.root), "--file", "train/train.yaml"]
    assert CliRunner().invoke(command, arguments).stdout == YAML
    document = json.loads(CliRunner().invoke(command, [*arguments, "-o", "json"]).stdout)
    assert (document["file"], document["text"]) == ("train/train.yaml", YAML)


def test_a_file_that_is_not_there_is_answered_with_those_that_are(bundle: tuple[Store, BundleEntry]) -> None:
    with pytest.raises(UsageInvalid) as caught:
        rendered_file(*bundle, "train.yaml")
    assert "there are: train/train.yaml" in str(caught.value.because)
    assert caught.value.hint == "bundle inspect demo:1.0.0 --file train/train.yaml"


def test_what_was_predicted_of_each_gpu_can_be_read_behind_the_gap(bundle: tuple[Store, BundleEntry]) -> None:
    arguments = ["demo", "--store", str(bundle[0].root)]
    said = CliRunner().invoke(command, arguments).stdout
    assert "train  30.0 GB of each GPU  20.0 GB at least  4.0 GB of main memory  as measured on such trainings" in said
    assert "serve  40.0 GB of each GPU  25.0 GB at least                         by formula, not compared" in said
    document = json.loads(CliRunner().invoke(command, [*arguments, "-o", "json"]).stdout)
    predicted = {one.pop("workload"): one for one in document["memory"]}
    assert predicted["serve"] == {
        "device_bytes": 40 * GB, "least_bytes": 25 * GB, "host_bytes": 0, "basis": "formula",
    }  # fmt: skip
