"""An image in Docker's form stays as it is, and is found by OCI tools too."""

from __future__ import annotations

import json

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.media_types import DOCKER_MANIFEST, OCI_MANIFEST
from bundler.manifest.lock import LockedImage
from bundler.sources.oci_manifest import twin


def blob(media_type: str, text: str) -> Descriptor:
    return Descriptor(media_type, Digest.of(text.encode()), 7)


def image(media_type: str) -> LockedImage:
    config = blob("application/vnd.docker.container.image.v1+json", "config")
    layers = [
        blob(f"application/vnd.docker.image.rootfs.diff.tar{suffix}", suffix) for suffix in (".gzip", ".zstd", "")
    ]
    return LockedImage("serve", "docker.io/x", blob(media_type, "manifest"), (config, *layers))


def test_the_second_form_names_the_same_bytes_by_ocis_media_types() -> None:
    made = image(DOCKER_MANIFEST)
    raw = twin(made)
    assert raw is not None
    document = json.loads(raw)
    assert document["mediaType"] == OCI_MANIFEST
    assert [document["config"]["digest"], *(layer["digest"] for layer in document["layers"])] == [
        str(part.digest) for part in made.blobs
    ]
    assert [layer["mediaType"] for layer in document["layers"]] == [
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.oci.image.layer.v1.tar+zstd",
        "application/vnd.oci.image.layer.v1.tar",
    ]
    assert "docker" not in raw.decode()


def test_an_image_in_ocis_form_needs_no_second() -> None:
    assert twin(image(OCI_MANIFEST)) is None
