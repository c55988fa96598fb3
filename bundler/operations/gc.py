"""`gc`: blobs that no bundle needs go, and what killed processes left; bundles only when they are named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bundler.core import hint
from bundler.core.errors import CheckRefused, IntegrityFailed
from bundler.core.events import Events, Noted, StepEnded, StepStarted
from bundler.core.size import format_size
from bundler.engine.listing import of_release
from bundler.media.leftovers import HalfDone, leftovers, prune
from bundler.operations.history import ways_back
from bundler.operations.rehearsals_left import clear_dead
from bundler.operations.release_record import RELEASES, read_release
from bundler.store.gc import STEP, Garbage, clock, remove, survey
from bundler.store.layout import Store
from bundler.store.leases import collecting
from bundler.store.reach import reached, without


@dataclass(frozen=True, slots=True)
class Removed:
    """Files that went. `bytes` is their length, `freed` what the disk has more of: less where a release has links."""

    files: int
    bytes: int
    freed: int


@dataclass(frozen=True, slots=True)
class GcResult:
    """What went, and what stays. In a dry run nothing did."""

    dry_run: bool
    dropped: tuple[str, ...]
    blobs: Removed
    partials: Removed
    imports: Removed
    kept_blobs: int
    kept_bytes: int
    strangers: tuple[Path, ...]
    half_done: tuple[HalfDone, ...]
    damaged: Mapping[str, IntegrityFailed] = field(default_factory=dict)
    """What could not be read, by name: while there is any, no blob goes, as any may be needed by it."""


class BundleUp(CheckRefused):
    """A bundle that is to be dropped is up on this node."""

    def __init__(self, name: str, store: Store, running: Iterable[str]) -> None:
        super().__init__(
            f"{name} is up on this node: {', '.join(running)}",
            because="without its blobs it could not be brought up again",
            hint=f"{hint.bundle('down', name, store=store.root)}   # its results stay; then drop it",
        )


def gc(store: Store, events: Events, *, drop: Sequence[str] = (), dry_run: bool = False) -> GcResult:
    """Delete what nothing in the index reaches; bundles in `drop` (`NAME` or `NAME:VERSION`) leave the index first.

    What a release's `rollback` would go back to is kept, unless it is dropped by name. Where a manifest is damaged, no
    blob is deleted, as any may be needed, and only what dead processes left in flight goes: the result says so.
    Killed at any moment it leaves blobs that no one needs, and the next run deletes them.
    Raises StoreInUse or Held while others need the store, UnknownBundle, AmbiguousBundle, BundleUp, NoEngine,
    InAnotherEngine.
    """
    with collecting(store):
        leaving = {str(entry.name): entry.root.digest for entry in map(store.find, drop)}
        dropped = tuple(sorted(leaving))
        for name in dropped:
            _refuse_if_up(store, name)
        needs, damaged = reached(store, without(store.index(), set(dropped)))
        back, unread = ways_back(store, set(dropped))
        needs |= back
        damaged |= unread
        for name in () if dry_run else clear_dead(store):  # its links hold what is deleted below
            events.emit(Noted(STEP, f"what a killed rehearsal of {name} left is removed"))
        left = leftovers(store, needs, set(leaving.values()), clock(store))
        found = survey(store, {**needs, "imports that are half done": left.needed})
        blobs, partials, unfinished = found.blobs, found.partials, left.files
        if damaged:
            blobs, unfinished = (), ()
        roots = {digest.hex for digest in leaving.values()}
        blobs = tuple(sorted(blobs, key=lambda blob: blob.path.name not in roots))  # then it is no release's way back
        files = (*blobs, *partials, *unfinished)
        if not dry_run:
            if dropped:
                store.change_index(lambda old: without(old, set(dropped)))
            events.emit(StepStarted(STEP, sum(file.bytes for file in files)))
            remove(files, events)
            prune(store)
            freed = sum(file.frees for file in files)
            events.emit(StepEnded(STEP, f"{len(blobs)} blobs deleted, {format_size(freed)} freed"))
    return GcResult(
        dry_run,
        dropped,
        _sum(blobs),
        _sum(partials),
        _sum(unfinished),
        found.kept_blobs + len(found.blobs) - len(blobs),
        found.kept_bytes + sum(file.bytes for file in found.blobs) - sum(file.bytes for file in blobs),
        found.strangers,
        left.half_done,
        damaged,
    )


def _refuse_if_up(store: Store, name: str) -> None:
    """A release's record stays after `down`, so the engine is asked, where there is one."""
    directory = store.root.resolve() / RELEASES / name.partition(":")[0]  # as Release.of names it
    record = read_release(directory)
    if record is None or record.bundle != name:
        return
    running = sorted(found.name for found in of_release(name.partition(":")[0], directory))
    if running:
        raise BundleUp(name, store, running)


def _sum(files: Sequence[Garbage]) -> Removed:
    return Removed(len(files), sum(file.bytes for file in files), sum(file.frees for file in files))
