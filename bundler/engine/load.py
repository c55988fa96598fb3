"""From the store into the engine: by digest, only what it lacks."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bundler.core.errors import NoSpace
from bundler.core.events import BytesMoved, Events, Noted, StepEnded, StepStarted, Warned
from bundler.core.reference import BundleName
from bundler.core.size import format_size
from bundler.engine.docker import DockerEngine
from bundler.engine.durable_images import LoadNotes, whole
from bundler.engine.endpoint import client
from bundler.engine.errors import EngineFailed, NoEngine
from bundler.engine.loopback_registry import LOOPBACK, serving
from bundler.manifest.lock import LockedImage
from bundler.media import docker_image
from bundler.store.layout import Store

STEP = "load"


class StillDamaged(EngineFailed):
    """An image that was loaded anew and is not whole: the engine kept a layer of it for another image."""

    def __init__(self, image: LockedImage) -> None:
        super().__init__(
            f"image {image.name} is damaged in the engine, also after it was loaded again",
            because="the machine stopped while layers were unpacked, and another image shares the damaged ones",
            hint=f"{client()} image prune -a   # removes images that no container uses; then the same command again",
        )


@dataclass(frozen=True, slots=True)
class Loaded:
    """Which images were loaded, which were there, and the engine's id of each."""

    ids: dict[str, str]
    loaded: tuple[str, ...]


def load(
    store: Store,
    bundle: BundleName,
    images: Iterable[LockedImage],
    engine: DockerEngine,
    events: Events,
    notes: LoadNotes,
) -> Loaded:
    """Load these images through a registry on the loopback; each gets the name `BUNDLE/IMAGE:VERSION`.

    Where the engine does not reach this process's loopback (rootless, in a virtual machine), the images are streamed
    to it as `docker load` takes them. Raises EngineFailed where the engine refuses one, NoSpace where it has no room.
    """
    images = tuple(images)
    there = {image.name: engine.image(image.manifest, image.blobs[0]) for image in images}
    damaged = set()
    for image in images:
        found = there[image.name]
        if found and notes.doubtful(image) and not _is_whole(store, image, found, engine, events):
            damaged.add(image.name)
            there[image.name] = None
    absent = tuple(image for image in images if there[image.name] is None)
    if absent:
        _say_what_is_needed(store, absent, engine, events)
    ids: dict[str, str] = {}
    events.emit(StepStarted(STEP, sum(blob.size for image in absent for blob in image.blobs)))
    door = _Door(events)
    with serving(store, absent, door.asked) as door.address:
        for image in images:
            found = there[image.name]
            if found is None:
                notes.begun(image)
                found = _load(store, image, bundle, door, engine, events)
                if image.name in damaged and not whole(store, image, found, engine):
                    raise StillDamaged(image)
            ids[image.name] = found
            _name(found, image, bundle, engine)
    loaded = tuple(image.name for image in absent)
    events.emit(StepEnded(STEP, f"{len(loaded)} loaded, {len(images) - len(loaded)} already there"))
    return Loaded(ids, loaded)


def _is_whole(store: Store, image: LockedImage, found: str, engine: DockerEngine, events: Events) -> bool:
    """Read an image that is there; where it is not whole, it is removed."""
    events.emit(Noted(STEP, f"{image.name} was loaded just before the machine stopped: reading it"))
    if whole(store, image, found, engine):
        return True
    events.emit(Warned(f"image {image.name} was not whole when the machine stopped: it is loaded again"))
    engine.remove_image(found)
    return False


@dataclass
class _Door:
    """The registry on the loopback: whether the engine reaches it, of which its asking is the proof (None: not known).

    What it asked for is shown as progress; engines tell of it differently, or not at all.
    """

    events: Events
    address: str = ""
    reached: bool | None = None

    def asked(self, layer: str, count: int) -> None:
        """The engine asked for something, and was sent this much."""
        self.reached = True
        if count:
            self.events.emit(BytesMoved(STEP, layer, count))

    def pull(self, reference: str, engine: DockerEngine) -> bool:
        """Have the engine pull, unless it has been seen not to reach this. Returns whether it reaches it."""
        if self.reached is False:
            return False
        try:
            engine.pull(reference)
        except NoEngine:
            raise
        except EngineFailed:
            if self.reached:
                raise
            self.reached = False
        return self.reached is not False


def _load(
    store: Store, image: LockedImage, bundle: BundleName, door: _Door, engine: DockerEngine, events: Events
) -> str:
    """Load an image, over the loopback or as a stream. Returns the engine's id of it."""
    served = f"{door.address}/{bundle.name}/{image.name}@{image.manifest.digest}"
    try:
        if not door.pull(served, engine):
            events.emit(Noted(STEP, f"the engine does not reach {door.address}: {image.name} is streamed to it"))
            reference = f"{bundle.name}/{image.name}:{bundle.version}"
            moved = docker_image.stream(
                store, image, reference, lambda layer, count: events.emit(BytesMoved(STEP, layer, count))
            )
            engine.load(moved, f"image {image.name}")
    except EngineFailed as error:
        if "no space left on device" in (error.because or ""):
            raise NoSpace(
                f"the engine has no room for image {image.name}",
                because=error.because,
                hint=f"{client()} system df; {client()} image prune   # then the same command again",
            ) from error
        raise
    found = engine.image(image.manifest, image.blobs[0])
    if found is None:
        raise EngineFailed(
            f"image {image.name} was loaded, but the engine does not know it",
            because=f"neither {image.blobs[0].digest} nor {image.manifest.digest} names an image there",
        )
    return found


def _say_what_is_needed(store: Store, absent: tuple[LockedImage, ...], engine: DockerEngine, events: Events) -> None:
    """Bytes that these images take when none of their layers is there, against what is free where they go."""
    layers = {blob.digest: blob for image in absent for blob in image.blobs[1:]}
    needed = sum(unpacked_size(store.path(layer.digest)) for layer in layers.values())
    root = engine.info().root
    try:
        free = shutil.disk_usage(root).free
    except OSError:  # the engine is somewhere else
        events.emit(Noted(STEP, f"{len(absent)} images to load, {format_size(needed)} unpacked"))
        return
    said = f"{len(absent)} images to load, {format_size(needed)} unpacked; {format_size(free)} free in {root}"
    events.emit(
        Warned(f"{said}: layers that are there already may make up for it") if needed > free else Noted(STEP, said)
    )


def unpacked_size(layer: Path) -> int:
    """Bytes of a layer's tar: what gzip states at its end, modulo 4 GiB (RFC 1952, ISIZE); else the file's own."""
    size = layer.stat().st_size
    with layer.open("rb") as file:
        if file.read(2) != b"\x1f\x8b" or size < 18:
            return size
        file.seek(-4, 2)
        stated = int.from_bytes(file.read(4), "little")
    while stated < size // 2:  # no layer is half as long as its gzip
        stated += 1 << 32
    return stated


def _name(found: str, image: LockedImage, bundle: BundleName, engine: DockerEngine) -> None:
    """Our name for an image, in the place of the loopback's.

    Also for one that was there before: whoever pulled it may have been killed before this, and an image without a
    name is what `docker image prune` deletes.
    """
    engine.tag(found, f"{bundle.name}/{image.name}", bundle.version)
    for name in engine.pulled_as(found):
        if name.startswith(f"{LOOPBACK}:") and name.endswith(f"/{bundle.name}/{image.name}@{image.manifest.digest}"):
            engine.untag(name)
