"""`logs`: what workloads say, from their containers while there are any, else from the release."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from bundler.core.errors import UsageInvalid
from bundler.engine.docker import DockerEngine
from bundler.engine.errors import NoEngine
from bundler.operations.release import Release
from bundler.store.contents import read_lock
from bundler.store.layout import BundleEntry, Store


class NoLog(UsageInvalid):
    """A workload that the bundle does not have, or that has not run; or several, of which one can be followed."""


def logs(store: Store, bundle: BundleEntry, workload: str | None, *, tail: int | None, follow: bool) -> Iterator[bytes]:
    """A workload's output, in pieces; `tail` lines of it, or all. Without a name, each that has run, under a heading.

    Raises NoLog, NoEngine.
    """
    release = Release.of(store, bundle)
    lock = read_lock(store, bundle)
    names = [known.name for known in (*lock.workloads, *lock.evaluations)]
    if workload is None and follow and len(names) > 1:
        raise NoLog(
            f"{bundle.name} has {len(names)} logs, and one can be followed: {', '.join(names)}",
            hint=release.command("logs", names[0], "--follow"),
        )
    if workload is not None and workload not in names:
        raise NoLog(
            f"{workload!r} was not found in {bundle.name}. It has: {', '.join(names) or 'no jobs and no services'}",
            hint=release.command("logs", names[0]) if names else None,
        )
    wanted = names if workload is None else [workload]
    engine = _engine(release, wanted)
    found = {name: output for name in wanted if (output := _output(release, name, engine, tail=tail, follow=follow))}
    if not found:
        raise NoLog(
            f"{workload or 'nothing'} of {bundle.name} has {'no' if workload else 'a'} log",
            because="it has not run on this node" if workload else "it has not been brought up on this node",
            hint=release.command("up"),
        )
    for name, output in found.items():
        if workload is None and len(found) > 1:
            yield f"==> {name} <==\n".encode()
        yield from output


def _engine(release: Release, wanted: list[str]) -> DockerEngine | None:
    """The engine; None where it is down, and what a job said last is kept. Raises NoEngine where nothing is."""
    try:
        return DockerEngine.connect()
    except NoEngine:
        if not any(release.log(name).is_file() for name in wanted):
            raise
        return None


def _output(
    release: Release, workload: str, engine: DockerEngine | None, *, tail: int | None, follow: bool
) -> Iterator[bytes] | None:
    """What a workload said; None where it has said nothing yet."""
    container = release.find(release.placement.named(workload), engine) if engine else None
    if engine and container:
        return engine.logs(container.id, tail=tail, follow=follow)
    kept = release.log(workload)
    return _kept(release, workload, tail) if kept.is_file() else None


def _kept(release: Release, workload: str, tail: int | None) -> Iterator[bytes]:
    with release.log(workload).open("rb") as file:
        yield from deque(file, maxlen=tail) if tail else file
