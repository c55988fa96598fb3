"""A node behind the gap: an engine in a network namespace that has a loopback and nothing else."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from scripts.world.engine import Engine
from scripts.world.errors import WorldError, find_program, require_root
from scripts.world.place import Place

_NAMESPACES = Path("/var/run/netns")


def purposes(place: Place) -> list[str]:
    """The nodes of this place that have left data or a namespace on the machine."""
    prefix = _prefix(place)
    with_data = {path.name for path in (place.root / "nodes").glob("*")}
    with_namespace = {path.name.removeprefix(prefix) for path in _NAMESPACES.glob(f"{prefix}*")}
    return sorted(with_data | with_namespace)


def _prefix(place: Place) -> str:
    return f"bw-{place.tag}-"


class Node:
    """A machine without a network. Nodes of different names run side by side."""

    def __init__(self, place: Place, purpose: str, *, tied: bool = False, kind: type[Engine] = Engine) -> None:
        self.purpose = purpose
        self.name = f"{_prefix(place)}{purpose}"
        self.directory = place.root / "nodes" / purpose
        offline = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
        self.engine = kind(
            self.name,
            self.directory,
            place.runtime / f"node-{purpose}",
            prefix=self._enter(),
            environment=offline,
            tied=tied,
        )

    def start(self) -> bool:
        """Make the namespace and start the engine in it; False when it ran already."""
        require_root("a node")
        self._make_namespace()
        return self.engine.start()

    def stop(self, *, purge: bool = False) -> bool:
        """Stop the engine and remove the namespace; `purge` also removes its images and data."""
        stopped = self.engine.stop(purge=purge)
        if self.exists():
            self._ip("netns", "delete", self.name)
        return stopped

    def exists(self) -> bool:
        """Whether the namespace is there."""
        return (_NAMESPACES / self.name).exists()

    def running(self) -> bool:
        return self.exists() and self.engine.running()

    def argv(self, *command: str) -> tuple[str, ...]:
        """The command that runs `command` on the node."""
        return (*self._enter(), *command)

    def environment(self) -> dict[str, str]:
        """The environment of a process on the node: its engine, and no proxy."""
        return self.engine.environment()

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command on the node and keep what it says."""
        return subprocess.run(
            self.argv(*command),
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=check,
        )

    def docker(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run docker on the node."""
        return self.engine.docker(*arguments, check=check)

    def __enter__(self) -> Node:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop(purge=True)

    def _enter(self) -> tuple[str, ...]:
        # Not `ip netns exec`: that mounts a new /sys, which hides the control groups from dockerd.
        return (find_program("nsenter", "util-linux"), f"--net={_NAMESPACES / self.name}", "--")

    def _make_namespace(self) -> None:
        if self.exists() and not self._can_be_entered():
            (_NAMESPACES / self.name).unlink()  # a plain file that a reboot left
        if not self.exists():
            self._ip("netns", "add", self.name)
        # Not `ip -n`, for the reason above; and every time, since a start may have ended just before it.
        self._ip("link", "set", "lo", "up", prefix=self._enter())

    def _can_be_entered(self) -> bool:
        return subprocess.run(self.argv("true"), capture_output=True, check=False).returncode == 0

    @staticmethod
    def _ip(*arguments: str, prefix: tuple[str, ...] = ()) -> None:
        command = (*prefix, find_program("ip", "iproute2"), *arguments)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise WorldError(f"ip {' '.join(arguments)} failed: {done.stderr.strip()}")
