"""From the store into the engine: by digest, only what it lacks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bundler.core.events import BytesMoved, Events, StepEnded, StepStarted
from bundler.core.reference import BundleName
from bundler.engine.docker import DockerEngine
from bundler.engine.errors import EngineFailed
from bundler.engine.loopback_registry import LOOPBACK, serving
from bundler.manifest.lock import LockedImage
from bundler.store.layout import Store

STEP = "load"


@dataclass(frozen=True, slots=True)
class Loaded:
    """Which images were loaded, which were there, and the engine's id of each."""

    ids: dict[str, str]
    loaded: tuple[str, ...]


def load(
    store: Store, bundle: BundleName, images: Iterable[LockedImage], engine: DockerEngine, events: Events
) -> Loaded:
    """Load these images through a registry on the loopback; each gets the name `BUNDLE/IMAGE:VERSION`.

    Raises EngineFailed where the engine refuses one, or cannot reach the loopback of this process.
    """
    images = tuple(images)
    there = {image.name: engine.image(image.manifest, image.blobs[0]) for image in images}
    absent = tuple(image for image in images if there[image.name] is None)
    ids: dict[str, str] = {}
    events.emit(StepStarted(STEP, sum(blob.size for image in absent for blob in image.blobs)))
    with serving(store, absent) as address:
        for image in images:
            found = there[image.name] or _pull(image, f"{address}/{bundle.name}/{image.name}", engine, events)
            ids[image.name] = found
            _name(found, image, bundle, engine)
    loaded = tuple(image.name for image in absent)
    events.emit(StepEnded(STEP, f"{len(loaded)} loaded, {len(images) - len(loaded)} already there"))
    return Loaded(ids, loaded)


def _pull(image: LockedImage, repository: str, engine: DockerEngine, events: Events) -> str:
    """Pull an image. Returns the engine's id of it."""
    reference = f"{repository}@{image.manifest.digest}"
    engine.pull(reference, lambda layer, count: events.emit(BytesMoved(STEP, layer, count)))
    found = engine.image(image.manifest, image.blobs[0])
    if found is None:
        raise EngineFailed(
            f"image {image.name} was loaded, but the engine does not know it",
            because=f"neither {image.blobs[0].digest} nor {image.manifest.digest} names an image there",
        )
    return found


def _name(found: str, image: LockedImage, bundle: BundleName, engine: DockerEngine) -> None:
    """Our name for an image, in the place of the loopback's.

    Also for one that was there before: whoever pulled it may have been killed before this, and an image without a
    name is what `docker image prune` deletes.
    """
    engine.tag(found, f"{bundle.name}/{image.name}", bundle.version)
    for name in engine.pulled_as(found):
        if name.startswith(f"{LOOPBACK}:") and name.endswith(f"/{bundle.name}/{image.name}@{image.manifest.digest}"):
            engine.untag(name)
