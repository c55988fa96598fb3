"""`status`: what each release on this node is doing. Imports little, reads small files, asks the engine once."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from bundler.engine.listing import Listed, containers, elsewhere
from bundler.node.gpu_load import GpuLoad, read_gpu_load
from bundler.operations.health import health
from bundler.operations.release_record import RELEASES, ReleaseRecord, WorkloadRecord, finished, read_release
from bundler.operations.results_read import training_progress
from bundler.workloads.training_log import Progress


@dataclass(frozen=True, slots=True)
class WorkloadStatus:
    """A job (done, running, ended, failed, waiting) or a service (up, failed, down), in a sentence.

    A job that has ended, and is not done, ended well while no `up` watched: the next `up` takes its results.
    `health` is what a service that is up answers; `training` how far a training is, or how it ended.
    """

    name: str
    kind: str
    state: str
    detail: str
    health: str = ""
    training: Progress | None = None


@dataclass(frozen=True, slots=True)
class ReleaseStatus:
    """A release and its workloads, in the order in which they run."""

    bundle: str
    root: str
    workloads: tuple[WorkloadStatus, ...]


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """All releases of a store, and what the node's GPUs do (none are listed where there is no release)."""

    releases: tuple[ReleaseStatus, ...]
    gpus: tuple[GpuLoad, ...] = ()


Containers = dict[tuple[str, str], Listed]


def node_status(store: Path) -> NodeStatus:
    """The releases of the store in this directory, and the GPUs. Raises NoEngine as `status`."""
    releases = status(store)
    return NodeStatus(releases, read_gpu_load() if releases else ())


def status(store: Path) -> tuple[ReleaseStatus, ...]:
    """The releases of the store in this directory. Raises NoEngine where there is something to ask an engine."""
    directories = sorted(path for path in (store.resolve() / RELEASES).glob("*") if path.is_dir())
    records = [(directory, record) for directory in directories if (record := read_release(directory))]
    if not records:
        return ()
    listed = (*containers(), *chain.from_iterable(elsewhere().values()))
    return tuple(_release(directory, record, listed) for directory, record in records)


def _release(directory: Path, record: ReleaseRecord, listed: tuple[Listed, ...]) -> ReleaseStatus:
    ours = {(found.workload, found.role): found for found in listed if found.directory == str(directory)}
    workloads = tuple(_workload(directory, workload, ours) for workload in record.workloads)
    return ReleaseStatus(record.bundle, str(record.root), workloads)


def _workload(directory: Path, workload: WorkloadRecord, ours: Containers) -> WorkloadStatus:
    if workload.address:
        state, detail = _service_state(workload.name, ours)
        answers = health(workload.address, workload.health) if state == "up" else ""
        return WorkloadStatus(workload.name, workload.kind, state, detail or workload.address, answers)
    done = finished(directory, workload.name, workload.fingerprint)
    state, detail = ("done", "") if done else _job_state(ours.get((workload.name, "job")))
    told = workload.kind == "train" and state != "waiting"
    training = training_progress(directory / "results" / workload.name) if told else None
    return WorkloadStatus(workload.name, workload.kind, state, detail, training=training)


def _service_state(name: str, ours: Containers) -> tuple[str, str]:
    service, proxy = ours.get((name, "service")), ours.get((name, "proxy"))
    if service is None:
        return "down", "not started"
    if service.state != "running":
        return "failed", service.status
    if proxy is None or proxy.state != "running":
        return "failed", f"its proxy: {proxy.status if proxy else 'not started'}"
    return "up", ""


def _job_state(container: Listed | None) -> tuple[str, str]:
    if container is None:
        return "waiting", "not started"
    if container.state == "running":
        return "running", container.status
    return ("ended" if container.status.startswith("Exited (0)") else "failed"), container.status
