"""`push`: a bundle's blobs go to a store on another machine; what is there already stays, and the index comes last."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bundler.core.descriptor import Descriptor
from bundler.core.errors import DoneInPart, IntegrityFailed, NoSpace
from bundler.core.events import Events, StepEnded, StepStarted
from bundler.core.media_types import EVIDENCE
from bundler.core.size import format_size
from bundler.store.closure import Member, closure
from bundler.store.contents import read_lock
from bundler.store.layout import BundleEntry, Store
from bundler.store.leases import leasing
from bundler.store.referrers import whole_evidence
from bundler.transport import receipts
from bundler.transport.place import Place
from bundler.transport.receipts import Receipt, Tally
from bundler.transport.remote_store import STEP_CHECK, STEP_SEND, Holdings, RemoteStore

_TELLING = 16 << 20
"""Bytes that must have gone for their time to say how fast the way is."""

_SPARE_INODES = 16  # the index, the agent, the locks


@dataclass(frozen=True, slots=True)
class PushResult:
    """What was sent and what was there. `sent.bytes` is what the blobs sent consist of, `moved` what went over for
    them: less where an earlier push had begun."""

    host: str
    directory: str
    sent: Tally
    present: Tally
    moved: int
    seconds: float
    receipt: Path
    record: Receipt

    @property
    def verified(self) -> bool:
        """Whether the host hashed what was sent."""
        return bool(self.record.verified.blobs or not self.sent.blobs)


class BundleIncomplete(IntegrityFailed):
    """The store that is to be pushed from lacks blobs."""

    def __init__(self, bundle: BundleEntry, store: Store, missing: tuple[Member, ...]) -> None:
        names = "\n  ".join(f"{member.label} ({member.blob.digest})" for member in missing[:10])
        more = f"\n  and {len(missing) - 10} more" if len(missing) > 10 else ""
        super().__init__(
            f"{len(missing)} blobs of {bundle.name} are not whole in {store.root}:\n  {names}{more}",
            because="they were never fetched, were deleted, or have another length than the bundle says",
            hint="bundle build MANIFEST   # fetches only what is missing",
        )


class BundleReplaced(DoneInPart):
    """The bundle was built again while it was about to be pushed."""

    def __init__(self, bundle: BundleEntry, store: Store) -> None:
        super().__init__(
            f"{bundle.name} in {store.root} was built again just now",
            because=f"its root is no longer {bundle.root.digest}",
            hint=f"bundle push {bundle.name} HOST:/DIR   # pushes the new one",
        )


class HostTooSmall(NoSpace):
    """What is to be sent does not fit the host's file system."""

    def __init__(self, place: Place, what: str, needed: str, free: str) -> None:
        super().__init__(
            f"{place} has not enough {what}: {needed} needed, {free} free",
            because="nothing was sent",
            hint=f"{place.run('df', '-h', place.directory)}   # make room, or name another directory",
        )


