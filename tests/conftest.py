"""The real world as fixtures. A test that names none of them starts nothing.

Registry, SSH host and engine are those of the checkout's `.world`: used as they are when they run already, else
started, and stopped at the end. The node is the tests' own. A part that can't be had is a failure, never a skip.
BUNDLE_KEEP_WORLD leaves everything up afterwards.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pytest

from scripts.world import base_image as base
from scripts.world import trainer as llamafactory
from scripts.world.engine import Engine
from scripts.world.hub import Hub
from scripts.world.node import Node
from scripts.world.parts import PODMAN_NODE, World
from scripts.world.registry import Registry
from scripts.world.sshd import SshServer
from scripts.world.tiny.repository import REPOSITORY, write_dataset, write_model

_KEEP = bool(os.environ.get("BUNDLE_KEEP_WORLD"))
_TEST_NODE = "test"
T = TypeVar("T")

ASKS_FOR_THE_WORLD = re.compile(
    r"\b(?:registry: Registry|online_engine: Engine|(?:podman_)?node: Node|base_image: str|pumps: Path)\b"
    r'|getfixturevalue\("registry"\)|^from test_jobs import',
    re.MULTILINE,
)
"""How a module's text shows that a test of it has a part of the world. There is one world, in one process."""


@cache
def _asks(module: Path) -> bool:
    return ASKS_FOR_THE_WORLD.search(module.read_text()) is not None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test that asks for the world in a way that its module's text does not show would be run in the wrong process,
    and take the world from those that are in the right one: it fails instead, before it has anything of it."""
    found = getattr(item, "_fixtureinfo").name2fixturedefs.get("world")  # noqa: B009 - pytest has no public way
    if found and found[-1].func.__module__ == __name__ and not _asks(item.path):
        pytest.fail(
            f"{item.path.name} asks for the world, and ASKS_FOR_THE_WORLD ({__file__}) does not see how: add to it the "
            "parameter with its annotation, as the module has it",
            pytrace=False,
        )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Share the tests out over two processes: those of the world go one after the other, in one of them; beside it the
    other takes all other modules, each whole. The longest share is begun first. (xdist's own groups are lost: pytest
    9.2 does not see the names that it gives them.)"""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    @cache
    def share(module: str) -> str:
        return "the world" if _asks(config.rootpath / module) else module

    class Shares(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return share(nodeid.partition("::")[0])

    return Shares(config, log)


@pytest.fixture(scope="session", autouse=True)
def _state_of_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Logs and receipts of tests are not their user's: `plan` would take a test's push for the rate of the line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


def _borrowed(world: World, part: T, start: Callable[[], bool], stop: Callable[[], object]) -> Iterator[T]:
    """The part, running; stopped at the end when it was this session that started it."""
    with world.place.locked():
        started = start()
    yield part
    if started and not _KEEP:
        stop()


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """The checkout's world, not started. Its parts end with this process even when that is killed."""
    with socket.socket(socket.AF_UNIX) as claim:
        if run := os.environ.get("PYTEST_XDIST_TESTRUNUID"):
            try:
                claim.bind(f"\0bundle-world-{run}")  # held as long as this process lives, and no file
            except OSError:
                asking = os.environ.get("PYTEST_CURRENT_TEST", "a test").partition(" ")[0]
                pytest.fail(
                    f"{asking} asks for the world, which the other process has: one of the two modules asks by "
                    "getfixturevalue, and ASKS_FOR_THE_WORLD (tests/conftest.py) does not see it"
                )
        yield World(tied=not _KEEP)


@pytest.fixture(scope="session")
def registry(world: World) -> Iterator[Registry]:
    """A registry on the loopback."""
    yield from _borrowed(world, world.registry, world.registry.start, world.registry.stop)


@pytest.fixture(scope="session")
def sshd(world: World) -> Iterator[SshServer]:
    """An SSH host that lets the current user in: `ssh -F sshd.config sshd.alias`."""
    yield from _borrowed(world, world.sshd, world.sshd.start, world.sshd.stop)


@pytest.fixture(scope="session")
def online_engine(world: World) -> Iterator[Engine]:
    """The engine of the online machine."""
    yield from _borrowed(world, world.engine, world.engine.start, world.engine.stop)


@pytest.fixture(scope="session")
def node(world: World) -> Iterator[Node]:
    """An air-gapped node of the tests' own, empty at the start."""
    yield from _own(world.node(_TEST_NODE))


@pytest.fixture(scope="session")
def podman_node(world: World) -> Iterator[Node]:
    """Another, with Podman."""
    yield from _own(world.node(PODMAN_NODE))


def _own(node: Node) -> Iterator[Node]:
    if not _KEEP and not node.running():
        node.stop(purge=True)  # what a killed session left
    node.start()
    yield node
    if not _KEEP:
        node.stop(purge=True)


@pytest.fixture(scope="session")
def hub(world: World) -> Iterator[Hub]:
    """A hub in this process that has the tiny model. Clear its faults after adding some."""
    with world.place.locked():
        write_model(world.hub_files / REPOSITORY)
    with Hub(world.hub_files) as hub:
        yield hub


@pytest.fixture
def empty_hub(tmp_path: Path) -> Iterator[Hub]:
    """A hub of one test, over `tmp_path / "hub"`, to fill and to spoil at will."""
    directory = tmp_path / "hub"
    directory.mkdir()
    with Hub(directory) as hub:
        yield hub


@pytest.fixture(scope="session")
def pumps(world: World) -> Path:
    """The data set that the tiny model can learn by heart."""
    path = world.data / "pumps.json"
    write_dataset(path)
    return path


@pytest.fixture(scope="session")
def base_image(world: World, registry: Registry, online_engine: Engine) -> str:
    """The reference of the base image; made the first time, which takes a minute."""
    with world.place.locked():
        base.push_base_image(registry, online_engine, world.place.directory("base"))
    return f"{registry.address}/{base.REPOSITORY}:{base.TAG}"


@pytest.fixture(scope="session")
def trainer() -> Path:
    """The interpreter of an environment with LLaMA-Factory itself; made the first time, which takes half a minute.

    It lies in the world, and needs none of its parts: whoever asks for it alone may run beside the tests that do.
    """
    world = World()
    directory = world.place.root / f"llamafactory-{llamafactory.VERSION}"
    with world.place.locked():
        llamafactory.install(directory, world.wheels)
    return directory / "bin" / "python"
