"""`evaluate`: base and tuned model are asked the same questions, one after the other, and compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bundler.core import hint
from bundler.core.digest import Digest
from bundler.core.durable import write_file
from bundler.core.errors import UsageInvalid
from bundler.core.events import Events
from bundler.core.strict_json import canonical
from bundler.engine.docker import DockerEngine
from bundler.engine.durable_images import LoadNotes
from bundler.engine.load import load
from bundler.manifest.lock import Lock, Workload
from bundler.manifest.names import EVALUATE_BASE, EVALUATE_TUNED, TRAIN
from bundler.operations.jobs import JobResult, run_job
from bundler.operations.release import Release, fingerprints
from bundler.operations.release_record import read_release
from bundler.operations.set_aside import take_results_again
from bundler.operations.verify import verify
from bundler.store.contents import read_lock
from bundler.store.layout import BundleEntry, Store
from bundler.store.leases import leasing
from bundler.workloads.container import container
from bundler.workloads.evaluation_results import METRICS, PREDICTIONS, SideBySide, metrics, side_by_side

_WEIGHTS = (".safetensors", ".bin")
_ARGUMENTS = "training_args.bin"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Metrics by name of each of the two models (BLEU and ROUGE in percent), and their answers side by side."""

    release: Release
    jobs: tuple[JobResult, ...]
    base: Mapping[str, float]
    tuned: Mapping[str, float]
    answers: tuple[SideBySide, ...]

    def results(self) -> tuple[Path, Path]:
        """Where the two jobs left all that they found."""
        return self.release.results(EVALUATE_BASE), self.release.results(EVALUATE_TUNED)


class CannotEvaluate(UsageInvalid):
    """There is nothing to compare yet, or no room to do it in."""


def evaluate(store: Store, bundle: BundleEntry, events: Events) -> Evaluation:
    """Run both evaluations of a bundle whose training has ended, or find that they have been run.

    Raises CannotEvaluate, WorkloadFailed, EngineFailed, LockedByAnother, IntegrityFailed.
    """
    release, lock = Release.of(store, bundle), read_lock(store, bundle)
    if not lock.evaluations:
        raise CannotEvaluate(
            f"{bundle.name} has nothing to evaluate with",
            because="its manifest has no section 'evaluate' that names a test split",
            hint="bundle build MANIFEST   # with 'evaluate: {datasets: [NAME]}' in it",
        )
    with release.changing():
        _ready(release, lock)
        made_from = evaluated_from(release, lock)
        for job in lock.evaluations:  # of the weights of then, where one has gone back
            take_results_again(release.directory, job.name, made_from[job.name])
        engine = DockerEngine.connect()
        _room(release, lock)
        with leasing(store, "evaluate"):
            verify(store, bundle, events)
            needed = {job.image for job in lock.evaluations}
            notes = LoadNotes(release.directory / "images")
            wanted = [image for image in lock.images if image.name in needed]
            images = load(store, bundle.name, wanted, engine, events, notes)
        jobs = []
        for job in lock.evaluations:
            for path, text in job.files.items():
                write_file(release.directory / "config" / job.name / path, text.encode())
            spec = container(job, images.ids[job.image], made_from[job.name], release.placement)
            jobs.append(run_job(job.name, spec, made_from[job.name], release, engine, events, "evaluate"))
    return read_evaluation(release, tuple(jobs))


def read_evaluation(release: Release, jobs: tuple[JobResult, ...]) -> Evaluation:
    """What the two jobs left. Raises UnreadableEvaluation."""
    base, tuned = release.results(EVALUATE_BASE), release.results(EVALUATE_TUNED)
    found = [metrics(_bytes(place / METRICS), str(place / METRICS)) for place in (base, tuned)]
    answers = side_by_side(_bytes(base / PREDICTIONS), _bytes(tuned / PREDICTIONS), str(tuned / PREDICTIONS))
    return Evaluation(release, jobs, found[0], found[1], answers)


def _ready(release: Release, lock: Lock) -> None:
    """Whether this bundle is laid out here, and its training has ended well. Raises CannotEvaluate."""
    record = read_release(release.directory)
    if record is None or record.root != release.root:
        problem = f"{record.bundle} with another root is" if record else "nothing of it is"
        raise CannotEvaluate(
            f"{release.name} can't be evaluated", because=f"{problem} up on this node", hint=release.command("up")
        )
    if release.finished(TRAIN, fingerprints(lock)[TRAIN]) is None:
        raise CannotEvaluate(
            f"{release.name} can't be evaluated", because="its training has not ended well", hint=release.command("up")
        )


def _room(release: Release, lock: Lock) -> None:
    """A server that holds the GPUs' memory leaves none to an evaluation. Raises CannotEvaluate."""
    on_gpus = {workload.name for workload in lock.workloads if workload.is_service and workload.gpus}
    serving = [c.workload for c in release.containers() if c.state == "running" and c.workload in on_gpus]
    if serving and any(job.gpus for job in lock.evaluations):
        store = release.directory.parents[1]
        again = (hint.bundle(verb, release.name, store=store) for verb in ("down", "evaluate", "up"))
        raise CannotEvaluate(
            f"{release.name} can't be evaluated while it serves",
            because=f"the GPUs' memory is taken by {', '.join(sorted(set(serving)))}",
            hint=" && ".join(again),
        )


def evaluated_from(release: Release, lock: Lock) -> Mapping[str, Digest]:
    """For each evaluation what it is made from; the trained weights by their bytes, as training again gives others."""
    all_of_it = fingerprints(replace(lock, workloads=(*lock.workloads, *lock.evaluations), evaluations=()))
    weights = _weights(release.results(TRAIN))
    return {job.name: _with(all_of_it[job.name], weights, job) for job in lock.evaluations}


def _with(made_from: Digest, weights: Mapping[str, str], job: Workload) -> Digest:
    if not any(mount.source == f"results/{TRAIN}" for mount in job.mounts):
        return made_from
    return Digest.of(canonical({"definition": str(made_from), "weights": dict(weights)}))


def _weights(place: Path) -> Mapping[str, str]:
    found = (path for path in place.iterdir() if path.suffix in _WEIGHTS and path.name != _ARGUMENTS)
    return {path.name: str(Digest.of_file(path)) for path in sorted(found)}


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
