"""Images from registries: a reference becomes a manifest that is pinned, and the blobs that it names."""

from __future__ import annotations

from typing import Any

from bundler.core.descriptor import Descriptor
from bundler.core.errors import NetworkFailed
from bundler.core.events import Events, Silence, Warned
from bundler.core.media_types import INDEXES, MANIFESTS, OCI_INDEX, OCI_MANIFEST
from bundler.core.reference import Reference
from bundler.core.size import format_size
from bundler.core.strict_json import LIMIT, MalformedJson, parse_object
from bundler.manifest.lock import LockedImage
from bundler.manifest.mirrors import Mirrors
from bundler.sources.fetch import fetch
from bundler.sources.http import Http
from bundler.sources.mirrored import mirrored
from bundler.sources.platform import Platform, PlatformMissing, pick
from bundler.sources.registry import Manifest, Registry
from bundler.sources.retry import Retries
from bundler.sources.source import Download
from bundler.store.closure import children
from bundler.store.layout import Store

PLATFORM = "linux/amd64"
_IMAGE_CONFIGS = frozenset(
    {"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"}
)
_UNDISTRIBUTABLE = ("application/vnd.oci.image.layer.nondistributable.", "application/vnd.docker.image.rootfs.foreign.")
ZSTD = (
    "its layers are compressed with zstd, which Docker before 23.0 can't unpack; if the node's is older, name an "
    "image with gzip layers (skopeo copy --dest-compress-format gzip makes one)"
)
_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+"


class UnusableImage(NetworkFailed):
    """What the registry has under this name can't be carried."""


def resolve_image(
    name: str,
    reference: Reference,
    store: Store,
    *,
    plain_http: bool = False,
    platform: str = PLATFORM,
    mirrors: Mirrors | None = None,
    events: Events | None = None,
    http: Http | None = None,
    retries: Retries | None = None,
) -> LockedImage:
    """Pin an image: what the reference names now, for this platform. Puts its manifest and config into the store.

    Mirrors are asked first; the lock calls the image by its own name all the same.

    Raises ImageUnknown, LoginRefused, PlatformMissing, UnusableImage, IntegrityFailed, NetworkFailed.
    """
    retries, events = retries or Retries(), events or Silence()
    registry = mirrored(
        Registry(reference, http or Http(), retries, plain_http=plain_http), reference, mirrors or Mirrors(), events
    )
    wanted = Platform.parse(platform)
    manifest = registry.manifest()
    media_type, document = _read(manifest, reference)
    if media_type in INDEXES:
        manifest = registry.manifest_at(pick(document, wanted, str(reference)).digest)
        media_type, document = _read(manifest, reference)
        if media_type in INDEXES:
            raise UnusableImage(f"{reference} can't be carried", because="its index lists an index for the platform")
    blob = Descriptor.of(manifest.raw, media_type)
    config, *layers = children(manifest.raw, blob)
    _require_image(reference, config, layers)
    if any(layer.media_type.endswith("+zstd") for layer in layers):
        events.emit(Warned(f"{reference}: {ZSTD}"))
    fetch([Download(config, f"{name}: config", registry)], store, Silence(), policy=retries.policy)
    _require_platform(reference, wanted, store.read(config.digest))
    store.put(manifest.raw, media_type)
    return LockedImage(name, str(reference), blob, (config, *layers))


def image_downloads(
    image: LockedImage,
    *,
    plain_http: bool = False,
    mirrors: Mirrors | None = None,
    events: Events | None = None,
    http: Http | None = None,
) -> list[Download]:
    """The manifest, the config and the layers of a locked image, from the registry that its source names."""
    reference = Reference.parse(image.source)
    registry = mirrored(
        Registry(reference, http or Http(), Retries(), plain_http=plain_http),
        reference,
        mirrors or Mirrors(),
        events or Silence(),
    )
    config, *layers = image.blobs
    return [
        Download(image.manifest, f"{image.name}: manifest", registry),
        Download(config, f"{image.name}: config", registry),
        *(Download(layer, f"{image.name}: layer {at}", registry) for at, layer in enumerate(layers, start=1)),
    ]


def _read(manifest: Manifest, reference: Reference) -> tuple[str, dict[str, Any]]:
    """A manifest's media type and content. One that could be read as two things is refused (CVE-2021-41190)."""
    document = parse_object(manifest.raw, f"the manifest of {reference}")
    stated = document.get("mediaType")
    if document.get("schemaVersion") == 1 or manifest.content_type.startswith(_SCHEMA_1):
        raise UnusableImage(
            f"{reference} can't be carried",
            because="its manifest is of Docker's old schema 1, which names no digest of its config",
            hint=f"docker pull {reference} && docker push {reference}   # today's Docker writes schema 2",
        )
    known = MANIFESTS | INDEXES
    media_type = stated or (manifest.content_type if manifest.content_type in known else _by_shape(document))
    contradicts = manifest.content_type in known and manifest.content_type != media_type
    if contradicts or (document.get("layers") and document.get("manifests")):
        raise MalformedJson(f"the manifest of {reference}", "it can be read as an image and as an index")
    if media_type not in known:
        raise UnusableImage(f"{reference} can't be carried", because=f"it is not an image but {media_type!r:.100}")
    return media_type, document


def _by_shape(document: dict[str, Any]) -> str:
    """The type of a manifest that does not say it: OCI's, where mediaType is optional."""
    return OCI_INDEX if "manifests" in document else OCI_MANIFEST


def _require_image(reference: Reference, config: Descriptor, layers: list[Descriptor]) -> None:
    if config.media_type not in _IMAGE_CONFIGS:
        raise UnusableImage(
            f"{reference} is not a container image",
            because=f"its config is of the type {config.media_type}: it is an artifact of another kind",
        )
    if config.size > LIMIT:
        raise UnusableImage(f"{reference} can't be carried", because=f"its config has {format_size(config.size)}")
    for layer in layers:
        if layer.media_type.startswith(_UNDISTRIBUTABLE):
            raise UnusableImage(
                f"{reference} can't be carried",
                because=f"layer {layer.digest} may not be distributed ({layer.media_type}): "
                "its registry does not hold it, and its licence keeps it where it is",
                hint="build the image on a base without such layers",
            )


def _require_platform(reference: Reference, wanted: Platform, config: bytes) -> None:
    """An image outside an index is for one platform, which only its config says."""
    offered = Platform.of(parse_object(config, f"the config of {reference}"))
    if offered is None or not wanted.runs(offered):
        raise PlatformMissing(str(reference), wanted, [str(offered)] if offered else [])
