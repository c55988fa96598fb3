"""Before a service is up: what a dry run tells, and a key that could not be read.

The images are those of the journey, built by the same steps; the store lies on the node itself.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts.world import steps
from scripts.world.engine import Engine
from scripts.world.hub import Hub
from scripts.world.node import Node
from scripts.world.parts import World
from scripts.world.registry import Registry
from tests.commandline import Bundle, refusal
from tests.demo import agent_on, demo_manifest

pytestmark = pytest.mark.timeout(1500)
KEY = "a-key-that-only-the-node-knows"


@dataclass
class Place:
    """The store, the file with the key, and the command on the node."""

    store: Path
    key: Path
    node: Node
    online: Bundle

    @property
    def behind(self) -> Bundle:
        return agent_on(self.node, self.store)


@pytest.fixture(scope="module")
def place(
    world: World, registry: Registry, hub: Hub, online_engine: Engine, node: Node, pumps: Path
) -> Iterator[Place]:
    for _ in steps.prepare(world):
        pass
    home = world.place.directory("services")
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    key = home / "serve.key"
    text = demo_manifest(world, registry, pumps).replace("name: demo\n", "name: adapted\n")
    text = text.replace("  model: train\n", f"  model: base\n  adapter: train\n  api_key_file: {key}\n")
    (home / "adapted.yaml").write_text(text)
    environment = {"DOCKER_HOST": online_engine.host, "HF_ENDPOINT": hub.endpoint, "XDG_STATE_HOME": str(home / "log")}
    made = Place(home / "store", key, node, Bundle(environment))
    made.online("build", home / "adapted.yaml", "--store", made.store)
    yield made
    if not os.environ.get("BUNDLE_KEEP_WORLD"):
        made.behind("down", "adapted", check=False)


def test_1_a_dry_run_tells_each_container_without_an_engine(place: Place) -> None:
    nowhere = {"DOCKER_HOST": "unix:///nowhere"}
    told = place.online("up", "adapted", "--dry-run", "--store", place.store, **nowhere).out
    assert told.startswith("adapted:1.0: check -> train -> serve -> ask\n")
    document = place.online("up", "adapted", "--dry-run", "-o", "json", "--store", place.store, **nowhere).json
    assert [one["name"] for one in document["workloads"]] == ["train", "serve"]
    assert not (place.store / "releases").exists()


def test_2_a_key_that_the_service_could_not_read_is_told_with_the_command_that_mends_it(place: Place) -> None:
    outcome = place.behind("up", "adapted", check=False)
    assert "the API key of the service serve can't be read" in refusal(outcome)
    place.key.write_text(f"{KEY}\n")
    place.key.chmod(0o600)
    outcome = place.behind("up", "adapted", check=False)
    assert f"chown 1000:1000 {place.key}" in refusal(outcome)
    assert "mode 600" in outcome.err
