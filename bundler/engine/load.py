"""From the store into the engine: by digest, only what it lacks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bundler.core.events import BytesMoved, Events, StepEnded, StepStarted
from bundler.core.reference import BundleName
from bundler.engine.docker import DockerEngine
from bundler.engine.errors import EngineFailed
from bundler.engine.loopback_registry import serving
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
    ids = {image.name: engine.image(image.manifest, image.blobs[0]) for image in images}
    absent = tuple(image for image in images if ids[image.name] is None)
    events.emit(StepStarted(STEP, sum(blob.size for image in absent for blob in image.blobs)))
    with serving(store, absent) as address:
        for image in absent:
            reference = f"{address}/{bundle.name}/{image.name}@{image.manifest.digest}"
            engine.pull(reference, lambda layer, count: events.emit(BytesMoved(STEP, layer, count)))
            ids[image.name] = found = engine.image(image.manifest, image.blobs[0])
            if found is None:
                raise EngineFailed(
                    f"image {image.name} was loaded, but the engine does not know it",
                    because=f"neither {image.blobs[0].digest} nor {image.manifest.digest} names an image there",
                )
            engine.tag(found, f"{bundle.name}/{image.name}", bundle.version)
            engine.untag(reference)
    loaded = tuple(image.name for image in absent)
    events.emit(StepEnded(STEP, f"{len(loaded)} loaded, {len(images) - len(loaded)} already there"))
    return Loaded({name: found for name, found in ids.items() if found is not None}, loaded)
