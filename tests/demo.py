"""The demo's manifest for the tests' own world, and the agent on its node."""

from __future__ import annotations

from pathlib import Path

from scripts.world.node import Node
from scripts.world.parts import World
from scripts.world.registry import Registry
from tests.commandline import Bundle

REPOSITORY = Path(__file__).parents[1]


def demo_manifest(world: World, registry: Registry, pumps: Path) -> str:
    """`manifests/demo.yaml`, with the places of this world and of this checkout."""
    text = (REPOSITORY / "manifests/demo.yaml").read_text()
    places = {
        "127.0.0.1:5791": registry.address,
        "../.world/data/pumps.json": str(pumps),
        "../.world/wheels": str(world.wheels),
        "../dockerfiles": str(REPOSITORY / "dockerfiles"),
    }
    for there, here in places.items():
        text = text.replace(there, here)
    return text


def agent_on(node: Node, store: Path) -> Bundle:
    """The agent that a store carries, on a Python that has nothing installed, in the node's namespace."""
    environment = {"DOCKER_HOST": node.engine.host, "PYTHONNOUSERSITE": "1"}
    return Bundle(environment, prefix=node.argv(), program=("/usr/bin/python3", "-S", str(store / "bundle")))
