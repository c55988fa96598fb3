"""Container specs: everything an engine needs to run a workload, as data that tests and dry runs can look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from bundler.core.digest import Digest
from bundler.core.records import to_json
from bundler.core.strict_json import canonical
from bundler.manifest.lock import Mount, Workload
from bundler.workloads import labels
from bundler.workloads.api_key import KEY_FILE

CONFIG = "/bundle/config"
OUTPUT = "/bundle/output"
WAY_OUT = "/bundle/way-out"
"""Where the socket of a job with a way out lies."""
_ENVIRONMENT = {"HOME": "/tmp", "PYTHONUNBUFFERED": "1"}
"""A home that can be written; and a log in which errors stand after what was printed before them."""


@dataclass(frozen=True, slots=True)
class Bind:
    """A directory of the node that the container sees."""

    source: str
    target: str
    read_only: bool = True


@dataclass(frozen=True, slots=True)
class Published:
    """A port of the container that is reachable on the node at `bind:port`."""

    bind: str
    port: int


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """One container, locked down: no capabilities, no new privileges, read-only root, no route out.

    `network` is `none` or the name of an internal network, where `alias` finds it; `edge` is a second
    network, through which its published port is reached. `shm` is bytes; `user` is `uid:gid`. `reaches` is the one
    address of the intranet that its program connects to, by the only network that packets leave.
    """

    name: str
    image: str
    command: tuple[str, ...]
    network: str
    user: str
    labels: Mapping[str, str]
    environment: Mapping[str, str] = field(default_factory=dict)
    binds: tuple[Bind, ...] = ()
    alias: str = ""
    edge: str = ""
    published: Published | None = None
    gpus: int = 0
    shm: int = 64 << 20
    reaches: str = ""

    @property
    def hostname(self) -> str:
        """Never a service's name, which a proxy must find on the network and not in itself; short (hostname(7): 64)."""
        return f"{self.labels[labels.ROLE]}--bundle"


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a bundle's containers run: their common name, the release's directory on the node, who they run as."""

    bundle: str
    root: Digest
    project: str
    directory: PurePosixPath
    user: str

    @property
    def inner(self) -> str:
        """The internal network on which services are found; it has no gateway."""
        return self.named("inner")

    @property
    def edge(self) -> str:
        """The network on which proxies publish ports."""
        return self.named("edge")

    @property
    def outer(self) -> str:
        """The network of the containers through which jobs reach a server of the intranet, where they may."""
        return self.named("outer")

    def way_out(self, workload: str) -> PurePosixPath:
        """The directory of the socket by which a job gets out, on the node."""
        return self.directory / "way-out" / workload

    def state(self, workload: str, mount: Mount) -> PurePosixPath:
        """A directory that a service writes, on the node."""
        return self.directory / "state" / workload / mount.source

    def named(self, *parts: str) -> str:
        """The name of one of its containers or networks. No name has two dashes in it, so no two can be the same."""
        return "--".join((self.project, *parts))

    def labels(self, workload: str, role: str, fingerprint: Digest) -> Mapping[str, str]:
        """What finds a container again: the bundle, its root, the workload, its part, and all that made it so."""
        return {
            labels.BUNDLE: self.bundle,
            labels.ROOT: str(self.root),
            labels.WORKLOAD: workload,
            labels.ROLE: role,
            labels.FINGERPRINT: str(fingerprint),
            labels.DIRECTORY: str(self.directory),
        }


def container(workload: Workload, image: str, fingerprint: Digest, at: Placement) -> ContainerSpec:
    """The container that runs a workload. `image` is what the engine knows it by.

    A job gets no network at all; a service sits on the internal network and is reached through its proxy.
    """
    binds = [Bind(str(at.directory / mount.source), mount.target) for mount in workload.mounts]
    if workload.files:
        binds.append(Bind(str(at.directory / "config" / workload.name), CONFIG))
    if workload.api_key:
        binds.append(Bind(workload.api_key, KEY_FILE))
    for mount in workload.state:
        binds.append(Bind(str(at.state(workload.name, mount)), mount.target, read_only=False))
    if workload.way_out:
        binds.append(Bind(str(at.way_out(workload.name)), WAY_OUT))
    if not workload.is_service:
        binds.append(Bind(str(at.directory / "results" / workload.name), OUTPUT, read_only=False))
    return ContainerSpec(
        name=at.named(workload.name),
        image=image,
        command=workload.command,
        network=at.inner if workload.is_service else "none",
        alias=workload.name if workload.is_service else "",
        user=at.user,
        labels=at.labels(workload.name, "service" if workload.is_service else "job", fingerprint),
        environment={**_ENVIRONMENT, **workload.environment},
        binds=tuple(binds),
        gpus=workload.gpus,
        shm=workload.shm,
    )


def fingerprint(workload: Workload, image: Digest, inputs: Mapping[str, Digest]) -> Digest:
    """What decides whether a workload has to run again: its definition, its image, what its mounts hold.

    `inputs` gives, for each mount source, the digest of the artifact or of the job that fills it.
    """
    document = {
        "workload": to_json(workload),
        "image": str(image),
        "inputs": {mount.source: str(inputs[mount.source]) for mount in workload.mounts},
    }
    return Digest.of(canonical(document))
