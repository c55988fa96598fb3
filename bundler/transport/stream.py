"""One of the streams of a push: takes lots from the shipment, sends them, and hears what became of each blob."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from bundler.store.closure import Member
from bundler.store.layout import Store
from bundler.transport.attempts import Attempts
from bundler.transport.blame import Blame
from bundler.transport.connector import Connector
from bundler.transport.refusals import ConnectionFailed
from bundler.transport.remote_errors import SourceDamaged
from bundler.transport.session import Session
from bundler.transport.shipment import Shipment
from bundler.transport.split import Range
from bundler.transport.wire import SourceEnded, WireBroken

LONG = 128 << 20
"""Bytes. The hash of such a blob takes a while: where none comes behind it, it had better begin early."""

HUGE = 4 << 30
"""Bytes. Of such a blob the host may not have the beginning in memory any more when its end arrives."""

_TELL_BYTES = 1 << 20


class Stream:
    """Sends lots until none is left. Connects again where a connection breaks, and goes on behind what has arrived."""

    def __init__(self, shipment: Shipment, source: Store, connector: Connector) -> None:
        self._shipment = shipment
        self._source = source
        self._connector = connector
        self._unconfirmed: dict[str, Member] = {}
        self._offsets: dict[str, int] = {}
        self._furthest: dict[str, int] = {}
        self._ranges: dict[tuple[str, int], Range] = {}
        self._blame = Blame(source, connector)
        self._attempts = Attempts(shipment, connector.cancelled)

    def run(self) -> None:
        """Send. Raises ConnectionFailed when it can't come through, RemoteNoSpace, RemoteRefused, SourceDamaged."""
        try:
            while not self._tried():
                pass
        finally:
            self._shipment.carrier_left()

    def _tried(self) -> bool:
        try:
            with self._connector.borrow() as session:
                self._drive(session)
            return True
        except ConnectionFailed as error:
            self._shipment.give_back(tuple(self._unconfirmed.values()))
            self._unconfirmed.clear()
            self._shipment.give_back_ranges(tuple(self._ranges.values()))
            self._ranges.clear()
            self._attempts.failed(error)
            return False

    def _drive(self, session: Session) -> None:
        try:
            self._exchange(session)
        except WireBroken:
            while (answer := session.heard()) is not None:  # why it ended, perhaps
                self._hear(session, answer)
            raise
        finally:
            if self._unconfirmed or self._ranges:
                self._shipment.disown(session.key)

    def _exchange(self, session: Session) -> None:
        told: tuple[str, ...] = ()
        while True:
            lot = self._shipment.work(wait=not (self._unconfirmed or self._ranges))
            if isinstance(lot, Range):
                self._send_range(session, lot)
            elif lot:
                # ours from here on: whatever breaks next, it goes back to the shipment
                self._unconfirmed.update((member.blob.digest.hex, member) for member in lot)
                gone = self._shipment.disowned()
                if gone != told:
                    session.request("disown", *gone)
                    told = gone
                self._send(session, lot)
            elif self._unconfirmed or self._ranges:
                self._hear(session, session.answer())
            else:
                return
            while (answer := session.heard()) is not None:
                self._hear(session, answer)

    def _send(self, session: Session, lot: Sequence[Member]) -> None:
        self._find_offsets(session, self._shipment.begun(lot))
        for member in lot:
            hex_, size = member.blob.digest.hex, member.blob.size
            offset = self._offsets.get(hex_, 0)
            if offset > size:
                offset = self._offsets[hex_] = 0
            session.request("follow" if self._hashed_behind(size) else "put", hex_, offset, size - offset)
            self._send_file(session, member, offset)
            session.backlog += size
        session.request("seal")

    def _hashed_behind(self, size: int) -> bool:
        """Whether the host is to hash a blob while it arrives, and not while the next one does."""
        return size >= HUGE or (size >= LONG and not self._shipment.lots())

    def _find_offsets(self, session: Session, begun: Sequence[str]) -> None:
        """Ask how much of these blobs is there, and have it taken over."""
        for hex_ in begun:
            self._offsets.pop(hex_, None)
        if begun:
            session.request("open", *begun)
        while any(hex_ not in self._offsets for hex_ in begun):
            self._hear(session, session.answer())

    def _send_file(self, session: Session, member: Member, offset: int) -> None:
        self._shipment.reached(member, offset)

        def tell(count: int, fresh: int) -> None:
            self._shipment.reached(member, offset + count, fresh)

        self._send_bytes(session, member, offset, member.blob.size - offset, tell)

    def _send_range(self, session: Session, part: Range) -> None:
        member, hex_ = part.split.member, part.split.member.blob.digest.hex
        self._ranges[hex_, part.offset] = part  # ours from here on, as a lot
        session.request("range", hex_, part.split.first, part.offset, part.count)

        def tell(count: int, fresh: int) -> None:
            self._shipment.moved(part.split, part, count, fresh)

        self._send_bytes(session, member, part.offset, part.count, tell)

    def _send_bytes(
        self, session: Session, member: Member, offset: int, count: int, tell: Callable[[int, int], None]
    ) -> None:
        """Send a part of a blob; `tell` hears how many bytes of it are on their way, and how many of them are new."""
        position = told = 0

        def moved(sent: int) -> None:
            nonlocal position, told
            position += sent
            if position - told >= _TELL_BYTES or position == count:
                tell(position, position - told)
                told = position

        try:
            with self._source.path(member.blob.digest).open("rb", buffering=0) as file:
                length = os.fstat(file.fileno()).st_size
                if length != member.blob.size:
                    raise SourceDamaged(member, self._source, f"it has {length} bytes, should have {member.blob.size}")
                session.send_file(file.fileno(), offset, count, moved)
        except SourceEnded:
            raise SourceDamaged(member, self._source, "it became shorter while it was sent") from None
        except OSError as error:
            raise SourceDamaged(member, self._source, f"it can't be read: {error.strerror}") from error

    def _hear(self, session: Session, answer: str) -> None:
        word, _, rest = answer.partition(" ")
        hex_, _, detail = rest.partition(" ")
        if word == "at" and detail.isascii() and detail.isdigit():
            self._offsets[hex_] = int(detail)
            if int(detail) > self._furthest.get(hex_, 0):  # a long blob over a bad line comes piece by piece
                self._furthest[hex_] = int(detail)
                self._attempts.went_on()
        elif word == "got" and detail.isascii() and detail.isdigit() and (hex_, int(detail)) in self._ranges:
            self._shipment.came(self._ranges.pop((hex_, int(detail))))
            self._attempts.went_on()
        elif word in ("ok", "bad") and hex_ in self._unconfirmed:
            member = self._unconfirmed.pop(hex_)
            session.backlog -= member.blob.size
            if word == "bad":
                self._again(member, detail)
            else:
                self._attempts.went_on()
        else:
            raise self._connector.refusal(word, rest)

    def _again(self, member: Member, actual: str) -> None:
        """A blob arrived wrong. What came of an earlier push may be at fault, or our own disk."""
        hex_ = member.blob.digest.hex
        self._blame.arrived_wrong(member, actual, resumed=bool(self._offsets.get(hex_)))
        self._offsets.pop(hex_, None)
        self._shipment.give_back((member,))
