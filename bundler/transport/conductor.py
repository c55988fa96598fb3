"""Leads a blob that is split: a connection of its own on which the far end hashes what the others bring."""

from __future__ import annotations

from bundler.store.closure import Member
from bundler.store.layout import Store
from bundler.transport.attempts import Attempts
from bundler.transport.blame import Blame
from bundler.transport.connector import Connector
from bundler.transport.refusals import ConnectionFailed
from bundler.transport.session import Session
from bundler.transport.shipment import Shipment
from bundler.transport.split import Span, Split
from bundler.transport.wire import WireBroken


class _NoCarriers(Exception):
    """No stream is left that would bring the rest."""


class Conductor:
    """One blob after another: asks what of it is there, has the streams send the rest, and hears what became of it.

    SHA-256 goes through a blob in order. So the far end hashes behind the first hole, and is told over this connection,
    on which no bytes are before the word, when that hole is filled.
    """

    def __init__(self, shipment: Shipment, source: Store, connector: Connector) -> None:
        self._shipment = shipment
        self._connector = connector
        self._attempts = Attempts(shipment, connector.cancelled)
        self._blame = Blame(source, connector)
        self._first = ""

    def run(self) -> None:
        """Lead. Where it can't connect, blobs go whole. Raises as a stream, and Cancelled."""
        try:
            while member := self._shipment.claim():
                self._first = ""
                while not self._tried(member):
                    pass
        except _NoCarriers:
            pass  # why, they say
        finally:
            self._shipment.conductor_left()

    def _tried(self, member: Member) -> bool:
        try:
            with self._connector.borrow() as session:
                self._drive(session, member)
            return True
        except ConnectionFailed as error:
            if not self._first:
                raise  # the streams wait for us: they had better send it whole
            self._attempts.failed(error)
            return False

    def _drive(self, session: Session, member: Member) -> None:
        done = False
        try:
            self._conduct(session, member)
            done = True
        except WireBroken:
            while (answer := session.heard()) is not None:  # why it ended, perhaps
                word, _, rest = answer.partition(" ")
                if word not in ("had", "gathered", "ok", "bad"):
                    raise self._connector.refusal(word, rest) from None
            raise
        finally:
            if not done:
                self._shipment.disown(session.key)

    def _conduct(self, session: Session, member: Member) -> None:
        hex_, size = member.blob.digest.hex, member.blob.size
        if gone := self._shipment.disowned():
            session.request("disown", *gone)
        split = self._gathered(session, member)
        resumed = bool(split.prefix or split.arrived)
        session.backlog = split.prefix
        session.request("digest", hex_, split.first)
        told = 0
        while told < size:
            there = self._shipment.beyond(split, told)
            if not there:
                raise _NoCarriers
            session.request(there - told)
            told = there
            self._attempts.went_on()
        session.backlog = size
        session.request("end")
        session.request("whole", hex_, split.first, size)
        word, _, rest = session.answer().partition(" ")
        if word not in ("ok", "bad"):
            raise self._connector.refusal(word, rest)
        session.backlog = 0
        if word == "bad":
            self._blame.arrived_wrong(member, rest.partition(" ")[2], resumed=resumed)
        self._shipment.ended(member, again=word == "bad")

    def _gathered(self, session: Session, member: Member) -> Split:
        session.request("gather", member.blob.digest.hex, *([self._first] if self._first else []))
        spans: list[Span] = []
        while True:
            word, _, rest = session.answer().partition(" ")
            numbers = [int(text) for text in rest.split() if text.isascii() and text.isdigit()]
            if word == "had":
                if len(numbers) == 2:  # a crash may have left half a line
                    spans.append((numbers[0], sum(numbers)))
            elif word == "gathered" and len(rest.split()) == 3 and numbers:
                self._first = rest.split()[1]
                return self._shipment.split(member, self._first, spans, numbers[-1])
            else:
                raise self._connector.refusal(word, rest)
