"""`logs`: what a workload says, from its container while there is one, else from the release."""

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
    """A workload that the bundle does not have, or that has not run."""


def logs(store: Store, bundle: BundleEntry, workload: str, *, tail: int | None, follow: bool) -> Iterator[bytes]:
    """A workload's output, in pieces; `tail` lines of it, or all. Raises NoLog, NoEngine."""
    release = Release.of(store, bundle)
    names = [known.name for known in read_lock(store, bundle).workloads]
    if workload not in names:
        raise NoLog(
            f"{workload!r} was not found in {bundle.name}. It has: {', '.join(names) or 'no jobs and no services'}",
            hint=release.command("logs", names[0]) if names else None,
        )
    kept = release.log(workload)
    try:
        engine = DockerEngine.connect()
        found = release.find(release.placement.named(workload), engine)
    except NoEngine:
        if not kept.is_file():
            raise
        found = None  # when the engine is down, what a job said last is what is wanted
    if found:
        yield from engine.logs(found.id, tail=tail, follow=follow)
    elif kept.is_file():
        with kept.open("rb") as file:
            yield from deque(file, maxlen=tail) if tail else file
    else:
        raise NoLog(
            f"{workload} of {bundle.name} has no log",
            because="it has not run on this node",
            hint=release.command("up"),
        )
