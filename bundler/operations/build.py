"""`build`: the lock's blobs are fetched, and the bundle gets its root, in one store."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from bundler.core.descriptor import TITLE, Descriptor
from bundler.core.errors import IntegrityFailed
from bundler.core.events import Events
from bundler.core.media_types import BUNDLE, LOCK, OCI_INDEX, OCI_MANIFEST
from bundler.core.strict_json import canonical
from bundler.manifest.artifacts import LocalDataset, LocalModel, RegistryImage, UrlModel
from bundler.manifest.lock import Lock
from bundler.manifest.mirrors import Mirrors
from bundler.manifest.schema import Manifest
from bundler.manifest.settings import Settings
from bundler.operations.lock import LockResult, lock
from bundler.operations.preflight import Preflight, announce, preflight
from bundler.sources import files, images, url
from bundler.sources.cached import Adopted, adopt_cached
from bundler.sources.fetch import FetchResult, fetch
from bundler.sources.models import model_downloads
from bundler.sources.oci_manifest import twin
from bundler.sources.source import Download
from bundler.store.contents import place_agent
from bundler.store.layout import BundleEntry, Store
from bundler.store.leases import leasing


@dataclass(frozen=True, slots=True)
class BuildResult:
    """The bundle, its lock, what was fetched and linked from caches; `bytes` is what the bundle consists of."""

    bundle: BundleEntry
    locked: LockResult
    fetched: FetchResult
    linked: Adopted
    bytes: int
    seconds: float


class BundleIncomplete(IntegrityFailed):
    """Blobs that the lock pins are in no source: an image that was built elsewhere, and is not in this store."""

    def __init__(self, wanted: Lock, store: Store, lacking: tuple[Descriptor, ...]) -> None:
        built = [image.name for image in wanted.images if image.recipe and {*image.blobs, image.manifest} & {*lacking}]
        what = f"images built elsewhere: {', '.join(built)}" if built else ", ".join(str(b.digest) for b in lacking)
        super().__init__(
            f"{store.root} lacks {len(lacking)} blobs of {wanted.bundle} ({what})",
            because="the lock pins a build whose layers only the store has that it was built into",
            hint="bundle build MANIFEST   # without --locked builds anew; or name the store that has it with --store",
        )


def build(
    manifest: Manifest,
    path: Path,
    store: Store,
    events: Events,
    *,
    locked: bool = False,
    settings: Settings | None = None,
) -> BuildResult:
    """Build a manifest read from `path` into a store. Run again, it fetches only what is missing.

    Raises ManifestInvalid, LockMoved (with `locked`), NetworkFailed, EngineFailed, IntegrityFailed, NoSpace.
    """
    began = time.monotonic()
    settings = settings or Settings()
    with leasing(store, "build"):
        resolved = lock(manifest, path, store, events, locked=locked, settings=settings)
        linked = adopt_cached(resolved.lock.models, store, events)
        announce(preflight(resolved.lock, store, _local_models(manifest)), store, events)
        downloads = _downloads(manifest, resolved.lock, settings.mirrors, events)
        fetched = fetch(downloads, store, events, settings.streams)
        bundle = record(resolved.lock, store)
    size = sum({blob.digest: blob.size for blob in resolved.lock.blobs()}.values())
    return BuildResult(bundle, resolved, fetched, linked, size, time.monotonic() - began)


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a build would do."""

    locked: LockResult
    preflight: Preflight


def rehearse_build(
    manifest: Manifest,
    path: Path,
    store: Store,
    events: Events,
    *,
    locked: bool = False,
    settings: Settings | None = None,
) -> DryRun:
    """Resolve a manifest and look at what is missing. Neither the lock nor a bundle is written, nothing is built.

    What has to be read for it (manifests, configs, small files of hubs) stays in the store for the build itself.
    Raises as `build`, but not NoSpace.
    """
    resolved = lock(manifest, path, store, events, locked=locked, dry=True, settings=settings)
    return DryRun(resolved, preflight(resolved.lock, store, _local_models(manifest)))


def _local_models(manifest: Manifest) -> list[str]:
    return [name for name, model in manifest.models.items() if isinstance(model, LocalModel)]


def _downloads(manifest: Manifest, wanted: Lock, mirrors: Mirrors, events: Events) -> list[Download]:
    """What the artifacts consist of; an image that the engine built is in the store since it was locked."""
    found: list[Download] = []
    for image in wanted.images:
        source = manifest.images[image.name]
        if isinstance(source, RegistryImage):
            plain = source.plain_http
            found += images.image_downloads(image, plain_http=plain, mirrors=mirrors, events=events)
    for model in wanted.models:
        where = manifest.models[model.name]
        if isinstance(where, LocalModel):
            found += files.downloads(model, where.path.resolved)
        else:
            found += url.downloads(model) if isinstance(where, UrlModel) else model_downloads(model)
    for dataset in wanted.datasets:
        data = manifest.datasets[dataset.name]
        if isinstance(data, LocalDataset):
            found += files.downloads(dataset, data.path.resolved)
        else:
            found += url.downloads(dataset)
    return found


def record(wanted: Lock, store: Store) -> BundleEntry:
    """Write the bundle's root and list it in the index, when every blob is there; the agent goes beside it.

    Raises BundleIncomplete.
    """
    name = wanted.bundle
    lacking = store.missing(wanted.blobs())
    if lacking:
        raise BundleIncomplete(wanted, store, lacking)
    listed = [_titled(store.put(wanted.encode(), LOCK), "lock")]
    named: list[Descriptor] = []
    for image in wanted.images:
        listed.append(_titled(image.manifest, f"image {image.name}"))
        readable = image.manifest
        if second := twin(image):
            readable = store.put(second, OCI_MANIFEST)
            listed.append(_titled(readable, f"image {image.name}, for OCI tools"))
        named.append(readable.named(name.artifact(image.name)))
    for kind, artifacts in (("model", wanted.models), ("dataset", wanted.datasets)):
        for artifact in artifacts:
            listed.append(_titled(artifact.manifest, f"{kind} {artifact.name}"))
            named.append(artifact.manifest.named(name.artifact(artifact.name)))
    listed.append(_titled(wanted.agent.blob, "agent"))
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "artifactType": BUNDLE,
        "manifests": [entry.to_json() for entry in listed],
    }
    root = replace(store.put(canonical(document), OCI_INDEX), artifact_type=BUNDLE).named(str(name))
    store.record((root, *named))
    place_agent(store, wanted.agent.blob.digest)
    return BundleEntry(name, root)


def _titled(blob: Descriptor, title: str) -> Descriptor:
    return replace(blob, annotations={TITLE: title})
