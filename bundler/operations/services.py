"""Bringing services up: only those that are not up as they should be; ready means that they answer."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bundler.core.digest import Digest
from bundler.core.durable import explained
from bundler.core.errors import UsageInvalid
from bundler.core.events import Events, StepEnded, StepStarted
from bundler.core.size import format_duration
from bundler.engine.docker import ContainerState, DockerEngine
from bundler.engine.errors import EngineFailed
from bundler.manifest.lock import Workload
from bundler.operations.health import HEALTHY, health, reachable
from bundler.operations.jobs import LAST_LINES, STARTED_AGAIN, WorkloadFailed
from bundler.operations.release import Release, address
from bundler.workloads import labels
from bundler.workloads.container import Placement, container
from bundler.workloads.proxy import proxy


@dataclass(frozen=True, slots=True)
class ServiceResult:
    """A service that answers: started in this run, or found so."""

    name: str
    url: str
    started: bool


class NotReady(EngineFailed):
    """A service runs and does not answer in time."""

    def __init__(self, workload: Workload, release: Release, seconds: float) -> None:
        super().__init__(
            f"the service {workload.name} of {release.name.name} did not answer within {format_duration(seconds)}",
            because=f"{url(workload)}{workload.health} gives no success; its container still runs",
            hint=f"{release.command('logs', workload.name)}   # then {release.command('up')} --timeout SECONDS",
        )


class KeyUnreadable(UsageInvalid):
    """The file with a workload's API key is not there, or not for the user that the service runs as."""

    def __init__(self, workload: Workload, problem: str, user: str) -> None:
        kind = "service" if workload.is_service else "job"
        super().__init__(
            f"the API key of the {kind} {workload.name} can't be read from {workload.api_key}",
            because=f"{problem}; the manifest names this file, and the {kind} runs as the user {user}",
            hint=f"chown {user} {workload.api_key} && chmod 400 {workload.api_key}   # one line: the key",
        )


def require_keys(workloads: Iterable[Workload], place: Placement) -> None:
    """Every file with an API key is there, and readable by who needs it. Raises KeyUnreadable."""
    for workload in workloads:
        if workload.api_key:
            _key(workload, place.user)


def _key(workload: Workload, user: str) -> None:
    uid, gid = map(int, user.split(":"))
    try:
        found = Path(workload.api_key).stat()
    except OSError as error:
        raise KeyUnreadable(workload, error.strerror or "it is not there", user) from error
    wanted = stat.S_IRUSR if found.st_uid == uid else stat.S_IRGRP if found.st_gid == gid else stat.S_IROTH
    if not stat.S_ISREG(found.st_mode) or not found.st_size:
        raise KeyUnreadable(workload, "it is not a file with something in it", user)
    if not found.st_mode & wanted:
        raise KeyUnreadable(workload, f"it has the mode {stat.S_IMODE(found.st_mode):03o} and is user {found.st_uid}'s",
                            user)  # fmt: skip


def make_state(workload: Workload, place: Placement) -> None:
    """The directories that a service writes, made once, and its own. They outlive it and every later version."""
    uid, gid = map(int, place.user.split(":"))
    for mount in workload.state:
        path = Path(place.state(workload.name, mount))
        with explained(path):
            path.mkdir(parents=True, exist_ok=True)
            if (found := path.stat()) and (found.st_uid, found.st_gid) != (uid, gid):
                os.chown(path, uid, gid)


def url(workload: Workload) -> str:
    """A service's address for people."""
    host = reachable(workload.bind)
    return f"http://[{host}]:{workload.port}" if ":" in host else f"http://{host}:{workload.port}"


def _is_up(workload: Workload, made_from: Digest, release: Release, engine: DockerEngine) -> bool:
    """Whether the service and its proxy run, made from what they should be."""
    found = [engine.find(name) for name in _names(workload, release)]
    return all(state and state.running and state.labels.get(labels.FINGERPRINT) == str(made_from) for state in found)


def _names(workload: Workload, release: Release) -> tuple[str, str]:
    """The containers of a service: its own, and its proxy's."""
    return release.placement.named(workload.name), release.placement.named(workload.name, "proxy")


