"""`push --dry-run`: what a push would send, and how long it would take; nothing on the host is changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bundler.core.events import Events, StepEnded, StepStarted
from bundler.core.size import format_size
from bundler.operations.push import carried, check_room
from bundler.store.closure import Member
from bundler.store.layout import BundleEntry, Store
from bundler.store.leases import leasing
from bundler.transport import receipts
from bundler.transport.place import Place
from bundler.transport.receipts import Tally
from bundler.transport.remote_store import Holdings, RemoteStore

STEP_LOOK = "look"


@dataclass(frozen=True, slots=True)
class Parcel:
    """A blob that would be sent. `bytes` would go over: less than its `size` where an earlier push had begun."""

    label: str
    digest: str
    size: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Rate:
    """Bytes a second to a host, and where that is known from."""

    bytes_per_second: float
    source: str


@dataclass(frozen=True, slots=True)
class PushPlan:
    """What a push would do. `seconds` is None where no rate is known; `free` are bytes, None where it is not said."""

    host: str
    directory: str
    parcels: tuple[Parcel, ...]
    present: Tally
    free: int | None
    rate: Rate | None

    @property
    def bytes(self) -> int:
        """What would go over, in bytes."""
        return sum(parcel.bytes for parcel in self.parcels)

    @property
    def seconds(self) -> float | None:
        """How long the sending would take."""
        return self.bytes / self.rate.bytes_per_second if self.rate else None


def plan_push(
    store: Store, bundle: BundleEntry, remote: RemoteStore, events: Events, *, limit: float | None = None
) -> PushPlan:
    """What a push of a bundle would send. `limit` is a ceiling in bytes a second.

    Raises BundleIncomplete, HostTooSmall, and what RemoteStore's `look` and `rate` raise.
    """
    events.emit(StepStarted(STEP_LOOK))
    with leasing(store, "push"):
        members, _ = carried(store, bundle)
        holdings = remote.look()
    missing = [member for member in members if not holdings.has(member.blob)]
    check_room(missing, holdings, remote.place)
    present = [member for member in members if holdings.has(member.blob)]
    parcels = tuple(_parcel(member, holdings) for member in sorted(missing, key=lambda member: -member.blob.size))
    rate = _rate(remote, limit) if parcels else None
    events.emit(StepEnded(STEP_LOOK, f"{len(parcels)} blobs to send, {len(present)} are there"))
    held = Tally(len(present), sum(member.blob.size for member in present))
    place = remote.place
    return PushPlan(place.host, place.directory, parcels, held, holdings.free_bytes, rate)


def _parcel(member: Member, holdings: Holdings) -> Parcel:
    begun = min(holdings.begun.get(member.blob.digest, 0), member.blob.size)
    return Parcel(member.label, str(member.blob.digest), member.blob.size, member.blob.size - begun)


def _rate(remote: RemoteStore, limit: float | None) -> Rate | None:
    tried = remote.rate()
    found = Rate(tried, "measured just now") if tried else _remembered(remote.place, receipts.listed().receipts)
    if limit and (found is None or found.bytes_per_second > limit):
        return Rate(limit, f"the limit of {format_size(limit)}/s")
    return found


def _remembered(place: Place, kept: Sequence[tuple[object, receipts.Receipt]]) -> Rate | None:
    """How fast the last push to this host was that sent enough to tell."""
    for _, receipt in reversed(kept):
        if receipt.host == place.host and receipt.rate:
            return Rate(receipt.rate, f"the push of {receipt.bundle} at {receipt.when}")
    return None
