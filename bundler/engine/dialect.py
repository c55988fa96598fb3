"""What Docker and Podman do differently. All else goes through the API that they share, in docker.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import docker
from docker.types import DeviceRequest, LogConfig, Mount, NetworkingConfig, Ulimit

from bundler.engine.cdi import GPU as CDI_GPU
from bundler.engine.errors import EngineFailed
from bundler.workloads.container import ContainerSpec

LOG = LogConfig(type="json-file", config={"max-size": "50m", "max-file": "3"})
TMP = ("rw", "exec", "nosuid", "nodev", "mode=1777")
"""/tmp of a container. Triton and torch.compile load what they compile from there, so it may not be noexec."""


_NOTICE = 10


class Dialect(Protocol):
    """An engine's own ways. Errors are the docker SDK's, or EngineFailed; who calls explains them."""

    product: str
    """What the engine calls itself: Docker, Podman."""
    edge_options: Mapping[str, str]
    """Options of a bridge that lets published ports in, and as little as the engine can out."""

    def pull(self, reference: str) -> None:
        """Take an image by digest from a registry on the loopback, which speaks plain HTTP."""

    def create(self, spec: ContainerSpec) -> str:
        """Make a container, and start nothing. Returns its id."""

    def keep_running(self, identity: str) -> None:
        """From now on the engine starts this container again when it or the machine has stopped."""

    def halt(self, identity: str) -> None:
        """Stop a container for good: its restart policy does not start it again."""

    def has_cdi(self, info: Mapping[str, Any]) -> bool:
        """Whether the engine knows NVIDIA's GPUs by CDI; `info` is its answer to /info."""


class Docker:
    """Docker Engine, 20.10 and newer."""

    product = "Docker"
    # packets leave with the bridge's own addresses, to which no answer comes
    edge_options: Mapping[str, str] = {"com.docker.network.bridge.enable_ip_masquerade": "false"}

    def __init__(self, api: docker.APIClient) -> None:
        self._api = api

    def pull(self, reference: str) -> None:
        """Every Docker allows plain HTTP in 127.0.0.0/8."""
        for line in self._api.pull(reference, stream=True, decode=True):
            if "error" in line:
                raise EngineFailed(f"the engine could not take in {reference}", because=str(line["error"]))

    def create(self, spec: ContainerSpec) -> str:
        """As the SDK's arguments say it."""
        ports: dict[int | str, Any] = {}
        if spec.published:
            ports[f"{spec.published.port}/tcp"] = (spec.published.bind, spec.published.port)
        host = self._api.create_host_config(
            # as mounts, because the engine makes a missing source of a bind, empty, instead of refusing it
            mounts=[Mount(b.target, b.source, type="bind", read_only=b.read_only) for b in spec.binds],
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            read_only=True,
            tmpfs={"/tmp": ",".join(TMP)},
            shm_size=spec.shm,
            ulimits=[Ulimit(name="memlock", soft=-1, hard=-1)] if spec.gpus else None,
            port_bindings=ports,
            network_mode=spec.network,
            device_requests=self._gpus(spec.gpus) if spec.gpus else None,
            log_config=LOG,
            # a job in a network of its own (none) has no name for itself otherwise, and torchrun asks for it
            extra_hosts={spec.hostname: "127.0.0.1"} if spec.network == "none" else None,
            init=True,
        )
        networking = None
        if spec.network != "none":
            aliases = [spec.alias] if spec.alias else None
            endpoint_config = self._api.create_endpoint_config(aliases=aliases)
            networking = NetworkingConfig({spec.network: endpoint_config})  # type: ignore[arg-type] # its stubs' types
        made: dict[str, Any] = self._api.create_container(
            image=spec.image,
            name=spec.name,
            hostname=spec.hostname,
            entrypoint=[spec.command[0]],
            command=list(spec.command[1:]),
            user=spec.user,
            environment=dict(spec.environment),
            labels=dict(spec.labels),
            ports=[spec.published.port] if spec.published else None,
            host_config=host,
            networking_config=networking,
        )
        return str(made["Id"])

    def keep_running(self, identity: str) -> None:
        """By a restart policy, which Docker can give to a container that runs."""
        self._api.update_container(identity, restart_policy={"Name": "unless-stopped"})  # type: ignore[arg-type] # as above

    def halt(self, identity: str) -> None:
        """A stop is enough, also between two starts."""
        self._api.stop(identity, timeout=_NOTICE)

    def has_cdi(self, info: Mapping[str, Any]) -> bool:
        """Docker 28 and newer list what CDI offers."""
        return any(str(found.get("ID", "")).startswith(CDI_GPU) for found in info.get("DiscoveredDevices") or ())

    def _gpus(self, count: int) -> list[DeviceRequest]:
        """Through NVIDIA's runtime, or, where the engine has only CDI, by CDI's device names."""
        if "nvidia" in (self._api.info().get("Runtimes") or ()):
            return [DeviceRequest(count=count, capabilities=[["gpu"]])]
        return [DeviceRequest(driver="cdi", device_ids=[f"{CDI_GPU}={index}" for index in range(count)])]
