"""Everything that a bundle runs on a node, as container specs in the order in which they start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bundler.core.digest import Digest
from bundler.manifest.lock import Workload
from bundler.workloads.container import ContainerSpec, Placement, container
from bundler.workloads.proxy import proxy


@dataclass(frozen=True, slots=True)
class Planned:
    """A workload with its container; a service also has the one that publishes its port."""

    workload: Workload
    spec: ContainerSpec
    proxy: ContainerSpec | None = None

    @property
    def specs(self) -> tuple[ContainerSpec, ...]:
        """Its containers."""
        return (self.spec, self.proxy) if self.proxy else (self.spec,)

    @property
    def needs(self) -> tuple[str, ...]:
        """The jobs whose results it reads."""
        found = (mount.source.partition("/") for mount in self.workload.mounts)
        return tuple(dict.fromkeys(name for kind, _, name in found if kind == "results"))


def plan(
    workloads: Sequence[Workload], images: Mapping[str, str], made_from: Mapping[str, Digest], at: Placement
) -> tuple[Planned, ...]:
    """Jobs first, then services: the order in which `up` runs them. `images` gives each image's name in the engine."""
    return tuple(_plan(workloads, images, made_from, at))


def _plan(
    workloads: Sequence[Workload], images: Mapping[str, str], made_from: Mapping[str, Digest], at: Placement
) -> Iterator[Planned]:
    for workload in sorted(workloads, key=lambda one: one.is_service):
        image, fingerprint = images[workload.image], made_from[workload.name]
        published = proxy(workload, image, fingerprint, at) if workload.is_service else None
        yield Planned(workload, container(workload, image, fingerprint, at), published)
