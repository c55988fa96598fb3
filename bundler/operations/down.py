"""`down`: a release's containers and networks are removed; its results and the store stay."""

from __future__ import annotations

from dataclasses import dataclass

from bundler.core import hint
from bundler.core.errors import UsageInvalid
from bundler.core.events import Events, StepEnded, StepStarted
from bundler.engine.docker import DockerEngine
from bundler.operations.release import Release
from bundler.operations.release_record import read_release


@dataclass(frozen=True, slots=True)
class DownResult:
    """Which containers were removed, by name."""

    release: Release
    removed: tuple[str, ...]


class OtherVersionUp(UsageInvalid):
    """The version that is to be taken down is not the one that is up."""

    def __init__(self, release: Release, up: str) -> None:
        store = release.directory.parents[1]
        super().__init__(f"{up} is up, not {release.name}", hint=hint.bundle("down", up, store=store))


def down(release: Release, events: Events) -> DownResult:
    """Take a release down; its record stays, so that `up` and `rollback` find their way.

    Raises LockedByAnother while an `up` runs, NoEngine, EngineFailed.
    """
    up_now = read_release(release.directory)
    if up_now and up_now.bundle != str(release.name):
        raise OtherVersionUp(release, up_now.bundle)
    with release.changing():
        engine = DockerEngine.connect()
        events.emit(StepStarted("down"))
        found = release.containers()
        for container in found:
            engine.remove(container.id)
        engine.remove_networks(release.name.name)
        events.emit(StepEnded("down", f"{len(found)} containers removed"))
    return DownResult(release, tuple(container.name for container in found))
