"""What a push still has to send, shared by its streams: the largest first, the small ones in lots."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

from bundler.core.events import BytesMoved, Events, Warned
from bundler.core.size import format_duration
from bundler.store.closure import Member
from bundler.transport.refusals import ConnectionFailed
from bundler.transport.remote_store import STEP_SEND

SMALL = 1 << 20
"""Blobs up to so many bytes go in lots, which the host hashes and syncs at once."""

LOT_BLOBS = 64
LOT_BYTES = 16 << 20


class Shipment:
    """A queue of blobs and the account of what has moved. All methods may be called from any thread."""

    def __init__(self, members: Sequence[Member], begun: frozenset[str], events: Events) -> None:
        self._queue = deque(sorted(members, key=lambda member: -member.blob.size))
        self._begun = set(begun)
        self._disowned: list[str] = []
        self._events = events
        self._reached: dict[str, int] = {}
        self._lock = threading.Lock()
        self.sent = 0

    def take(self) -> tuple[Member, ...]:
        """The next lot: one large blob or several small ones; nothing when none are left."""
        with self._lock:
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
            return tuple(lot)

    def lots(self) -> int:
        """About how many streams would find something to do."""
        with self._lock:
            large = sum(member.blob.size > SMALL for member in self._queue)
            return large + -(-(len(self._queue) - large) // LOT_BLOBS)

    def give_back(self, members: Sequence[Member]) -> None:
        """These have not arrived: they are the next to be taken."""
        with self._lock:
            self._queue.extendleft(sorted(members, key=lambda member: member.blob.size))
            self._begun.update(member.blob.digest.hex for member in members)

    def begun(self, lot: Sequence[Member]) -> tuple[str, ...]:
        """Those of these blobs, by their hexadecimal digits, of which the host may have a part."""
        with self._lock:
            return tuple(member.blob.digest.hex for member in lot if member.blob.digest.hex in self._begun)

    def disown(self, key: str) -> None:
        """The far end of this name has lost its connection to us: what it wrote may be taken over."""
        with self._lock:
            self._disowned.append(key)

    def disowned(self) -> tuple[str, ...]:
        """All far ends that have lost their connection in this push."""
        with self._lock:
            return tuple(self._disowned)

    def reached(self, member: Member, position: int, sent: int = 0) -> None:
        """So many bytes of a blob are on their way, `sent` of them now. What goes twice is told of once."""
        with self._lock:
            self.sent += sent
            fresh = position - self._reached.get(member.blob.digest.hex, 0)
            if fresh <= 0:
                return
            self._reached[member.blob.digest.hex] = position
        self._events.emit(BytesMoved(STEP_SEND, member.label, fresh))

    def interrupted(self, error: ConnectionFailed, pause: float) -> None:
        """A stream has lost its connection and will try again after so many seconds."""
        self._events.emit(Warned(f"{error.what}: {error.because}; trying again in {format_duration(pause)}"))
