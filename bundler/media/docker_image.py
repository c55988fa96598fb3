"""One image as the tar that `docker load` of any version takes: `export --docker` writes it, `up` streams it.

Docker up to 24, and later ones with its own image store, read manifest.json; the containerd image store reads
index.json, and takes the name from there (seen with 20.10 and 28.5). Both name the same files of the tar.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from bundler.core.descriptor import REF_NAME, Descriptor
from bundler.core.strict_json import canonical
from bundler.manifest.lock import LockedImage
from bundler.media.header import blob_path
from bundler.media.tar import END, member_header, padding, room
from bundler.store.layout import LAYOUT, MissingBlob, Store, encode_index

IMAGE_NAME = "io.containerd.image.name"
"""The annotation from which the containerd image store takes a name (containerd, images/annotations.go)."""
_CHUNK = 1 << 20


def documents(image: LockedImage, reference: str) -> dict[str, bytes]:
    """The members that describe the image, by path; `reference` is the name that it gets."""
    config, *layers = image.blobs
    listed = {
        "Config": blob_path(config.digest),
        "RepoTags": [reference],
        "Layers": [blob_path(layer.digest) for layer in layers],
    }
    tag = reference.rpartition(":")[2]
    named = replace(image.manifest, annotations={REF_NAME: tag, IMAGE_NAME: f"docker.io/{reference}"})
    return {
        "oci-layout": LAYOUT,
        "index.json": encode_index([named]),
        "manifest.json": canonical([listed]),
    }


def blobs(image: LockedImage) -> tuple[Descriptor, ...]:
    """The members that the image consists of, each once."""
    return tuple({blob.digest: blob for blob in (image.manifest, *image.blobs)}.values())


def size(image: LockedImage, reference: str) -> int:
    """Bytes of the tar."""
    loose = sum(room(len(data)) for data in documents(image, reference).values())
    return loose + sum(room(blob.size) for blob in blobs(image)) + len(END)


def stream(store: Store, image: LockedImage, reference: str, moved: Callable[[str, int], None]) -> Iterator[bytes]:
    """The tar, made as it is read; nothing is written. `moved` is told a layer's digest and bytes. Raises MissingBlob.

    Not hashed again: `up` has read the whole bundle, and the engine compares each layer with the config's diff ids.
    """
    for path, data in documents(image, reference).items():
        yield member_header(path, len(data), 0o644) + data + bytes(padding(len(data)))
    for blob in blobs(image):
        if not store.has(blob):
            raise MissingBlob(blob.digest, store.root)
        yield member_header(blob_path(blob.digest), blob.size, 0o444)
        with store.path(blob.digest).open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk
                moved(blob.digest.short, len(chunk))
        yield bytes(padding(blob.size))
    yield END
