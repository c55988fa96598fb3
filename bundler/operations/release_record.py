"""What a release's directory says of itself, so that `status` needs neither the store's blobs nor the lock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bundler.core.digest import Digest
from bundler.core.records import from_bytes

RELEASES = "releases"
"""The directory of all releases, in a store's."""


@dataclass(frozen=True, slots=True)
class WorkloadRecord:
    """A job or a service (`address` says where it answers, `health` at which path), and what it is made from."""

    name: str
    kind: str
    fingerprint: Digest
    address: str = ""
    health: str = ""


@dataclass(frozen=True, slots=True)
class ReleaseRecord:
    """Which bundle was brought up last, and what it runs, in order."""

    bundle: str
    root: Digest
    workloads: tuple[WorkloadRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class JobRecord:
    """What a job's results were made from; `seconds` is set when it ended well.

    `run` names the run that made them, `upstream` the runs of the jobs whose results it was given.
    """

    fingerprint: Digest
    seconds: float | None = None
    run: str = ""
    upstream: Mapping[str, str] = field(default_factory=dict)


def release_path(directory: Path) -> Path:
    """Where a release's record lies."""
    return directory / "release.json"


def job_path(directory: Path, job: str) -> Path:
    """Where the record of a job's results lies, beside them."""
    return directory / "results" / f"{job}.json"


def log_path(directory: Path, job: str) -> Path:
    """Where a job's output is kept."""
    return directory / "logs" / f"{job}.log"


def read_release(directory: Path) -> ReleaseRecord | None:
    """A release's record; None before its first `up`. Raises MalformedJson."""
    path = release_path(directory)
    try:
        return from_bytes(ReleaseRecord, path.read_bytes(), str(path))
    except FileNotFoundError:
        return None


def read_job(directory: Path, job: str) -> JobRecord | None:
    """The record of a job's results; None where there are none. Raises MalformedJson."""
    path = job_path(directory, job)
    try:
        return from_bytes(JobRecord, path.read_bytes(), str(path))
    except FileNotFoundError:
        return None


def finished(directory: Path, job: str, made_from: Digest) -> JobRecord | None:
    """The record of a job that ended well, made from this, and whose results are still there. Raises MalformedJson."""
    record = read_job(directory, job)
    whole = record and record.fingerprint == made_from and record.seconds is not None
    return record if whole and holds_something(directory / "results" / job) else None


def holds_something(place: Path) -> bool:
    """Whether a directory is there and not empty."""
    return place.is_dir() and any(place.iterdir())
