"""Rehearsals for real: the images of the demo, one store, and bundles in it that would fail behind the gap.

Each of them would cost a crossing: it builds without a word (or with one that was waved through) and can't train.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bundler.core.descriptor import TITLE, Descriptor
from bundler.core.media_types import LOCK
from bundler.store.contents import read_lock
from bundler.store.layout import Store
from scripts.world import steps
from scripts.world.engine import Engine
from scripts.world.hub import Hub
from scripts.world.parts import World
from scripts.world.registry import Registry
from tests.bundles import put_root
from tests.commandline import Bundle, Outcome
from tests.demo import demo_manifest

pytestmark = pytest.mark.timeout(1500)


@dataclass
class Place:
    """A store with the demo in it, the command, and manifests beside it."""

    home: Path
    manifest: str
    engine: Engine
    online: Bundle

    @property
    def store(self) -> Path:
        return self.home / "store"

    def build(self, name: str, text: str, *arguments: str) -> None:
        path = self.home / f"{name}.yaml"
        path.write_text(text.replace("name: demo\n", f"name: {name}\n"))
        shutil.copy(self.home / "demo.lock.json", path.with_suffix(".lock.json"))
        self.online("build", path, "--store", self.store, *arguments)

    def slip_in(self, name: str, lines: str) -> None:
        """A bundle whose train.yaml has these lines too, which `build` refuses: made by a program that knew less."""
        self.build(name, only_training(self.manifest))
        store = Store(self.store)
        bundle = store.find(name)
        lock = read_lock(store, bundle)
        (train,) = lock.workloads
        (path,) = (one for one in train.files if one.endswith("train.yaml"))
        changed = replace(train, files={**train.files, path: train.files[path] + lines})
        listed = json.loads(store.path(bundle.root.digest).read_bytes())["manifests"]
        artifacts = ((one["annotations"][TITLE], Descriptor.parse(one, "a root")) for one in listed)
        others = ((title, blob) for title, blob in artifacts if blob.media_type != LOCK)
        store.record((put_root(store, replace(lock, workloads=(changed,)), *others),))

    def rehearse(self, name: str, *arguments: str) -> tuple[Outcome, Mapping[str, Any]]:
        """The outcome, and its findings by name."""
        outcome = self.online("rehearse", name, "--store", self.store, "-o", "json", *arguments, check=False)
        assert outcome.code in (0, 13), outcome.err
        return outcome, {finding["check"]: finding for finding in outcome.json["findings"]}

    def refused(self, name: str, text: str, *arguments: str) -> Mapping[str, Any]:
        """The findings by name of a bundle that builds and can't be rehearsed clean."""
        self.build(name, text, *arguments)
        outcome, found = self.rehearse(name)
        assert outcome.code == 13
        return found

    def left_behind(self) -> list[str]:
        """Containers and files of rehearsals that are over."""
        containers = self.engine.docker("ps", "-aq", "--filter", "name=rehearse-").stdout.split()
        return [*containers, *map(str, self.store.glob("rehearsals/*/run")), *map(str, self.store.glob("leases/re*"))]


@pytest.fixture(scope="module")
def place(world: World, registry: Registry, hub: Hub, online_engine: Engine, pumps: Path) -> Iterator[Place]:
    for _ in steps.prepare(world):
        pass
    home = world.place.directory("rehearsal")
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    environment = {
        "DOCKER_HOST": online_engine.host,
        "HF_ENDPOINT": hub.endpoint,
        "XDG_STATE_HOME": str(home / "state"),
    }
    text = demo_manifest(world, registry, pumps)
    (home / "demo.yaml").write_text(text)
    made = Place(home, text, online_engine, Bundle(environment))
    made.online("build", home / "demo.yaml", "--store", made.store)
    yield made
    shutil.rmtree(home, ignore_errors=True)


def only_training(text: str) -> str:
    """The manifest with nothing after the training, and nothing to merge: one container to rehearse."""
    return text[: text.index("\nevaluate:")].replace("  lora: {rank: 32, alpha: 64}\n", "  method: full\n") + "\n"


