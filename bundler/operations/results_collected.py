"""What of a release's results travels back: which files, under which names, and which stay, by pure looking."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bundler.core.errors import UsageInvalid
from bundler.manifest.lock import Lock, Workload, checked_path
from bundler.operations.evaluate import evaluated_from
from bundler.operations.release import Release, fingerprints
from bundler.operations.release_record import job_path, read_job
from bundler.operations.results_read import LOG, STATE, newest_state, read_all
from bundler.workloads.loss_plot import loss_plot
from bundler.workloads.training_log import losses

PLOT = "training_loss.png"
"""LLaMA-Factory's name for it (LF 0.9.3, extras/ploting.py)."""

_STATE_OF_A_RUN = ("checkpoint-", "incomplete-", "runs")
"""Directories of a training that only the same training could go on from: optimizer states, event files."""
_PICKLED = ("training_args.bin", "optimizer.pt", "scheduler.pt", "scaler.pt")
"""Pickles of the trainer: they run code where they are read, and the arguments travel as the YAML that was given."""
_OF_THE_RUN = (LOG, STATE, PLOT, "training_eval_loss.png", "all_results.json", "train_results.json")


class NotDone(UsageInvalid):
    """A job whose results are asked for, and that has not ended well."""

    def __init__(self, release: Release, job: str, because: str, verb: str = "up") -> None:
        words = (job,) if verb == "logs" else ()
        super().__init__(
            f"there are no results of {job} of {release.name} to fetch",
            because=because,
            hint=release.command(verb, *words),
        )


@dataclass(frozen=True, slots=True)
class Collected:
    """Files by the paths that they get: of the trained model (an adapter or all of it), the merged one, the records.

    A record is a file, or bytes that were made here.
    """

    trained: dict[str, Path]
    merged: dict[str, Path]
    records: dict[str, Path | bytes]
    plot_drawn: bool


def collect(release: Release, lock: Lock, *, merged: bool) -> Collected:
    """Look at a release's results. Raises NotDone."""
    jobs = [workload for workload in lock.workloads if not workload.is_service]
    train = next((job for job in jobs if job.kind == "train"), None)
    merge = next((job for job in jobs if job.kind == "merge"), None)
    if train is None:
        raise NotDone(release, "training", "this bundle trains nothing", "inspect")
    if merged and merge is None:
        raise NotDone(release, "merge", "this bundle merges nothing: its training makes a whole model", "inspect")
    for job in (train, merge) if merged else (train,):
        if job:
            _ended_well(release, lock, job)
    place = release.results(train.name)
    found = dict(_files(place, ignored=_STATE_OF_A_RUN))
    records: dict[str, Path | bytes] = {
        f"{train.name}/{path}": found.pop(path) for path in _OF_THE_RUN if path in found
    }
    for path in _PICKLED:
        found.pop(path, None)
    drawn = _draw(place, train.name, records)
    for job in (*jobs, *_evaluated(release, lock)):
        records |= _told(release, job)
    return Collected(found, dict(_files(release.results(merge.name))) if merged and merge else {}, records, drawn)


def _ended_well(release: Release, lock: Lock, job: Workload) -> None:
    made_from = fingerprints(lock)[job.name]
    if release.finished(job.name, made_from):
        return
    record = read_job(release.directory, job.name)
    if record is None:
        raise NotDone(release, job.name, "it has not run on this node")
    if record.fingerprint != made_from:
        raise NotDone(release, job.name, "what lies there was made from another definition of the job, model or data")
    if record.seconds is None:
        raise NotDone(release, job.name, "it still runs, was interrupted, or failed", "logs")
    raise NotDone(release, job.name, f"{release.results(job.name)} is gone or empty")


def _evaluated(release: Release, lock: Lock) -> Iterator[Workload]:
    """The evaluations that have ended well, of these weights: what others were found to be worth stays here."""
    ran = [job for job in lock.evaluations if read_job(release.directory, job.name)]
    made_from = evaluated_from(release, lock) if ran else {}  # it reads the weights
    return (job for job in ran if release.finished(job.name, made_from[job.name]))


def _draw(place: Path, train: str, records: dict[str, Path | bytes]) -> bool:
    """A loss plot, where the training left none and its log has losses."""
    if f"{train}/{PLOT}" in records:
        return False
    points = losses(read_all(place / LOG), newest_state(place))
    if points:
        records[f"{train}/{PLOT}"] = loss_plot(points)
    return bool(points)


def _told(release: Release, job: Workload) -> Iterator[tuple[str, Path | bytes]]:
    """A job's configuration as it was given, its output, what its results were made from; what an evaluation left."""
    for path, text in job.files.items():
        yield f"{job.name}/config/{path}", text.encode()
    log, record = release.log(job.name), job_path(release.directory, job.name)
    yield from (
        (name, path) for name, path in ((f"{job.name}/{log.name}", log), (record.name, record)) if path.is_file()
    )
    if job.kind == "evaluate":
        yield from ((f"{job.name}/{path}", file) for path, file in _files(release.results(job.name)))


def _files(place: Path, ignored: tuple[str, ...] = ()) -> Iterator[tuple[str, Path]]:
    """Regular files below a directory, by relative path. A link would lead outside, and is passed over."""
    for directory, folders, names in os.walk(place):
        folders[:] = sorted(name for name in folders if not name.startswith(ignored or ("\0",)))
        for name in sorted(names):
            file = Path(directory) / name
            if stat.S_ISREG(file.lstat().st_mode):
                yield checked_path(file.relative_to(place).as_posix()), file