def start(
    workloads: Iterable[Workload],
    images: Mapping[str, str],
    made_from: Mapping[str, Digest],
    release: Release,
    engine: DockerEngine,
) -> frozenset[str]:
    """Start the services that are not up, and wait for none. Returns their names. Raises KeyUnreadable,
    EngineFailed.
    """
    place = release.placement
    started: set[str] = set()
    for workload in workloads:
        if _is_up(workload, made_from[workload.name], release, engine):
            continue
        require_keys((workload,), place)
        started.add(workload.name)
        engine.ensure_network(place.inner, {labels.BUNDLE: place.bundle}, internal=True)
        engine.ensure_network(place.edge, {labels.BUNDLE: place.bundle}, internal=False)
        image = images[workload.image]
        make_state(workload, place)
        for spec in (
            container(workload, image, made_from[workload.name], place),
            proxy(workload, image, made_from[workload.name], place),
        ):
            stale = release.find(spec.name, engine)
            if stale:
                engine.remove(stale.id)
            engine.start(spec)
    return frozenset(started)


def bring_up(
    workloads: tuple[Workload, ...],
    images: Mapping[str, str],
    made_from: Mapping[str, Digest],
    release: Release,
    engine: DockerEngine,
    events: Events,
    timeout: float,
    early: frozenset[str] = frozenset(),
) -> tuple[ServiceResult, ...]:
    """Start the services that are not up, then wait until all answer. Raises WorkloadFailed, NotReady,
    KeyUnreadable.

    `timeout` is seconds for each; a service that ends while it is waited for fails at once. `early` are those that
    were started before in this run.
    """
    require_keys(workloads, release.placement)
    started = early | start(workloads, images, made_from, release, engine)
    for workload in workloads:
        _wait(workload, release, engine, events, timeout, fresh=workload.name in started)
    return tuple(ServiceResult(workload.name, url(workload), workload.name in started) for workload in workloads)


def _wait(
    workload: Workload, release: Release, engine: DockerEngine, events: Events, timeout: float, *, fresh: bool
) -> None:
    if fresh:
        events.emit(StepStarted(workload.name))
    began = time.monotonic()
    before = {name: state.restarts for name in _names(workload, release) if (state := engine.find(name))}
    while not answers(workload):
        _require_running(workload, release, engine, before, fresh=fresh)
        if time.monotonic() - began > timeout:
            raise NotReady(workload, release, timeout)
        time.sleep(0.25)
    for name in _names(workload, release):  # also where an earlier `up` was interrupted before it could say so
        engine.keep_running(name)
    if fresh:
        took = format_duration(time.monotonic() - began)
        events.emit(StepEnded(workload.name, f"answers at {url(workload)} after {took}"))


def _require_running(
    workload: Workload, release: Release, engine: DockerEngine, before: Mapping[str, int], *, fresh: bool
) -> None:
    """A container that is gone, has ended, or was started again by the engine since has failed.

    `before` counts how often the engine had started each again; a fresh one, never. It is stopped then: Podman, whose
    services have their restart policy from the beginning, would start it for ever.
    """
    for kind, name in zip(("service", "proxy of the service"), _names(workload, release), strict=True):
        state = engine.find(name)
        if state is None or not state.running or state.restarts > (0 if fresh else before.get(name, 0)):
            if state and fresh:
                engine.halt(state.id)
            exit_code, last = _autopsy(state, engine)
            raise WorkloadFailed(kind, workload.name, release, exit_code, last)


def _autopsy(state: ContainerState | None, engine: DockerEngine) -> tuple[int, tuple[str, ...]]:
    """How it ended. Not waited for: the engine may be starting it again."""
    if state is None:
        return 1, ("(its container is gone)",)
    exit_code = STARTED_AGAIN if state.running else state.exit_code
    return exit_code, engine.last_words(state.id, LAST_LINES)


def answers(workload: Workload) -> bool:
    """Whether the service is healthy, as `status` would tell it."""
    return health(address(workload), workload.health) == HEALTHY
