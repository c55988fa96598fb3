"""The parts of one world, each knowing where it lives; making a World starts nothing."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

from scripts.world import ports
from scripts.world.engine import Engine, online_engine
from scripts.world.errors import WorldError
from scripts.world.hub.process import HubProcess
from scripts.world.mark import ProcessMark
from scripts.world.node import Node, purposes
from scripts.world.place import Place
from scripts.world.podman import Podman
from scripts.world.registry import PORT_VARIABLE, Registry, configured_port
from scripts.world.sshd import SshServer

DEMO_NODE = "gpu"
PODMAN_NODE = "podman"
_REGISTRY_PORT = 5791  # fixed, because references to its images name it


class World:
    """`tied` parts end with the process that started them, whatever happens to it."""

    def __init__(self, place: Place | None = None, *, tied: bool = False) -> None:
        self.place = place or Place.default()
        self._tied = tied

    @cached_property
    def registry(self) -> Registry:
        directory = self.place.root / "registry"
        wanted = os.environ.get(PORT_VARIABLE, "")
        if wanted and not wanted.isdigit():
            raise WorldError(f"{PORT_VARIABLE} is not a port: {wanted!r}")
        registry = Registry(directory, int(wanted or _REGISTRY_PORT), tied=self._tied)
        running = configured_port(directory) if registry.daemon.running() else None
        if running in (None, registry.port):
            return registry
        if wanted:
            raise WorldError(f"the registry runs on port {running} already", "python -m scripts.world down")
        return Registry(directory, running, tied=self._tied)

    @cached_property
    def hub(self) -> HubProcess:
        state = self.place.root / "run"
        return HubProcess(self.hub_files, self._port("hub", state / "hub.pid"), state, tied=self._tied)

    @cached_property
    def sshd(self) -> SshServer:
        state = self.place.root / "sshd"
        port = self._port("sshd", state / "sshd.pid")
        return SshServer(state, port, config=self.place.root / "ssh_config", tied=self._tied)

    @cached_property
    def engine(self) -> Engine:
        name = f"bw-{self.place.tag}-online"
        data = self.place.root / "engines" / "online"
        return online_engine(name, data, self.place.runtime / "online", tied=self._tied)

    def node(self, purpose: str = DEMO_NODE) -> Node:
        """A node of this name; that of PODMAN_NODE has Podman for its engine."""
        return Node(self.place, purpose, tied=self._tied, kind=Podman if purpose == PODMAN_NODE else Engine)

    def nodes(self) -> list[Node]:
        """The nodes that have left anything on this machine."""
        return [self.node(purpose) for purpose in purposes(self.place)]

    @property
    def hub_files(self) -> Path:
        return self.place.root / "hub"

    @property
    def data(self) -> Path:
        return self.place.root / "data"

    @property
    def wheels(self) -> Path:
        return self.place.root / "wheels"

    @property
    def pip_conf(self) -> Path:
        return self.place.root / "pip.conf"

    def exports(self) -> dict[str, str]:
        """The environment of a shell on the online machine."""
        return {
            "DOCKER_HOST": self.engine.host,
            "HF_ENDPOINT": self.hub.endpoint,
            "BUNDLE_WORLD_REGISTRY": self.registry.address,
            "BUNDLE_WORLD_SSH_CONFIG": str(self.sshd.config),
            "BUNDLE_WORLD_DATA": str(self.data),
            "BUNDLE_WORLD_WHEELS": str(self.wheels),
        }

    def _port(self, name: str, pid_file: Path) -> int:
        """The port that the running daemon has, else a lasting one."""
        mark = ProcessMark.read(pid_file)
        kept = self.place.remembered(f"{name}_port")
        if kept is not None and mark is not None and mark.alive():
            return kept
        return ports.lasting_port(self.place, name)
