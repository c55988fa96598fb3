"""`check --burn`: the GPUs at work, in the image that trains on them; and the disk below the store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bundler.core.digest import Digest
from bundler.core.errors import UsageInvalid
from bundler.core.events import Events, Noted, StepEnded, StepStarted
from bundler.engine.docker import DockerEngine
from bundler.engine.durable_images import LoadNotes
from bundler.engine.load import load
from bundler.engine.log_lines import lines
from bundler.manifest.lock import Lock, LockedImage
from bundler.node.burn import STEP, Burn, parse, script
from bundler.node.disk_floors import CHECK, judge_disk
from bundler.node.disk_rate import measure
from bundler.node.findings import Finding, unread
from bundler.node.gpu_samples import sampling
from bundler.node.needs import Needs
from bundler.operations.release import Release
from bundler.store.layout import Store
from bundler.store.leases import leasing
from bundler.workloads.container import ContainerSpec, Placement
from bundler.workloads.paths import shared_memory


def burn(store: Store, lock: Lock, release: Release, gpus: int, engine: DockerEngine, events: Events) -> Burn:
    """Load the training image if need be, and measure each GPU in it, then all together: about a minute.

    What else runs on the GPUs falsifies the rates. Raises EngineFailed, and LockedByAnother while an `up` runs.
    """
    image = image_of(lock)
    with release.changing(), leasing(store, "check"):
        notes = LoadNotes(release.directory / "images")
        loaded = load(store, release.name, (image,), engine, events, notes)
        events.emit(StepStarted(STEP))
        spec = container(loaded.ids[image.name], gpus, release.placement)
        stale = release.find(spec.name, engine)
        if stale:
            engine.remove(stale.id)
        identity = engine.start(spec)
        try:
            with sampling() as samples:
                said = _said(identity, engine, events)
                engine.wait(identity)
        finally:
            engine.remove(identity)
    events.emit(StepEnded(STEP, f"{gpus} GPUs in the image {image.name}"))
    return replace(parse(said), samples=tuple(samples.taken), unsampled=samples.problem)


def try_disk(directory: Path, lock: Lock | None, events: Events) -> Finding:
    """Measure and judge the disk below the store: about ten seconds at most, and nothing is left of it."""
    events.emit(StepStarted("disk"))
    weights = Needs.of_bundle(lock).weights.values() if lock else ()
    try:
        found = judge_disk(measure(directory), max(weights, default=0))
    except OSError as error:
        found = unread(CHECK, f"the disk below {directory}", str(error))
    events.emit(StepEnded("disk", found.what))
    return found


def image_of(lock: Lock) -> LockedImage:
    """The image of the first workload that sees GPUs: the one that trains. Raises UsageInvalid where none does."""
    name = next((workload.image for workload in lock.workloads if workload.gpus), None)
    for image in lock.images:
        if image.name == name:
            return image
    raise UsageInvalid(
        f"{lock.bundle} runs on the CPU, its images have nothing to try GPUs with",
        hint="bundle list   # name a bundle that was built for GPUs",
    )


def container(image: str, gpus: int, at: Placement) -> ContainerSpec:
    """The container of the burn-in: as locked down as a job's, with the GPUs and the shared memory of one."""
    text = script()
    return ContainerSpec(
        name=at.named(STEP),
        image=image,
        command=("python3", "-c", text, str(gpus)),
        network="none",
        user=at.user,
        labels=at.labels(STEP, STEP, Digest.of(text.encode())),
        environment={"HOME": "/tmp", "USER": "bundle", "PYTHONUNBUFFERED": "1", "NCCL_DEBUG": "INFO"},
        gpus=gpus,
        shm=shared_memory(gpus=gpus),
    )


def _said(identity: str, engine: DockerEngine, events: Events) -> list[str]:
    found = []
    for line in lines(engine.logs(identity, follow=True)):
        found.append(line)
        events.emit(Noted(STEP, line))
    return found