def push(
    store: Store,
    bundle: BundleEntry,
    remote: RemoteStore,
    events: Events,
    *,
    recheck: bool = False,
    receipts_in: Path | None = None,
) -> PushResult:
    """Push a bundle. Run again, it sends only what is missing; `recheck` hashes on the host what is there already.

    Raises BundleIncomplete, HostTooSmall, and what RemoteStore's methods raise. Does not close `remote`.
    """
    began = time.monotonic()
    with leasing(store, "push"):
        members, entries = carried(store, bundle)
        agent = read_lock(store, bundle).agent.blob.digest
        holdings = remote.survey()
        present = [member for member in members if holdings.has(member.blob)]
        if recheck:
            present = _rechecked(present, remote, events)
        there = {member.blob.digest for member in present}
        missing = [member for member in members if member.blob.digest not in there]
        check_room(missing, holdings, remote.place)
        total = _bytes(missing)
        events.emit(StepStarted(STEP_SEND, total))
        moved, sending = 0, time.monotonic()
        if missing:
            moved = remote.send(store, missing, events)
        rate = int(moved / (time.monotonic() - sending)) if moved >= _TELLING else 0
        remote.commit(members, agent, entries)
    seconds = time.monotonic() - began
    # What was rechecked was hashed, wherever that was; of what was sent the host may know the length alone.
    verified = [*(present if recheck else ()), *(missing if remote.verifies else ())]
    receipt = Receipt(
        format=receipts.FORMAT,
        host=remote.place.host,
        directory=remote.place.directory,
        when=receipts.now(),
        bundle=str(bundle.name),
        root=bundle.root.digest,
        verified=Tally(len(verified), _bytes(verified)),
        present=Tally(len(present), _bytes(present)),
        host_keys=remote.host_keys,
        blobs=tuple(sorted(member.blob.digest for member in members)),
        hashed=tuple(sorted(member.blob.digest for member in verified)),
        rate=rate,
    )
    path = receipts.write(receipt, receipts_in)
    events.emit(StepEnded(STEP_SEND, f"{len(missing)} blobs sent, {len(present)} were there"))
    sent = Tally(len(missing), total)
    return PushResult(receipt.host, receipt.directory, sent, receipt.present, moved, seconds, path, receipt)


def carried(store: Store, bundle: BundleEntry) -> tuple[tuple[Member, ...], tuple[Descriptor, ...]]:
    """What a push brings: the bundle, what the index lists of it, and the evidence of its rehearsal where there is any.

    Raises BundleIncomplete, BundleReplaced.
    """
    members, entries = whole(store, bundle), entries_of(store, bundle)
    kept = whole_evidence(store, bundle)
    if kept is None or store.missing(member.blob for member in kept.members):
        return members, entries
    there = {member.blob.digest for member in members}
    more = (member for member in kept.members if member.blob.digest not in there)
    return (*members, *more), (*entries, kept.entry)


def whole(store: Store, bundle: BundleEntry) -> tuple[Member, ...]:
    """A bundle's blobs, all there. Raises BundleIncomplete."""
    members = closure(store, bundle.root)
    lacking = set(store.missing(member.blob for member in members))
    if lacking:
        raise BundleIncomplete(bundle, store, tuple(member for member in members if member.blob in lacking))
    return members


def _rechecked(present: list[Member], remote: RemoteStore, events: Events) -> list[Member]:
    events.emit(StepStarted(STEP_CHECK, _bytes(present)))
    bad = remote.damaged(present, events)
    damaged = {member.blob.digest for member in bad}
    events.emit(StepEnded(STEP_CHECK, f"{len(present)} blobs there, {len(damaged)} damaged"))
    return [member for member in present if member.blob.digest not in damaged]


def check_room(missing: Iterable[Member], holdings: Holdings, place: Place) -> None:
    """Raises HostTooSmall where what is missing does not fit what is free."""
    blobs = [member.blob for member in missing]
    needed = sum(max(0, blob.size - holdings.begun.get(blob.digest, 0)) for blob in blobs)
    if holdings.free_bytes is not None and needed > holdings.free_bytes:
        raise HostTooSmall(place, "space", format_size(needed), format_size(holdings.free_bytes))
    inodes = len(blobs) + _SPARE_INODES
    if blobs and holdings.free_inodes is not None and inodes > holdings.free_inodes:
        raise HostTooSmall(place, "inodes", f"{inodes} files", str(holdings.free_inodes))


def entries_of(store: Store, bundle: BundleEntry) -> tuple[Descriptor, ...]:
    """What the index lists of a bundle: its root, and its artifacts by their names; not what only refers to it.

    Raises BundleReplaced where a build has put another root in its place since it was looked up.
    """
    name = str(bundle.name)
    of_it = (e for e in store.index() if e.reference == name or (e.reference or "").startswith(f"{name}/"))
    found = tuple(entry for entry in of_it if entry.artifact_type != EVIDENCE)
    if bundle.root.digest not in {entry.digest for entry in found}:
        raise BundleReplaced(bundle, store)
    return found


def _bytes(members: Iterable[Member]) -> int:
    return sum(member.blob.size for member in members)