def test_1_what_works_behind_the_gap_is_rehearsed_clean_and_trains_a_step(place: Place) -> None:
    outcome, found = place.rehearse("demo", "--without", "answer")
    bad = [finding for finding in found.values() if finding["severity"] not in ("pass", "not tried")]
    assert bad == []
    assert outcome.code == 0
    assert found["train/data/pumps"]["what"] == "50 of 50 records kept, as predicted"
    assert "its own parser takes all" in found["train/arguments"]["what"]
    assert "its own parser takes all" in found["merge/arguments"]["what"]
    assert found["serve/architecture"]["what"].startswith("Qwen3ForCausalLM, 512 tokens of context")
    assert found["train/step"]["severity"] == "pass"
    assert found["serve/answer"]["severity"] == "not tried"
    versions = outcome.json["versions"]
    assert versions["train"]["llamafactory"] == "0.9.5"
    assert versions["serve"]["vllm"].startswith("0.32.0")
    assert place.left_behind() == []


def test_2_the_evidence_is_shown_for_this_root_alone_and_outlives_gc_and_the_same_build(place: Place) -> None:
    """Evidence that stayed with another root would vouch for bytes that nobody tried."""
    shown = place.online("inspect", "demo", "--store", place.store, "-o", "json").json["rehearsal"]
    assert shown["root"] == str(Store(place.store).find("demo").root.digest)
    assert shown["passed"] is True
    assert shown["versions"]["train"]["transformers"]
    manifest = place.home / "demo.yaml"
    place.online("build", manifest, "--store", place.store)
    assert place.online("inspect", "demo", "--store", place.store, "-o", "json").json["rehearsal"] == shown
    place.online("gc", "--store", place.store)
    text = place.online("inspect", "demo", "--store", place.store).out
    assert f"rehearsed {shown['when']} on " in text
    other = manifest.read_text().replace("max_steps: 150", "max_steps: 151")
    manifest.write_text(other)
    place.online("build", manifest, "--store", place.store)
    assert place.online("inspect", "demo", "--store", place.store, "-o", "json").json["rehearsal"] is None


def test_3_a_tokenizer_file_that_was_left_out_is_named(place: Place) -> None:
    text = only_training(place.manifest).replace(
        "{huggingface: demo/tiny-qwen3}", "{huggingface: demo/tiny-qwen3, exclude: [tokenizer.json, vocab.json]}"
    )
    found = place.refused("no-tokenizer", text, "--accept", "model")
    assert found["train/tokenizer"]["severity"] == "block"
    assert "/bundle/model/tokenizer.json" in found["train/files"]["what"]
    assert found["train/files"]["severity"] == "block"
    assert found["train/config"]["severity"] == "pass"
    assert found["train/data"]["severity"] == "not tried"
    assert found["train/step"]["severity"] == "not tried"


def test_4_a_dataset_of_which_every_record_is_dropped_is_named_with_the_number(place: Place, pumps: Path) -> None:
    """LLaMA-Factory says it in its log, after the model was loaded; the build was told to let it pass."""
    turned = place.home / "turned.json"
    said = [{"from": "gpt", "value": "first"}, {"from": "human", "value": "second"}]
    turned.write_text(json.dumps([{"conversations": said}] * 7))
    text = only_training(place.manifest).replace(
        f"pumps: {{path: {pumps}}}", f"pumps: {{path: {turned}, formatting: sharegpt}}"
    )
    found = place.refused("all-dropped", text, "--accept", "data")
    assert found["train/data/pumps"]["severity"] == "block"
    assert found["train/data/pumps"]["what"] == "all 7 records are dropped"
    assert found["train/data/pumps"]["why"]


def test_5_a_job_that_would_ask_a_hub_is_named_with_what_it_wants(place: Place) -> None:
    place.slip_in("downloads", "use_asft_loss: true\nref_model: demo/never-carried\n")
    outcome, found = place.rehearse("downloads")
    assert outcome.code == 13
    assert found["train/downloads"]["severity"] == "block"
    assert "ref_model names demo/never-carried" in found["train/downloads"]["what"]


def test_6_a_job_that_reaches_for_a_hub_while_it_trains_is_caught_by_its_first_step(place: Place) -> None:
    place.slip_in("pushes", "push_to_hub: true\nhub_model_id: demo/mine\n")
    outcome, found = place.rehearse("pushes")
    assert outcome.code == 13
    assert found["train/arguments"]["severity"] == "pass"
    assert found["train/step"]["severity"] == "block"
    assert "it wanted to reach https://huggingface.co/" in found["train/step"]["what"]


def test_7_ctrl_c_leaves_no_container_and_no_file(place: Place) -> None:
    command = (*place.online.program, "rehearse", "downloads", "--store", str(place.store), "-v", "--progress", "plain")
    environment = {**os.environ, **place.online.environment}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr
        assert any("-- versions" in line for line in running.stderr)
        running.send_signal(signal.SIGINT)
        running.stderr.read()
    assert running.returncode == 130
    assert place.left_behind() == []
