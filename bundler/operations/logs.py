"""`logs`: what a workload says, from its container while there is one, else from the release."""

from __future__ import annotations

from collections.abc import Iterator

from bundler.core.errors import UsageInvalid
from bundler.engine.docker import DockerEngine
from bundler.operations.release import Release
from bundler.store.contents import read_lock
from bundler.store.layout import BundleEntry, Store


class NoLog(UsageInvalid):
    """A workload that the bundle does not have, or that has not run."""


def logs(store: Store, bundle: BundleEntry, workload: str, *, tail: int | None, follow: bool) -> Iterator[bytes]:
    """A workload's output, in pieces; `tail` lines of it, or all. Raises NoLog, NoEngine."""
    names = [known.name for known in read_lock(store, bundle).workloads]
    if workload not in names:
        raise NoLog(
            f"{workload!r} was not found in {bundle.name}. It has: {', '.join(names) or 'no jobs and no services'}",
            hint=f"bundle logs {bundle.name} {names[0] if names else 'NAME'}",
        )
    release = Release.of(store, bundle)
    engine = DockerEngine.connect()
    found = release.find(release.placement.named(workload), engine)
    if found:
        yield from engine.logs(found.id, tail=tail, follow=follow)
    elif release.log(workload).is_file():
        lines = release.log(workload).read_bytes().splitlines(keepends=True)
        yield from lines[-tail:] if tail else lines
    else:
        raise NoLog(
            f"{workload} of {bundle.name} has no log",
            because="it has not run on this node",
            hint=f"bundle up {bundle.name}",
        )
