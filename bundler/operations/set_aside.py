"""Results that another definition of a job left: set aside beside the new ones, and taken again by whoever goes back.

`results/J.<fingerprint>` holds the files, `results/J.<fingerprint>.json` the record that was `results/J.json`,
`logs/J.<fingerprint>.log` what the job said, so that `fetch-results` never sends one training's log with another. The
order of writes keeps a death at any moment from letting results pass for those of another definition: a record with
no results beside it counts for nothing.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from bundler.core.digest import Digest
from bundler.core.durable import explained, sync, write_file
from bundler.core.records import from_bytes, to_json
from bundler.core.strict_json import MalformedJson, canonical
from bundler.operations.checkpoints import free_name
from bundler.operations.release_record import JobRecord, holds_something, job_path, log_path, read_job


def set_results_aside(release: Path, job: str) -> Path | None:
    """Rename what a job left, with its record. Returns where it is now; None where there was nothing."""
    place = release / "results" / job
    record = read_job(release, job)
    if record is None or not holds_something(place):
        return None
    with explained(place):
        aside = free_name(place.with_name(f"{job}.{record.fingerprint.short}"))
        write_file(_record_of(aside), canonical(to_json(record), indent=2))
        _move_log(release, job, aside.name)
        place.rename(aside)
        sync(place.parent)
    return aside


def take_results_again(release: Path, job: str, made_from: Digest) -> bool:
    """Put the results made from this back in place, where they were set aside and none such are there now.

    What is in place meanwhile is set aside in turn. Returns whether anything was taken.
    """
    found = _to_take(release, job, made_from)
    if found is None:
        return False
    aside, record = found
    place = release / "results" / job
    set_results_aside(release, job)
    with explained(place):
        if place.is_dir():
            place.rmdir()  # empty, or it would have been set aside
        write_file(job_path(release, job), canonical(to_json(record), indent=2))
        _move_log(release, aside.name, job)
        aside.rename(place)
        sync(place.parent)
        _record_of(aside).unlink()
    return True


def finished_aside(release: Path, job: str, made_from: Digest) -> JobRecord | None:
    """The record of the results that `take_results_again` would take, where they ended well."""
    found = _to_take(release, job, made_from)
    return found[1] if found and found[1].seconds is not None else None


def _move_log(release: Path, was: str, now: str) -> None:
    """Before its results: who dies in between finds it moved, and the results where they were."""
    with suppress(FileNotFoundError):
        log_path(release, was).replace(log_path(release, now))


def _record_of(aside: Path) -> Path:
    return aside.with_name(f"{aside.name}.json")


def _to_take(release: Path, job: str, made_from: Digest) -> tuple[Path, JobRecord] | None:
    current = read_job(release, job)
    if current and current.fingerprint == made_from and holds_something(release / "results" / job):
        return None
    return _find(release, job, made_from)


def _find(release: Path, job: str, made_from: Digest) -> tuple[Path, JobRecord] | None:
    """The results made from this that were set aside: those that ended well before those that did not."""
    found = []
    for path in sorted((release / "results").glob(f"{job}.{made_from.short}*.json")):
        aside = path.with_suffix("")
        try:
            record = from_bytes(JobRecord, path.read_bytes(), str(path))
        except (MalformedJson, json.JSONDecodeError):  # it is a file of results that nobody claims, and stays
            continue
        if record.fingerprint == made_from and holds_something(aside):
            found.append((aside, record))
    return max(found, key=lambda pair: pair[1].seconds is not None, default=None)
