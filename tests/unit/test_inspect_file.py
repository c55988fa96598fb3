"""What a training is told can be read in the store, before it crosses the gap and after."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from bundler.cli.inspect import command
from bundler.core.errors import UsageInvalid
from bundler.core.media_types import AGENT, BUNDLE, LOCK, OCI_INDEX, OCI_MANIFEST
from bundler.core.reference import BundleName
from bundler.core.strict_json import canonical
from bundler.manifest.lock import FORMAT, Hardware, Lock, LockedAgent, LockedImage, Workload
from bundler.operations.inspect import rendered_file
from bundler.store.layout import BundleEntry, Store

YAML = "stage: sft\nlearning_rate: 1.0e-4\n"


@pytest.fixture
def bundle(tmp_path: Path) -> tuple[Store, BundleEntry]:
    store, name = Store.create(tmp_path / "store"), BundleName.parse("demo:1.0.0")
    image, agent = store.put(b"{}", OCI_MANIFEST), store.put(b"agent", AGENT)
    job = Workload("train", "train", "train", ("llamafactory-cli",), files={"train.yaml": YAML})
    images = (LockedImage("train", "here", image, ()),)
    lock = Lock(
        FORMAT, name.name, name.version, LockedAgent("0.0.0", agent), Hardware(), images=images, workloads=(job,)
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
