"""`export --docker`: one image of a bundle as a tar that `docker load` of any version takes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from bundler.core.digest import Digest
from bundler.core.durable import explained
from bundler.core.errors import NoSpace, UsageInvalid
from bundler.core.events import BytesMoved, Events, StepEnded, StepStarted
from bundler.core.size import format_size
from bundler.manifest.lock import LockedImage
from bundler.media import docker_image
from bundler.media.header import Piece, blob_path
from bundler.media.volume_writer import BlobReader, TarFile
from bundler.operations.export import require_directory
from bundler.store.contents import read_lock
from bundler.store.layout import BundleEntry, Store
from bundler.store.leases import leasing

STEP = "export"


@dataclass(frozen=True, slots=True)
class ExportedImage:
    """The tar, its SHA-256, and the name that the image has once it is loaded."""

    path: Path
    digest: Digest
    bytes: int
    reference: str


def export_image(store: Store, bundle: BundleEntry, name: str, directory: Path, events: Events) -> ExportedImage:
    """Write an image of a bundle into a directory. Raises NotADirectory, UsageInvalid, BlobDamaged, MissingBlob,
    NoSpace."""
    require_directory(directory)
    with leasing(store, "export"):
        image = _find(store, bundle, name)
        reference = f"{bundle.name.name}/{name}:{bundle.name.version}"  # as `up` names it
        blobs, size = docker_image.blobs(image), docker_image.size(image, reference)
        path = directory / f"{bundle.name.name}-{bundle.name.version}-{name}.docker.tar"
        _require_room(directory, size)
        events.emit(StepStarted(STEP, sum(blob.size for blob in blobs)))
        reader = BlobReader(
            store, lambda _: f"image {name}", lambda label, count: events.emit(BytesMoved(STEP, label, count))
        )
        with TarFile(path) as tar:
            for member, data in docker_image.documents(image, reference).items():
                tar.add(member, data, 0o644)
            for blob in blobs:
                reader.put(tar, Piece(blob_path(blob.digest), blob.digest, blob.size))
            digest = tar.finish()
        events.emit(StepEnded(STEP, f"image {name}, {format_size(size)}"))
    return ExportedImage(path, digest, size, reference)


def _find(store: Store, bundle: BundleEntry, name: str) -> LockedImage:
    images = read_lock(store, bundle).images
    found = next((image for image in images if image.name == name), None)
    if found is None:
        raise UsageInvalid(
            f"{bundle.name} has no image {name!r}. It has: {', '.join(image.name for image in images) or 'none'}",
            hint=f"bundle inspect {bundle.name}",
        )
    if any("zstd" in layer.media_type for layer in found.blobs):
        raise UsageInvalid(
            f"image {name} of {bundle.name} can't be written for every Docker",
            because="it has layers in zstd, which `docker load` takes from Docker 23 on",
            hint=f"bundle export {bundle.name} DEST   # and bundle up: a node's Docker says whether it can take them",
        )
    return found


def _require_room(directory: Path, size: int) -> None:
    with explained(directory):
        directory.mkdir(parents=True, exist_ok=True)
        status = os.statvfs(directory)
    free = status.f_bavail * status.f_frsize
    if size > free:
        raise NoSpace(
            f"{directory} needs {format_size(size)}, and has {format_size(free)} free",
            because="nothing was written",
            hint=f"df -h {directory}   # make room, or name another place",
        )
