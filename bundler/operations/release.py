"""A release: a bundle that is up on a node, and its directory there.

STORE/releases/NAME/
  release.json   which bundle, which root            models/M/  datasets/D/   links into the store's blobs
  config/W/      the workloads' configuration        results/J/ + results/J.json   what a job left, and for what
  logs/J.log     what the job said (.1: the run before)      lock       who is changing it right now
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from bundler.core import hint
from bundler.core.digest import Digest
from bundler.core.durable import explained, sync, write_file
from bundler.core.errors import LockedByAnother
from bundler.core.records import to_json
from bundler.core.reference import BundleName
from bundler.core.strict_json import canonical
from bundler.engine.endpoint import client
from bundler.engine.listing import Listed, of_release
from bundler.manifest.lock import Lock, Workload
from bundler.operations.checkpoints import SetAside, set_broken_aside
from bundler.operations.release_record import (
    RELEASES,
    JobRecord,
    ReleaseRecord,
    WorkloadRecord,
    finished,
    job_path,
    log_path,
    read_job,
    release_path,
)
from bundler.operations.set_aside import set_results_aside
from bundler.store.layout import BundleEntry, Store
from bundler.store.links import materialise
from bundler.store.locking import holding
from bundler.workloads.container import Placement, fingerprint

if TYPE_CHECKING:  # `status` does without the docker SDK, whose import takes 0.2 s
    from bundler.engine.docker import ContainerState, DockerEngine

_OUTDATED = Digest.of(b"made from results that have been made again")
CONTAINER_UID = 1000
"""Who containers run as where we are root; otherwise they run as us."""


@dataclass(frozen=True, slots=True)
class Release:
    """The directory of one bundle's release, with the names that its containers get."""

    directory: Path
    name: BundleName
    root: Digest

    @classmethod
    def of(cls, store: Store, bundle: BundleEntry) -> Release:
        """The release of this bundle, up or not, on the same file system as the store, so that links work."""
        return cls(store.root.resolve() / RELEASES / bundle.name.name, bundle.name, bundle.root.digest)

    def command(self, verb: str, *words: str) -> str:
        """A command on this release, for hints."""
        return hint.bundle(verb, self.name, *words, store=self.directory.parents[1])

    @property
    def placement(self) -> Placement:
        """Where and as whom its containers run."""
        return Placement(
            bundle=self.name.name,
            root=self.root,
            project=f"bundle-{self.name.name}",
            directory=PurePosixPath(self.directory.absolute()),
            user="{}:{}".format(*_owner()),
        )

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Keep every other `up` and `down` of this release out. Raises LockedByAnother at once."""
        with explained(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
        with holding(self.directory / "lock", f"the release of {self.name.name}", patience=0):
            yield

    def find(self, container: str, engine: DockerEngine) -> ContainerState | None:
        """One of its containers, by its whole name, running or not. Raises NameTaken where it is another's."""
        found = engine.find(container)
        if found and found.directory != str(self.directory.absolute()):
            raise NameTaken(container, found)
        return found

    def containers(self) -> tuple[Listed, ...]:
        """All its containers, also of versions before this one. Raises NoEngine, EngineFailed, InAnotherEngine."""
        return of_release(self.name.name, self.directory.absolute())

    def lay_out(self, store: Store, lock: Lock) -> int:
        """Make models, datasets and configuration as the lock says. Returns how many files had to be made."""
        made = 0
        for kind, artifacts in (("models", lock.models), ("datasets", lock.datasets)):
            for artifact in artifacts:
                made += materialise(store, artifact.files, self.directory / kind / artifact.name)
        for workload in lock.workloads:
            for path, text in workload.files.items():
                made += _write_if_new(self.directory / "config" / workload.name / path, text.encode())
        made_from = fingerprints(lock)
        workloads = tuple(
            WorkloadRecord(w.name, w.kind, made_from[w.name], address(w), w.health if w.is_service else "")
            for w in lock.workloads
        )
        record = ReleaseRecord(str(self.name), self.root, workloads)
        made += _write_if_new(release_path(self.directory), canonical(to_json(record), indent=2))
        return made

    def results(self, job: str) -> Path:
        """Where a job leaves its results."""
        return self.directory / "results" / job

    def log(self, job: str) -> Path:
        """Where a job's output is kept."""
        return log_path(self.directory, job)

    def set_log_aside(self, job: str) -> None:
        """Keep the log of a job's run before this one, as `J.log.1`: why it failed is what people ask next."""
        log = self.log(job)
        with explained(log), suppress(FileNotFoundError):
            log.replace(log.with_name(f"{log.name}.1"))

    def write_job_record(self, job: str, record: JobRecord) -> None:
        """Say what the results are made from, durably."""
        write_file(job_path(self.directory, job), canonical(to_json(record), indent=2))

    def outdate(self, job: str, made_from: Digest) -> None:
        """Results of this job made from this count as made from something else: set aside by the next run, for good.

        Those of another definition keep their record, by which they are found when one goes back to it.
        """
        if (record := read_job(self.directory, job)) and record.fingerprint == made_from:
            self.write_job_record(job, JobRecord(_OUTDATED))

    def finished(self, job: str, made_from: Digest) -> JobRecord | None:
        """The record of a job that ended well, made from this, and whose results are still there."""
        return finished(self.directory, job, made_from)

    def open_results(
        self, job: str, made_from: Digest, upstream: Mapping[str, str] | None = None
    ) -> tuple[SetAside, ...]:
        """Make room for a job's results. What another definition of the job left is set aside, never deleted.
        `upstream` are the runs whose results the job is given.

        Returns the checkpoints that were not whole, and are set aside too: the trainer goes on from the newest.
        """
        before = read_job(self.directory, job)
        place = self.results(job)
        if before and before.fingerprint != made_from:
            set_results_aside(self.directory, job)
        with explained(place):
            place.mkdir(parents=True, exist_ok=True)
            os.chown(place, *_owner())
            broken = set_broken_aside(place)
        self.write_job_record(job, JobRecord(made_from, run=secrets.token_hex(8), upstream=upstream or {}))
        return broken

    def close_results(self, job: str, made_from: Digest, seconds: float) -> None:
        """Say durably that a job has ended well, and its results are whole."""
        begun = read_job(self.directory, job)
        ours = begun if begun and begun.fingerprint == made_from else JobRecord(made_from)
        self.write_job_record(job, replace(ours, seconds=seconds))

    def settle_results(self, job: str) -> None:
        """Make a job's results durable, and readable by others, before anything says that they are whole.

        transformers 5 writes *.safetensors with mode 0600, and who serves them may be another user.
        """
        place = self.results(job)
        with explained(place):
            for path in (place, *place.rglob("*")):
                if not stat.S_ISREG(mode := path.lstat().st_mode) and not stat.S_ISDIR(mode):
                    continue  # a link, or a pipe or a socket that the job left, whose opening would wait for ever
                if path != place:
                    path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
                sync(path)


