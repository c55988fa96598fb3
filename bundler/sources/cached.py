"""Files that the hubs' own libraries have downloaded on this machine: linked into the store, not fetched again.

A cache is never trusted: what lies there is taken when it has the size and the SHA-256 that the lock pins, both
seen by us. The caches' places are read from the environment, as the libraries do it, without importing them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bundler.core.descriptor import Descriptor
from bundler.core.events import BytesMoved, Events, StepEnded, StepStarted
from bundler.core.media_types import RAW
from bundler.core.size import format_size
from bundler.manifest.lock import LockedFile, LockedFiles, Origin
from bundler.sources.hubs import is_hub
from bundler.store.adopt import adopt
from bundler.store.ingest import clear_abandoned
from bundler.store.layout import Store

STEP = "cache"


@dataclass(frozen=True, slots=True)
class Adopted:
    """How many files were taken from a cache, and their bytes."""

    files: int
    bytes: int


def adopt_cached(models: Iterable[LockedFiles], store: Store, events: Events) -> Adopted:
    """Take what the store lacks of these models out of the local caches. Raises NoSpace, WriteFailed."""
    found = {}
    for model in models:
        for file in model.files if is_hub(model.source) else ():
            blob = Descriptor(RAW, file.digest, file.size)
            places = () if blob.digest in found or store.has(blob) else tuple(candidates(model, file))
            if places:
                found[blob.digest] = (blob, places)
    if not found:
        return Adopted(0, 0)
    clear_abandoned(store)
    events.emit(StepStarted(STEP, sum(blob.size for blob, _ in found.values())))

    def take(blob: Descriptor, places: tuple[Path, ...]) -> int:
        label = places[0].name
        taken = any(adopt(store, blob, place, lambda n: events.emit(BytesMoved(STEP, label, n))) for place in places)
        return blob.size if taken else 0

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        taken = [size for size in pool.map(lambda one: take(*one), found.values()) if size]
    events.emit(StepEnded(STEP, f"{len(taken)} files linked from the local caches, {format_size(sum(taken))}"))
    return Adopted(len(taken), sum(taken))


def candidates(model: LockedFiles, file: LockedFile) -> Iterator[Path]:
    """Files of the right size that may be this one, the likeliest first."""
    seen = set()
    for origin in model.origins:
        for place in _places(origin, file):
            if place in seen:
                continue
            seen.add(place)
            try:
                if place.stat().st_size == file.size:
                    yield place
            except OSError:
                continue


def _places(origin: Origin, file: LockedFile) -> Iterator[Path]:
    """Under either hub's name: what one has cached is as good for the other."""
    repo = origin.source.partition("://")[2]
    hub = huggingface_cache() / f"models--{repo.replace('/', '--')}"
    yield hub / "blobs" / file.digest.hex  # large files are named by their SHA-256
    yield hub / "snapshots" / origin.revision / file.path
    # modelscope_hub 0.5.1, _download.py: _repo_cache_dir_path, and _find_legacy_repo_dir for what was before it;
    # modelscope 1.27, hub/snapshot_download.py
    cache = modelscope_cache()
    snapshots = cache / "models" / repo.replace("/", "--") / "snapshots"
    revisions = sorted(path.name for path in snapshots.iterdir()) if snapshots.is_dir() else ()
    for revision in revisions:
        yield snapshots / revision / file.path
    owner, _, name = repo.partition("/")
    for top in (cache / "models", cache / "hub" / "models", cache / "hub", cache):
        for spelled in (name.replace(".", "___"), name):
            yield top / owner / spelled / file.path


def huggingface_cache() -> Path:
    """Where huggingface_hub keeps models (huggingface_hub, constants.py)."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if os.environ.get(variable):
            return Path(os.environ[variable]).expanduser()
    if os.environ.get("HF_HOME"):
        return Path(os.environ["HF_HOME"]).expanduser() / "hub"
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "huggingface" / "hub"


def modelscope_cache() -> Path:
    """Where modelscope keeps models (modelscope_hub 0.5.1, config.py)."""
    return Path(os.environ.get("MODELSCOPE_CACHE") or "~/.cache/modelscope").expanduser()
