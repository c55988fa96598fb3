"""`make demo`: the README's three commands, on a world of this machine's own, printed as a reader would type them.

`make demo-down` runs `python -m scripts.demo down`.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from scripts.world import steps
from scripts.world.errors import WorldError
from scripts.world.parts import DEMO_NODE, World

MANIFEST = "manifests/demo.yaml"
BUNDLE = "demo"


class _Demo:
    def __init__(self, world: World) -> None:
        self.world = world
        self.node = world.node(DEMO_NODE)
        self.store = _relative(world.place.directory("demo", "builder"))
        self.host = world.place.directory("demo", "intranet") / "bundles"

    def up(self) -> None:
        """From nothing to an answer."""
        print("# The world: a registry, a hub, an SSH host, and a node whose only network is its loopback", flush=True)
        _tell(steps.up(self.world, DEMO_NODE))
        _tell(steps.prepare(self.world))
        online = {name: self.world.exports()[name] for name in ("DOCKER_HOST", "HF_ENDPOINT")}
        print("\n# On the machine with internet", flush=True)
        for name, value in online.items():
            print(f"$ export {name}={shlex.quote(value)}")
        self._run(online, "bundle", "build", MANIFEST, "--store", self.store)
        config = _relative(self.world.sshd.config)
        where = f"{self.world.sshd.alias}:{self.host}"
        self._run({}, "bundle", "push", BUNDLE, where, "--store", self.store, "--ssh-config", config)
        print("\n# On the node, behind the gap: its network namespace has no route out", flush=True)
        self._on_node("up", BUNDLE)
        self._tell_more()

    def down(self) -> None:
        """Take the release down, then the world."""
        if (self.host / "bundle").is_file() and self.node.running():
            self._on_node("down", BUNDLE)
        _tell(steps.down(self.world))

    def _on_node(self, *arguments: str) -> None:
        command = self._node_command(*arguments)
        self._run({"DOCKER_HOST": self.node.engine.host}, *command, shown_environment=True)

    def _node_command(self, *arguments: str) -> tuple[str, ...]:
        return self.node.argv(str(self.host / "bundle"), *arguments)

    def _run(self, environment: Mapping[str, str], *command: str, shown_environment: bool = False) -> None:
        assignments = [f"{name}={shlex.quote(value)}" for name, value in environment.items() if shown_environment]
        print("\n$", *assignments, shlex.join(command), flush=True)
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
        began = time.monotonic()
        done = subprocess.run(command, env={**os.environ, **environment, "PATH": path}, check=False)
        if done.returncode:
            raise WorldError(f"that command failed with exit code {done.returncode}", "its message is above")
        print(f"({time.monotonic() - began:.1f} s)", flush=True)

    def _tell_more(self) -> None:
        node = shlex.join(self._node_command())
        prefix = f"DOCKER_HOST={shlex.quote(self.node.engine.host)} {node}"
        print(f"\nlook at it:   {prefix} status\ntake it down: make demo-down")


def _tell(done: Iterable[steps.Step]) -> None:
    for step in done:
        note = f"{step.seconds:.1f} s" if step.fresh else "already"
        print(f"  {step.name:<14}{note:>8}  {step.what}", flush=True)


def _relative(path: Path) -> str:
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def main() -> int:
    """`up` (the default) or `down`."""
    demo = _Demo(World())
    began = time.monotonic()
    try:
        if sys.argv[1:] == ["down"]:
            demo.down()
        else:
            demo.up()
            print(f"({time.monotonic() - began:.0f} s in all)")
    except WorldError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted: make demo goes on from here, make demo-down removes it", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