class NameTaken(LockedByAnother):
    """A container of this name belongs to another store's release, or to no bundle at all."""

    def __init__(self, container: str, found: ContainerState) -> None:
        super().__init__(
            f"there is a container {container} on this engine that belongs to {found.directory or 'someone else'}",
            because="two releases of one bundle can't share an engine",
            hint=f"take the other one down first, or: {client()} rm -f {container}",
        )


def address(workload: Workload) -> str:
    """Where a service is bound; empty for a job."""
    return f"http://{workload.bind}:{workload.port}" if workload.is_service else ""


def _owner() -> tuple[int, int]:
    return (CONTAINER_UID, CONTAINER_UID) if os.geteuid() == 0 else (os.geteuid(), os.getegid())


def _write_if_new(path: Path, content: bytes) -> int:
    if path.is_file() and path.read_bytes() == content:
        return 0
    write_file(path, content)
    return 1


def fingerprints(lock: Lock) -> Mapping[str, Digest]:
    """For each workload, what it is made from: its definition, its image, and all that its mounts hold."""
    images = {image.name: image.manifest.digest for image in lock.images}
    sources: dict[str, Digest] = {f"models/{model.name}": model.manifest.digest for model in lock.models}
    sources |= {f"datasets/{dataset.name}": dataset.manifest.digest for dataset in lock.datasets}
    found: dict[str, Digest] = {}
    for workload in lock.workloads:
        found[workload.name] = fingerprint(workload, images[workload.image], sources)
        sources[f"results/{workload.name}"] = found[workload.name]
    return found


def service(lock: Lock, name: str) -> Workload | None:
    """The service of this name."""
    return next((workload for workload in lock.workloads if workload.is_service and workload.name == name), None)


def is_training(workload: Workload) -> bool:
    """Whether this job is what `--restart-training` starts over, with all that is made from its results."""
    return workload.kind == "train"
