"""`status`: what each release on this node is doing. Imports little, reads small files, asks the engine once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bundler.engine.listing import Listed, containers
from bundler.operations.release_record import RELEASES, ReleaseRecord, WorkloadRecord, read_job, read_release


@dataclass(frozen=True, slots=True)
class WorkloadStatus:
    """A job (done, running, ended, failed, waiting) or a service (up, failed, down), in a sentence.

    A job that has ended, and is not done, ended well while no `up` watched: the next `up` takes its results.
    """

    name: str
    kind: str
    state: str
    detail: str


@dataclass(frozen=True, slots=True)
class ReleaseStatus:
    """A release and its workloads, in the order in which they run."""

    bundle: str
    root: str
    workloads: tuple[WorkloadStatus, ...]


Containers = dict[tuple[str, str], Listed]


def status(store: Path) -> tuple[ReleaseStatus, ...]:
    """The releases of the store in this directory. Raises NoEngine where there is something to ask an engine."""
    directories = sorted(path for path in (store.resolve() / RELEASES).glob("*") if path.is_dir())
    records = [(directory, record) for directory in directories if (record := read_release(directory))]
    if not records:
        return ()
    listed = containers()
    return tuple(_release(directory, record, listed) for directory, record in records)


def _release(directory: Path, record: ReleaseRecord, listed: tuple[Listed, ...]) -> ReleaseStatus:
    ours = {(found.workload, found.role): found for found in listed if found.directory == str(directory)}
    workloads = tuple(_workload(directory, workload, ours) for workload in record.workloads)
    return ReleaseStatus(record.bundle, str(record.root), workloads)


def _workload(directory: Path, workload: WorkloadRecord, ours: Containers) -> WorkloadStatus:
    if workload.address:
        state, detail = _service_state(workload.name, ours)
        return WorkloadStatus(workload.name, workload.kind, state, detail or workload.address)
    record = read_job(directory, workload.name)
    done = record is not None and record.fingerprint == workload.fingerprint and record.seconds is not None
    state, detail = ("done", "") if done else _job_state(ours.get((workload.name, "job")))
    return WorkloadStatus(workload.name, workload.kind, state, detail)


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
