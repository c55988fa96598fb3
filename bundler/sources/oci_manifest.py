"""Image manifests in OCI's form: of images that we put together, and of Docker's, for tools that read only OCI's.

skopeo finds an image in an OCI layout only by a descriptor of OCI's media type, and refuses Docker's config type
there (skopeo 1.9.3; containers/image, oci/layout). Config and layers are the same bytes in both forms, so the
second form of an image costs its manifest alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bundler.core.descriptor import Descriptor
from bundler.core.media_types import DOCKER_MANIFEST, OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST
from bundler.core.strict_json import canonical
from bundler.manifest.lock import LockedImage

_OCI_TYPES = {
    "application/vnd.docker.container.image.v1+json": OCI_CONFIG,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": OCI_LAYER_GZIP,
    "application/vnd.docker.image.rootfs.diff.tar.zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar": "application/vnd.oci.image.layer.v1.tar",
}
"""Docker's media types and OCI's for the same bytes (image-spec 1.1, media-types.md, compatibility matrix)."""


def oci_manifest(config: Descriptor, layers: Sequence[Descriptor]) -> bytes:
    """The manifest of an image with this config and these layers, base first; Docker's media types become OCI's."""
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": _as_oci(config).to_json(),
        "layers": [_as_oci(layer).to_json() for layer in layers],
    }
    return canonical(document)


def twin(image: LockedImage) -> bytes | None:
    """The OCI manifest of an image whose own is Docker's; None where its own is OCI's already."""
    if image.manifest.media_type != DOCKER_MANIFEST:
        return None
    config, *layers = image.blobs
    return oci_manifest(config, layers)


def _as_oci(blob: Descriptor) -> Descriptor:
    return replace(blob, media_type=_OCI_TYPES.get(blob.media_type, blob.media_type))
