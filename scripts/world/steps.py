"""What is done to a world, step by step: up, prepare, down, status."""

from __future__ import annotations

import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from scripts.world import base_image, pip, serve_image
from scripts.world.parts import World
from scripts.world.tiny import repository


@dataclass(frozen=True)
class Step:
    """A thing done: its name, what there is now, whether it was new, and how long it took."""

    name: str
    what: str
    fresh: bool
    seconds: float


def up(world: World, node: str | None = None) -> Iterator[Step]:
    """Start what the online side needs, and a node if one is named."""
    place = world.place
    with place.locked():
        yield _timed("model", repository.REPOSITORY, lambda: _write_files(world))
        yield _timed("registry", world.registry.address, world.registry.start)
        yield _timed("hub", world.hub.endpoint, world.hub.start)
        yield _timed("ssh", f"ssh -F {world.sshd.config} {world.sshd.alias}", world.sshd.start)
        yield _timed("engine", world.engine.host, world.engine.start)
        if node is not None:
            offline = world.node(node)
            yield _timed(f"node {node}", offline.engine.host, offline.start)
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in world.exports().items()]
        (place.root / "env").write_text("".join(lines))


def prepare(world: World) -> Iterator[Step]:
    """Make model, data and images; what has to be started for that is stopped again."""
    with world.place.locked(), ExitStack() as stack:
        yield _timed("model", repository.REPOSITORY, lambda: _write_files(world))
        yield _timed("torch wheel", pip.TORCH, lambda: pip.download_torch(world.wheels))
        _while_needed(stack, world.registry.start, world.registry.stop)
        _while_needed(stack, world.engine.start, world.engine.stop)
        pip.write_settings(world.pip_conf)
        yield _timed(
            "base image",
            f"{world.registry.address}/{base_image.REPOSITORY}:{base_image.TAG}",
            lambda: base_image.push_base_image(world.registry, world.engine, world.place.directory("base")),
        )
        yield _timed(
            "serve image",
            f"{world.registry.address}/{serve_image.REPOSITORY}:{serve_image.TAG}",
            lambda: serve_image.push_serve_image(world.registry, world.engine, world.wheels, world.pip_conf),
        )


def down(world: World, *, purge: bool = False) -> Iterator[Step]:
    """Stop everything; `purge` also removes all that the world has made."""
    if not world.place.root.is_dir():
        return
    with world.place.locked():
        for node in world.nodes():
            yield _timed(f"node {node.purpose}", "stopped", partial(node.stop, purge=purge))
        yield _timed("engine", "stopped", partial(world.engine.stop, purge=purge))
        yield _timed("ssh", "stopped", world.sshd.stop)
        yield _timed("hub", "stopped", world.hub.stop)
        yield _timed("registry", "stopped", world.registry.stop)
        (world.place.root / "env").unlink(missing_ok=True)
        shutil.rmtree(world.place.runtime, ignore_errors=True)
        if purge:
            yield _timed("files", str(world.place.root), lambda: _remove(world))


def status(world: World) -> Iterator[tuple[str, bool, str]]:
    """Each part: its name, whether it runs, and how it is reached."""
    if not world.place.root.is_dir():
        return
    yield "registry", world.registry.running(), world.registry.address
    yield "hub", world.hub.running(), world.hub.endpoint
    yield "ssh", world.sshd.running(), f"ssh -F {world.sshd.config} {world.sshd.alias}"
    yield "engine", world.engine.running(), world.engine.host
    for node in world.nodes():
        yield f"node {node.purpose}", node.running(), node.engine.host


def _timed(name: str, what: str, action: Callable[[], bool]) -> Step:
    start = time.monotonic()
    fresh = action()
    return Step(name, what, fresh, time.monotonic() - start)


def _write_files(world: World) -> bool:
    model = repository.write_model(world.hub_files / repository.REPOSITORY)
    return repository.write_dataset(world.data / "pumps.json") or model


def _while_needed(stack: ExitStack, start: Callable[[], bool], stop: Callable[[], bool]) -> None:
    if start():
        stack.callback(stop)


def _remove(world: World) -> bool:
    shutil.rmtree(world.place.root)
    return True
