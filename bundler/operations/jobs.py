"""Running a job to its end: once for what it is made from, found again after an interruption."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bundler.core.digest import Digest
from bundler.core.durable import explained
from bundler.core.errors import BundlerError
from bundler.core.events import Events, Noted, StepEnded, StepStarted, Warned
from bundler.core.size import format_duration
from bundler.engine.docker import DockerEngine
from bundler.engine.log_lines import lines
from bundler.operations.release import Release
from bundler.operations.release_record import holds_something
from bundler.workloads import labels
from bundler.workloads.container import ContainerSpec

LAST_LINES = 15
STARTED_AGAIN = -1
"""In the place of an exit code: the engine has started the container again, and does not tell how it had ended."""


@dataclass(frozen=True, slots=True)
class JobResult:
    """A job that has ended well: in this run, or before (`ran` is False)."""

    name: str
    ran: bool
    seconds: float


class WorkloadFailed(BundlerError):
    """A container ended with an error; `verb` is the one that runs it again."""

    def __init__(
        self, kind: str, name: str, release: Release, exit_code: int, last: Iterable[str], verb: str = "up"
    ) -> None:
        reasons = {
            137: "killed (out of memory?)",
            139: "crashed",
            STARTED_AGAIN: "it ended, and the engine started it again",
        }
        reason = reasons.get(exit_code, f"exit code {exit_code}")
        super().__init__(
            f"the {kind} {name} of {release.name.name} failed: {reason}",
            because="the last lines of its log are:\n  " + "\n  ".join(last),
            hint=f"{release.command('logs', name)}   # shows all of it; {release.command(verb)} goes on from here",
        )


def run_job(
    name: str,
    spec: ContainerSpec,
    made_from: Digest,
    release: Release,
    engine: DockerEngine,
    events: Events,
    verb: str = "up",
    *,
    upstream: Mapping[str, str] | None = None,
    begun: Callable[[], None] = lambda: None,
) -> JobResult:
    """Run a job, or find that it has been run. Its log is kept in the release. Raises WorkloadFailed, EngineFailed.

    A container of the same fingerprint is waited for, so that an `up` that was interrupted goes on. `upstream` are the
    runs whose results it is given (`lineage.runs_given`). `begun` is called while it runs, once there is a place for
    its results; not at all where the job has been run.
    """
    done = release.finished(name, made_from)
    if done and done.seconds is not None:
        return JobResult(name, ran=False, seconds=done.seconds)
    events.emit(StepStarted(name))
    began = time.monotonic()
    identity = _begun(name, spec, made_from, release, engine)
    if identity is None:
        for broken in release.open_results(name, made_from, upstream):
            events.emit(Warned(f"{name}: {broken.name} is not gone on from, and is now {broken.now}: {broken.problem}"))
        release.set_log_aside(name)
        identity = engine.start(spec)
    begun()
    _keep_log(identity, name, release.log(name), engine, events)
    exit_code = engine.wait(identity)
    if exit_code:
        last = engine.last_words(identity, LAST_LINES)
        raise WorkloadFailed("job", name, release, exit_code, last, verb)
    release.settle_results(name)
    seconds = time.monotonic() - began
    release.close_results(name, made_from, seconds)
    engine.remove(identity)
    events.emit(StepEnded(name, f"done in {format_duration(seconds)}"))
    return JobResult(name, ran=True, seconds=seconds)


def _begun(name: str, spec: ContainerSpec, made_from: Digest, release: Release, engine: DockerEngine) -> str | None:
    """The job's container, where an earlier `up` started it and it runs, or has ended well and left its results."""
    found = release.find(spec.name, engine)
    if found is None:
        return None
    kept = found.running or (found.ended_well and holds_something(release.results(name)))
    if found.labels.get(labels.FINGERPRINT) == str(made_from) and kept:
        return found.id
    engine.remove(found.id)
    return None


def _keep_log(identity: str, name: str, path: Path, engine: DockerEngine, events: Events) -> None:
    """Follow a container's output to its end, into a file and, line by line, as events.

    A run that is found again is written anew: the engine gives its output from the beginning.
    """
    for line in lines(_written(path, engine.logs(identity, follow=True))):
        events.emit(Noted(name, line))


def _written(path: Path, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same pieces, each once it is in the file."""
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        log = path.open("wb", buffering=0)
    with log:
        for piece in pieces:
            with explained(path):
                log.write(piece)
            yield piece
