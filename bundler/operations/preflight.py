"""What a build has still to do, before it does it: bytes of each artifact, there and to come, and room for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.events import Events, StepEnded, StepStarted
from bundler.core.media_types import RAW
from bundler.core.size import format_size
from bundler.manifest.lock import Lock
from bundler.store.layout import Store
from bundler.store.space import Need, need, require

STEP = "space"


@dataclass(frozen=True, slots=True)
class Share:
    """An artifact's bytes: in all, in the store (also in blobs begun), to come. A blob of two counts for the first.

    `local` where they come from this machine's own disk.
    """

    kind: str
    name: str
    bytes: int
    present: int
    local: bool

    @property
    def missing(self) -> int:
        """Bytes to come."""
        return self.bytes - self.present


@dataclass(frozen=True, slots=True)
class Preflight:
    """What is to be moved, and whether it fits."""

    shares: tuple[Share, ...]
    need: Need

    @property
    def to_fetch(self) -> int:
        """Bytes that will come over the network."""
        return sum(share.missing for share in self.shares if not share.local)

    @property
    def to_write(self) -> int:
        """Bytes that will be written: those fetched, and copies of local files."""
        return sum(share.missing for share in self.shares)

    def __str__(self) -> str:
        free = format_size(self.need.free_bytes)
        return f"{format_size(self.to_fetch)} to fetch, {format_size(self.to_write)} to write, {free} free"


def preflight(wanted: Lock, store: Store, local: Iterable[str] = ()) -> Preflight:
    """Look at what the lock names and the store has. `local` names the models that are files of this machine."""
    sources = frozenset(local)
    seen: set[Digest] = set()
    there = {blob.digest: _there(store, blob) for blob in wanted.blobs()}
    shares = tuple(
        _share(kind, name, blobs, there, seen, here) for kind, name, blobs, here in _artifacts(wanted, sources)
    )
    return Preflight(shares, need(store, wanted.blobs()))


def announce(found: Preflight, store: Store, events: Events) -> None:
    """Tell of it, and refuse to begin what can't be finished. Raises NoSpace."""
    events.emit(StepStarted(STEP))
    require(store, found.need)
    events.emit(StepEnded(STEP, f"{found} in {store.root}"))


def _artifacts(wanted: Lock, local: frozenset[str]) -> Iterator[tuple[str, str, list[Descriptor], bool]]:
    for image in wanted.images:
        yield "image", image.name, [image.manifest, *image.blobs], False
    for model in wanted.models:
        files = [Descriptor(RAW, file.digest, file.size) for file in model.files]
        yield "model", model.name, [model.manifest, *files], model.name in local
    for dataset in wanted.datasets:
        files = [Descriptor(RAW, file.digest, file.size) for file in dataset.files]
        yield "dataset", dataset.name, [dataset.manifest, *files], True


def _share(
    kind: str, name: str, blobs: list[Descriptor], there: Mapping[Digest, int], seen: set[Digest], here: bool
) -> Share:
    fresh = {blob.digest: blob.size for blob in blobs if blob.digest not in seen}
    seen |= fresh.keys()
    return Share(kind, name, sum(fresh.values()), sum(there[digest] for digest in fresh), here)


def _there(store: Store, blob: Descriptor) -> int:
    return blob.size if store.has(blob) else store.begun(blob)
