"""Everything that a bundle runs on a node, as container specs in the order in which they start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bundler.core.digest import Digest
from bundler.manifest.lock import Workload
from bundler.workloads.container import ContainerSpec, Placement, container
from bundler.workloads.proxy import proxy
from bundler.workloads.way_out import gate


@dataclass(frozen=True, slots=True)
class Planned:
    """A workload with its container; a service also has the one that publishes its port, a job its way out."""

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
        return self.workload.needs


def in_order(workloads: Sequence[Workload]) -> tuple[Workload, ...]:
    """As `up` starts them: early services, the jobs, each with the early services that read its results, the rest."""
    jobs = [one for one in workloads if not one.is_service]
    first = [one for one in workloads if one.is_early and not one.needs]
    beside = [other for job in jobs for other in (job, *started_with(job, workloads))]
    found = {one.name: one for one in (*first, *beside, *workloads)}
    return tuple(found.values())


def started_with(job: Workload, workloads: Sequence[Workload]) -> tuple[Workload, ...]:
    """The early services that read what this job writes while it writes it: of several jobs, that of the last."""
    return tuple(one for one in workloads if one.is_early and one.needs[-1:] == (job.name,))


def plan(
    workloads: Sequence[Workload], images: Mapping[str, str], made_from: Mapping[str, Digest], at: Placement
) -> tuple[Planned, ...]:
    """In the order in which `up` starts them. `images` gives each image's name in the engine."""
    return tuple(_plan(workloads, images, made_from, at))


def _plan(
    workloads: Sequence[Workload], images: Mapping[str, str], made_from: Mapping[str, Digest], at: Placement
) -> Iterator[Planned]:
    for workload in in_order(workloads):
        image, fingerprint = images[workload.image], made_from[workload.name]
        other = proxy if workload.is_service else gate if workload.way_out else None
        between = other(workload, image, fingerprint, at) if other else None
        yield Planned(workload, container(workload, image, fingerprint, at), between)
