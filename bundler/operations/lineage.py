"""From which runs of other jobs a job's results come: the same definition, run again, gives other weights.

A fingerprint says what a job is made from, and is the same before and after `--restart-training`. So each run has a
name of its own, and the record of what a job made names the runs that it was given.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bundler.manifest.lock import Workload
from bundler.operations.release_record import JobRecord, read_job

_RESULTS = "results/"


def jobs_given(workload: Workload) -> tuple[str, ...]:
    """The jobs whose results a workload mounts."""
    sources = {mount.source for mount in workload.mounts if mount.source.startswith(_RESULTS)}
    return tuple(sorted(source.removeprefix(_RESULTS) for source in sources))


def runs_given(release: Path, workload: Workload) -> Mapping[str, str]:
    """For each of those jobs the run that its results are of now; empty for one that noted none."""
    return {job: record.run if (record := read_job(release, job)) else "" for job in jobs_given(workload)}


def of_other_runs(record: JobRecord, given: Mapping[str, str]) -> bool:
    """Whether a job's results come from other runs than these: another version made them, before those were made again.

    A record that names no runs is believed.
    """
    return bool(record.upstream) and record.upstream != given
