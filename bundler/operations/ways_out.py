"""The container through which a job reaches its one server of the intranet, for as long as the job runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bundler.core.digest import Digest
from bundler.core.durable import explained
from bundler.core.errors import BundlerError
from bundler.engine.docker import DockerEngine
from bundler.engine.errors import EngineFailed
from bundler.manifest.lock import Workload
from bundler.operations.release import Release
from bundler.workloads import labels
from bundler.workloads.way_out import gate


@contextmanager
def way_out(job: Workload, image: str, made_from: Digest, release: Release, engine: DockerEngine) -> Iterator[None]:
    """Start it, where the job has a way out and is still to run, and remove it when the job has ended.

    It stays where this process ends and the job goes on in the engine: the next `up` waits for it.
    """
    if not job.way_out:
        yield
        return
    place = release.placement
    spec = gate(job, image, made_from, place)
    found = release.find(spec.name, engine)
    if release.finished(job.name, made_from):
        if found:  # of an `up` that was killed between the job's end and this
            engine.remove(found.id)
        yield
        return
    _make(Path(place.way_out(job.name)), place.user)
    if not found or not found.running or found.labels.get(labels.FINGERPRINT) != str(made_from):
        if found:
            engine.remove(found.id)
        engine.ensure_network(place.outer, {labels.BUNDLE: place.bundle}, internal=False, masquerade=True)
        engine.start(spec)
    try:
        yield
    except BundlerError:
        with suppress(EngineFailed):  # what went wrong first is what is told
            running = engine.find(place.named(job.name))
            if not running or not running.running:
                engine.remove(spec.name)
        raise
    engine.remove(spec.name)


def _make(directory: Path, user: str) -> None:
    """The socket's directory, the containers' own: nobody else on the node gets out by it."""
    uid, gid = map(int, user.split(":"))
    with explained(directory):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if directory.stat().st_uid != uid:
            os.chown(directory, uid, gid)
