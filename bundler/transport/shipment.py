"""What a push still has to send, shared by its streams: the largest first, the small ones in lots, the last split."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

from bundler.core.events import BytesMoved, Events, Warned
from bundler.core.size import format_duration
from bundler.store.closure import Member
from bundler.transport.refusals import ConnectionFailed
from bundler.transport.remote_store import STEP_SEND
from bundler.transport.split import SPLIT_FROM, Range, Span, Split
from bundler.transport.wire import Cancelled

SMALL = 1 << 20
"""Blobs up to so many bytes go in lots, which the host hashes and syncs at once."""

LOT_BLOBS = 64
LOT_BYTES = 16 << 20
_TICK = 0.25  # seconds after which whoever waits looks whether all is cancelled


class Shipment:
    """A queue of blobs and the account of what has moved. All methods may be called from any thread.

    Where several `carriers` send and a conductor leads them (conductor.py), a large blob is split when there are fewer
    of them left than carriers. `cancelled` ends what any of them waits for.
    """

    def __init__(
        self,
        members: Sequence[Member],
        begun: frozenset[str],
        events: Events,
        *,
        carriers: int = 1,
        cancelled: threading.Event | None = None,
    ) -> None:
        self._queue = deque(sorted(members, key=lambda member: -member.blob.size))
        self._begun = set(begun)
        self._disowned: list[str] = []
        self._events = events
        self._reached: dict[str, int] = {}
        self._carriers = carriers
        self._carrying = carriers
        self._cancelled = cancelled or threading.Event()
        self._conducted = carriers > 1 and any(member.blob.size >= SPLIT_FROM for member in members)
        self._claimed: Member | None = None
        self._split: Split | None = None
        self._changed = threading.Condition()
        self.sent = 0

    @property
    def conducted(self) -> bool:
        """Whether it needs a conductor."""
        return self._conducted

    def take(self) -> tuple[Member, ...]:
        """The next lot: one large blob or several small ones; nothing when none are left."""
        with self._changed:
            return self._lot()

    def work(self, *, wait: bool) -> tuple[Member, ...] | Range:
        """The next range of the blob that is split, or the next lot.

        Nothing when none are left; with `wait`, only when none can come any more. Raises Cancelled.
        """
        with self._changed:
            while True:
                if self._split and self._split.left:
                    return self._split.take()
                lot = self._lot()
                if lot or not wait or not (self._claimed or self._to_split()):
                    self._changed.notify_all()
                    return lot
                self._rest()

    def _lot(self) -> tuple[Member, ...]:
        kept = [self._queue.popleft()] if self._to_split() else []
        lot: list[Member] = []
        size = 0
        while self._queue and len(lot) < LOT_BLOBS:
            next_size = self._queue[0].blob.size
            if lot and (next_size > SMALL or size + next_size > LOT_BYTES):
                break
            lot.append(self._queue.popleft())
            size += next_size
            if next_size > SMALL:
                break
        self._queue.extendleft(kept)
        return tuple(lot)

    def _to_split(self) -> bool:
        """Whether the next blob is the conductor's."""
        if not self._conducted or self._claimed or not self._queue or self._queue[0].blob.size < SPLIT_FROM:
            return False
        return sum(member.blob.size > SMALL for member in self._queue) < self._carriers

    def _rest(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled
        self._changed.wait(_TICK)

    def claim(self) -> Member | None:
        """The next blob to be split; waits for its time. None when none will be, or no carrier is left."""
        with self._changed:
            while self._carrying and any(member.blob.size >= SPLIT_FROM for member in self._queue):
                if self._to_split():
                    self._claimed = self._queue.popleft()
                    return self._claimed
                self._rest()
            return None

    def split(self, member: Member, first: str, spans: Sequence[Span], length: int) -> Split:
        """The carriers are to send what is missing. The same as before where it is the same file there."""
        with self._changed:
            if not self._split or self._split.first != first:
                self._split = Split.begin(member, first, spans, length)
            self._changed.notify_all()
            split = self._split
        self.moved(split)
        return split

    def beyond(self, split: Split, position: int) -> int:
        """How far a split blob is there without a hole, once that is beyond a position; 0 when no carrier is left."""
        with self._changed:
            while split.prefix <= position < split.member.blob.size:
                if not self._carrying:
                    return 0
                self._rest()
            return split.prefix

    def ended(self, member: Member, *, again: bool = False) -> None:
        """The conductor has done with a blob, or it is to be sent again."""
        with self._changed:
            self._split = self._claimed = None
            if again:
                self._queue.appendleft(member)
                self._begun.add(member.blob.digest.hex)
            self._changed.notify_all()

    def conductor_left(self) -> None:
        """From here on all blobs go whole."""
        with self._changed:
            self._conducted = False
            if self._claimed:
                self._queue.appendleft(self._claimed)
                self._begun.add(self._claimed.blob.digest.hex)
            self._split = self._claimed = None
            self._changed.notify_all()

    def carrier_left(self) -> None:
        """One stream less."""
        with self._changed:
            self._carrying -= 1
            self._changed.notify_all()

    def came(self, part: Range) -> None:
        """The host has all of a range."""
        with self._changed:
            part.split.came(part)
            self._changed.notify_all()

    def give_back_ranges(self, parts: Sequence[Range]) -> None:
        """These have not arrived."""
        with self._changed:
            for part in reversed(parts):
                part.split.give_back(part)
            self._changed.notify_all()

    def moved(self, split: Split, part: Range | None = None, count: int = 0, sent: int = 0) -> None:
        """So many bytes of a range are on their way, `sent` of them now."""
        with self._changed:
            if part:
                split.moved(part, count)
            position = split.position
        self.reached(split.member, position, sent)

    def lots(self) -> int:
        """About how many streams would find something to do."""
        with self._changed:
            large = sum(member.blob.size > SMALL for member in self._queue)
            small = -(-(len(self._queue) - large) // LOT_BLOBS)
            if self._claimed or self._to_split():
                large = max(large + 1, self._carriers)
            return large + small

    def give_back(self, members: Sequence[Member]) -> None:
        """These have not arrived: they are the next to be taken."""
        with self._changed:
            self._queue.extendleft(sorted(members, key=lambda member: member.blob.size))
            self._begun.update(member.blob.digest.hex for member in members)
            self._changed.notify_all()

    def begun(self, lot: Sequence[Member]) -> tuple[str, ...]:
        """Those of these blobs, by their hexadecimal digits, of which the host may have a part."""
        with self._changed:
            return tuple(member.blob.digest.hex for member in lot if member.blob.digest.hex in self._begun)

    def disown(self, key: str) -> None:
        """The far end of this name has lost its connection to us: what it wrote may be taken over."""
        with self._changed:
            self._disowned.append(key)

    def disowned(self) -> tuple[str, ...]:
        """All far ends that have lost their connection in this push."""
        with self._changed:
            return tuple(self._disowned)

    def reached(self, member: Member, position: int, sent: int = 0) -> None:
        """So many bytes of a blob are on their way, `sent` of them now. What goes twice is told of once."""
        with self._changed:
            self.sent += sent
            fresh = position - self._reached.get(member.blob.digest.hex, 0)
            if fresh <= 0:
                return
            self._reached[member.blob.digest.hex] = position
        self._events.emit(BytesMoved(STEP_SEND, member.label, fresh))

    def interrupted(self, error: ConnectionFailed, pause: float) -> None:
        """A stream has lost its connection and will try again after so many seconds."""
        self._events.emit(Warned(f"{error.what}: {error.because}; trying again in {format_duration(pause)}"))
