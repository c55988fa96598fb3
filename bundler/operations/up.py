"""`up`: from a store on a node to a model that answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from bundler.core.digest import Digest
from bundler.core.events import Events, StepEnded
from bundler.engine.docker import DockerEngine
from bundler.engine.durable_images import LoadNotes
from bundler.engine.load import load
from bundler.manifest.lock import Workload
from bundler.node.findings import Finding
from bundler.operations.ask import Answer, ask
from bundler.operations.check import check
from bundler.operations.history import record_going_back, record_up
from bundler.operations.jobs import JobResult, run_job
from bundler.operations.lineage import of_other_runs, runs_given
from bundler.operations.release import Release, fingerprints, is_training, service
from bundler.operations.release_record import read_job
from bundler.operations.services import ServiceResult, bring_up, require_keys, start, url
from bundler.operations.set_aside import finished_aside, take_results_again
from bundler.operations.verify import verify
from bundler.operations.ways_out import way_out
from bundler.store.contents import read_lock
from bundler.store.layout import BundleEntry, Store
from bundler.store.leases import leasing
from bundler.store.verify import Verification
from bundler.workloads.container import container
from bundler.workloads.planned import started_with


@dataclass(frozen=True, slots=True)
class UpResult:
    """What `up` found and did."""

    release: Release
    verification: Verification
    findings: tuple[Finding, ...]
    loaded: tuple[str, ...]
    files_made: int
    jobs: tuple[JobResult, ...]
    services: tuple[ServiceResult, ...]
    answer: Answer | None

    @property
    def changed(self) -> bool:
        """Whether anything had to be done."""
        did = any(job.ran for job in self.jobs) or any(service.started for service in self.services)
        return bool(self.loaded or self.files_made or did)


def up(
    store: Store,
    bundle: BundleEntry,
    events: Events,
    *,
    timeout: float,
    restart_training: bool = False,
    going_back: bool = False,
    accepted: Sequence[str] = (),
) -> UpResult:
    """Check, verify, load, train, merge, serve, ask; what is done already is left alone.

    `timeout` is the seconds that each service may take until it answers. With `restart_training` what the training
    jobs have made is set aside first; `going_back` keeps the order of the release's history;
    `accepted` are checks that may block. Raises UsageInvalid, IntegrityFailed, NodeRefused, EngineFailed,
    WorkloadFailed, LockedByAnother, NoSpace; whatever was done is kept, and the next `up` goes on.
    """
    release = Release.of(store, bundle)
    with release.changing():
        lock = read_lock(store, bundle)
        engine = DockerEngine.connect()
        made_from = fingerprints(lock)
        findings = check(store, lock, release, engine, events, accepted)
        done = () if restart_training else run_before(lock.workloads, made_from, release)
        require_keys((one for one in lock.workloads if one.name not in done), release.placement)
        with leasing(store, "up"):  # until all that runs has links of its own
            verification = verify(store, bundle, events)
            notes = LoadNotes(release.directory / "images")
            images = load(store, bundle.name, lock.images, engine, events, notes)
            if going_back:
                record_going_back(release.directory, bundle)
            _remove_superseded(release, made_from, engine)
            files_made = release.lay_out(store, lock)
        for job in lock.workloads:  # of all jobs, before any runs and outdates what was made from its results
            if not job.is_service:
                take_results_again(release.directory, job.name, made_from[job.name])
        services = tuple(workload for workload in lock.workloads if workload.is_service)
        early: set[str] = set()

        def start_early(some: Sequence[Workload]) -> None:
            fresh = start(some, images.ids, made_from, release, engine)
            for one in some:
                if one.name in fresh:
                    events.emit(StepEnded(one.name, f"will answer at {url(one)}"))
            early.update(fresh)

        start_early([one for one in services if one.is_early and not one.needs])
        jobs = []
        for job in lock.workloads:
            if job.is_service:
                continue
            if restart_training and is_training(job):
                _give_up(job.name, made_from[job.name], release, engine)
            given = runs_given(release.directory, job)
            record = read_job(release.directory, job.name)
            if record and record.fingerprint == made_from[job.name] and of_other_runs(record, given):
                _give_up(job.name, made_from[job.name], release, engine)
            if release.finished(job.name, made_from[job.name]) is None:
                outdate_below(job.name, lock.workloads, made_from, release, engine)
            spec = container(job, images.ids[job.image], made_from[job.name], release.placement)
            begun = partial(start_early, started_with(job, services))
            with way_out(job, images.ids[job.image], made_from[job.name], release, engine):
                done_now = run_job(
                    job.name, spec, made_from[job.name], release, engine, events, upstream=given, begun=begun
                )
            jobs.append(done_now)
        running = bring_up(services, images.ids, made_from, release, engine, events, timeout, frozenset(early))
        asked = service(lock, lock.question.service) if lock.question else None
        answer = ask(lock.question, asked) if lock.question and asked else None
        notes.settle(lock.images)
        record_up(release.directory, bundle)
    return UpResult(release, verification, findings, images.loaded, files_made, tuple(jobs), running, answer)


def run_before(workloads: Sequence[Workload], made_from: Mapping[str, Digest], release: Release) -> tuple[str, ...]:
    """The jobs that have been run, as far as their records tell: nobody asks for the key of a training that is over."""
    found = []
    for job in (one.name for one in workloads if not one.is_service):
        if release.finished(job, made_from[job]) or finished_aside(release.directory, job, made_from[job]):
            found.append(job)
    return tuple(found)


def outdate_below(
    job: str,
    workloads: Sequence[Workload],
    made_from: Mapping[str, Digest],
    release: Release,
    engine: DockerEngine,
) -> None:
    """What was made from a job's results is made again when the job is: its definition alone does not tell.

    Said before the job runs, so that it holds when this `up` does not live to see its end.
    """
    outdated = {f"results/{job}"}
    for workload in workloads:
        if outdated.isdisjoint(mount.source for mount in workload.mounts):
            continue
        outdated.add(f"results/{workload.name}")
        _give_up(workload.name, made_from[workload.name], release, engine)


def _give_up(workload: str, made_from: Digest, release: Release, engine: DockerEngine) -> None:
    """What a workload has made is to be made again, and nobody waits for a container of it that runs."""
    release.outdate(workload, made_from)
    for found in release.containers():
        if found.workload == workload:
            engine.remove(found.id)


def _remove_superseded(release: Release, made_from: Mapping[str, Digest], engine: DockerEngine) -> None:
    """Containers of an earlier version give up their ports and GPU memory before anything of this one runs."""
    wanted = {(workload, str(fingerprint)) for workload, fingerprint in made_from.items()}
    for found in release.containers():
        if (found.workload, found.fingerprint) not in wanted:
            engine.remove(found.id)
