"""One of the streams of a push: takes lots from the shipment, sends them, and hears what became of each blob."""

from __future__ import annotations

import os
from collections.abc import Sequence

from bundler.core.digest import Digest
from bundler.store.closure import Member
from bundler.store.layout import Store
from bundler.transport.attempts import Attempts
from bundler.transport.connector import Connector
from bundler.transport.refusals import ConnectionFailed
from bundler.transport.remote_errors import DamagedInTransit, SourceDamaged
from bundler.transport.session import Session
from bundler.transport.shipment import Shipment
from bundler.transport.wire import SourceEnded, WireBroken

LONG = 128 << 20
"""Bytes. The hash of such a blob takes a while: where none comes behind it, it had better begin early."""

HUGE = 4 << 30
"""Bytes. Of such a blob the host may not have the beginning in memory any more when its end arrives."""

_TRIES = 3  # of one blob that is right here and arrives wrong
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
        self._tries: dict[str, int] = {}
        self._attempts = Attempts(shipment, connector.cancelled)

    def run(self) -> None:
        """Send. Raises ConnectionFailed when it can't come through, RemoteNoSpace, RemoteRefused, SourceDamaged."""
        while True:
            try:
                with self._connector.borrow() as session:
                    self._drive(session)
                return
            except ConnectionFailed as error:
                self._shipment.give_back(tuple(self._unconfirmed.values()))
                self._unconfirmed.clear()
                self._attempts.failed(error)

    def _drive(self, session: Session) -> None:
        try:
            self._exchange(session)
        except WireBroken:
            while (answer := session.heard()) is not None:  # why it ended, perhaps
                self._hear(session, answer)
            raise
        finally:
            if self._unconfirmed:
                self._shipment.disown(session.key)

    def _exchange(self, session: Session) -> None:
        told: tuple[str, ...] = ()
        while True:
            lot = self._shipment.take()
            if lot:
                # ours from here on: whatever breaks next, it goes back to the shipment
                self._unconfirmed.update((member.blob.digest.hex, member) for member in lot)
                gone = self._shipment.disowned()
                if gone != told:
                    session.request("disown", *gone)
                    told = gone
                self._send(session, lot)
            elif self._unconfirmed:
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
        position = told = offset
        self._shipment.reached(member, offset)

        def moved(count: int) -> None:
            nonlocal position, told
            position += count
            if position - told >= _TELL_BYTES or position == member.blob.size:
                self._shipment.reached(member, position, position - told)
                told = position

        try:
            with self._source.path(member.blob.digest).open("rb", buffering=0) as file:
                length = os.fstat(file.fileno()).st_size
                if length != member.blob.size:
                    raise SourceDamaged(member, self._source, f"it has {length} bytes, should have {member.blob.size}")
                session.send_file(file.fileno(), offset, member.blob.size - offset, moved)
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
        if not self._offsets.get(hex_):
            here = Digest.of_file(self._source.path(member.blob.digest))
            if here != member.blob.digest:
                raise SourceDamaged(member, self._source, f"its bytes have the digest {here}")
            self._tries[hex_] = self._tries.get(hex_, 0) + 1
            if self._tries[hex_] >= _TRIES:
                raise DamagedInTransit(member, self._connector.place, actual)
        self._offsets.pop(hex_, None)
        self._shipment.give_back((member,))
