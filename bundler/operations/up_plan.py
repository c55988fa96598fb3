"""`up --dry-run`: what `up` would run, said without an engine and without changing anything."""

from __future__ import annotations

from dataclasses import dataclass

from bundler.engine.compose import compose
from bundler.manifest.lock import Lock, Question
from bundler.operations.lineage import jobs_given, of_other_runs
from bundler.operations.release import Release, fingerprints, is_training
from bundler.operations.release_record import JobRecord
from bundler.operations.set_aside import finished_aside
from bundler.store.contents import read_lock
from bundler.store.layout import BundleEntry, Store
from bundler.workloads.planned import Planned, plan


@dataclass(frozen=True, slots=True)
class UpPlan:
    """The graph of a bundle: its containers in their order, then the question. `done`: jobs that ended well before."""

    release: Release
    lock: Lock
    planned: tuple[Planned, ...]
    done: tuple[str, ...]
    question: Question | None

    @property
    def compose(self) -> str:
        """The same as a Compose file."""
        return compose(self.planned, self.release.placement)


def up_plan(store: Store, bundle: BundleEntry, *, restart_training: bool = False) -> UpPlan:
    """What `up` would run. Raises MalformedJson for a lock that can't be read."""
    release = Release.of(store, bundle)
    lock = read_lock(store, bundle)
    made_from = fingerprints(lock)
    images = {image.name: f"{bundle.name.name}/{image.name}:{bundle.name.version}" for image in lock.images}
    planned = plan(lock.workloads, images, made_from, release.placement)
    done: dict[str, JobRecord] = {}
    for one in planned:  # each after those that it needs: what is made from results is made again when they are
        job, made = one.workload, made_from[one.workload.name]
        if job.is_service or (restart_training and is_training(job)) or not {*one.needs} <= {*done}:
            continue
        record = release.finished(job.name, made) or finished_aside(release.directory, job.name, made)
        if record and not of_other_runs(record, {name: done[name].run for name in jobs_given(job)}):
            done[job.name] = record
    return UpPlan(release, lock, planned, tuple(done), lock.question)
