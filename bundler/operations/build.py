"""`build`: the lock's blobs are fetched, and the bundle gets its root, in one store."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bundler.core.events import Events
from bundler.manifest.artifacts import LocalDataset, LocalModel, RegistryImage, UrlModel
from bundler.manifest.lock import Lock
from bundler.manifest.mirrors import Mirrors
from bundler.manifest.schema import Manifest
from bundler.manifest.settings import Settings
from bundler.operations.lock import LockResult, lock
from bundler.operations.preflight import Preflight, announce, preflight
from bundler.operations.record import record
from bundler.sources import files, images, url
from bundler.sources.cached import Adopted, adopt_cached
from bundler.sources.fetch import FetchResult, fetch
from bundler.sources.models import model_downloads
from bundler.sources.source import Download
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


def build(
    manifest: Manifest,
    path: Path,
    store: Store,
    events: Events,
    *,
    locked: bool = False,
    settings: Settings | None = None,
    accepted: Sequence[str] = (),
) -> BuildResult:
    """Build a manifest read from `path` into a store. Run again, it fetches only what is missing.

    `accepted` are checks that may refuse. Raises ManifestInvalid, DataRefused, ModelLacksFiles, DoesNotFit, LockMoved
    (with `locked`), NetworkFailed, EngineFailed, IntegrityFailed, NoSpace.
    """
    began = time.monotonic()
    settings = settings or Settings()
    with leasing(store, "build"):
        resolved = lock(manifest, path, store, events, locked=locked, settings=settings, accepted=accepted)
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
    accepted: Sequence[str] = (),
) -> DryRun:
    """Resolve a manifest and look at what is missing. Neither the lock nor a bundle is written, nothing is built.

    What has to be read for it (manifests, configs, small files of hubs) stays in the store for the build itself.
    Raises as `build`, but not NoSpace.
    """
    resolved = lock(manifest, path, store, events, locked=locked, dry=True, settings=settings, accepted=accepted)
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
