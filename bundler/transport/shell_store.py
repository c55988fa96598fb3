"""A remote store behind a POSIX shell: several connections at once, the same program at each far end."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.events import BytesMoved, Events
from bundler.core.strict_json import LIMIT
from bundler.store.closure import Member
from bundler.store.layout import Store, decode_index, encode_index, merged
from bundler.transport.client import Client
from bundler.transport.conductor import Conductor
from bundler.transport.connector import Connector
from bundler.transport.limit import Limit
from bundler.transport.parallel import together
from bundler.transport.place import Place
from bundler.transport.refusals import ConnectionFailed
from bundler.transport.remote_errors import RemoteIncomplete, RemoteLocked
from bundler.transport.remote_store import STEP_CHECK, Holdings
from bundler.transport.session import Session
from bundler.transport.shipment import Shipment
from bundler.transport.stream import Stream
from bundler.transport.wire import STALL_SECONDS

STREAMS = min(4, max(2, os.cpu_count() or 2))
"""Connections at once. Each keeps a core busy with its cipher here: more of them than cores are slower than as many.
One would leave half of a link idle whose round trip is long, for ssh has 2 MiB in flight at most (channels.h)."""

_ATTEMPTS = 3  # of a short exchange on a host that has answered before
_DOUBTFUL = (2 << 30) - 1  # bytes; the shortest file that a file system or a limit in use refuses (vfat(5), ulimit)
_ZEROS = bytes(1 << 18)
_TRIAL = 1 << 20
_LONGEST_TRIAL = 1 << 30
_TRIAL_SECONDS = 0.5
_SWAPS = 50  # each one that is lost was won by another push
_LISTED = re.compile(r"-\S*\s+\d+\s+\S+\s+\S+\s+(\d+)\s.*\s(?:(partial/)?([0-9a-f]{64})(?:\.\S+)?)")
T = TypeVar("T")


class ShellStore:
    """A store on a host whose login has a shell. `streams` is how many connections at most carry blobs at once."""

    def __init__(
        self,
        client: Client,
        *,
        streams: int = STREAMS,
        stall: float = STALL_SECONDS,
        limit: Limit | None = None,
    ) -> None:
        self._connector = Connector(client, stall=stall, limit=limit)
        self._streams = streams
        self._begun: frozenset[str] = frozenset()

    @property
    def place(self) -> Place:
        """The login and the directory."""
        return self._connector.place

    @property
    def host_keys(self) -> tuple[str, ...]:
        """The fingerprints that this machine knows the host by."""
        return self._connector.client.host_keys()

    @property
    def verifies(self) -> bool:
        """It does."""
        return True

    def look(self) -> Holdings:
        """See RemoteStore."""
        with self._connector.visit() as (session, room):
            whole, begun = _listing(session, "kept") if room.made else ({}, {})
        return Holdings(room.free_bytes, room.free_inodes, whole, begun)

    def rate(self) -> float:
        """See RemoteStore. Over all connections together, as a push would have them."""
        rates: list[float] = []

        def try_one() -> None:
            with self._connector.visit() as (session, _):
                rates.append(_measured(session))

        lost = together([try_one] * self._streams, self._streams, self._connector.cancelled)
        if lost and not rates:
            raise lost
        return sum(rates)

    def survey(self) -> Holdings:
        """See RemoteStore."""
        return self._exchange(self._survey)

    def _survey(self, session: Session) -> Holdings:
        room = self._connector.prepare(session)
        whole, begun = _listing(session)
        self._begun = frozenset(digest.hex for digest in begun)
        return Holdings(room.free_bytes, room.free_inodes, whole, begun)

    def damaged(self, members: Sequence[Member], events: Events) -> tuple[Member, ...]:
        """See RemoteStore."""
        bad: list[Member] = []

        def check(member: Member) -> None:
            if not self._exchange(lambda session: self._right(session, member)):
                bad.append(member)
            events.emit(BytesMoved(STEP_CHECK, member.label, member.blob.size))

        largest_first = sorted(members, key=lambda member: -member.blob.size)
        tasks = [partial(check, member) for member in largest_first]
        lost = together(tasks, self._streams, self._connector.cancelled)
        if lost:
            raise lost
        return tuple(bad)

    def _right(self, session: Session, member: Member) -> bool:
        session.backlog = member.blob.size
        session.request("check", member.blob.digest.hex)
        word, _, rest = session.answer().partition(" ")
        session.backlog = 0
        if word not in ("ok", "bad"):
            raise self._connector.refusal(word, rest)
        return word == "ok"

    def send(self, source: Store, members: Sequence[Member], events: Events) -> int:
        """See RemoteStore."""
        self._check_lengths(max((member.blob.size for member in members), default=0))
        cancelled = self._connector.cancelled
        shipment = Shipment(members, self._begun, events, carriers=self._streams, cancelled=cancelled)
        streams = min(self._streams, shipment.lots())
        tasks = [Stream(shipment, source, self._connector).run for _ in range(streams)]
        if shipment.conducted:
            tasks.append(Conductor(shipment, source, self._connector).run)
        lost = together(tasks, len(tasks), cancelled)
        if lost and shipment.lots():
            raise lost
        return shipment.sent

    def _check_lengths(self, largest: int) -> None:
        """Raises RemoteFileTooLarge where no file there may be so long."""

        def ask(session: Session) -> None:
            session.request("fits", largest)
            self._expect(session, "fits")

        if largest >= _DOUBTFUL:
            self._exchange(ask)

    def commit(self, members: Sequence[Member], agent: Digest, entries: Sequence[Descriptor]) -> None:
        """See RemoteStore."""
        self._exchange(lambda session: self._commit(session, members, agent, entries))

    def _commit(
        self, session: Session, members: Sequence[Member], agent: Digest, entries: Sequence[Descriptor]
    ) -> None:
        whole, _ = _listing(session)
        missing = [member for member in members if whole.get(member.blob.digest) != member.blob.size]
        if missing:
            raise RemoteIncomplete(self.place, missing)
        session.request("agent", agent.hex)
        self._expect(session, "agent")
        for _ in range(_SWAPS):
            session.request("index")
            before, _, length = self._expect(session, "index")[1].partition(" ")
            if not (length.isascii() and length.isdigit()):
                raise self._connector.refusal("index", f"{before} {length}")
            raw = session.read(min(int(length), LIMIT + 1))
            after = encode_index(merged(decode_index(raw, f"{self.place}/index.json"), entries))
            if after == raw:
                return
            session.request("swap", before, len(after))
            session.send(after)
            if self._expect(session, "swapped", "changed")[0] == "swapped":
                return
        raise RemoteLocked(self.place, "index.lock", "other pushes, without end")

    def _expect(self, session: Session, *wanted: str) -> tuple[str, str]:
        word, _, rest = session.answer().partition(" ")
        if word not in wanted:
            raise self._connector.refusal(word, rest)
        return word, rest

    def cancel(self) -> None:
        """See RemoteStore."""
        self._connector.cancelled.set()

    def close(self) -> None:
        """See RemoteStore."""
        self._connector.close()

    def _exchange(self, talk: Callable[[Session], T]) -> T:
        """Talk over a session; once more over a new one if that had broken while it lay idle."""
        attempts = _ATTEMPTS if self._connector.room else 1
        while True:
            attempts -= 1
            try:
                with self._connector.borrow() as session:
                    return talk(session)
            except ConnectionFailed as error:
                if not error.transient or not attempts:
                    raise


def _measured(session: Session) -> float:
    """Bytes a second over one connection: so many that it takes a while, the first not counted."""
    count = _TRIAL
    while True:
        began = time.monotonic()
        session.request("sink", count)
        for _ in range(count // len(_ZEROS)):
            session.send(_ZEROS)
        session.answer()
        seconds = time.monotonic() - began
        if seconds >= _TRIAL_SECONDS or count >= _LONGEST_TRIAL:
            return count / seconds
        count *= 4


def _listing(session: Session, *words: str) -> tuple[dict[Digest, int], dict[Digest, int]]:
    """The blobs that are there whole, and those that can be gone on with, by their lengths."""
    whole: dict[Digest, int] = {}
    begun: dict[Digest, int] = {}
    session.request("list", *words)
    while (line := session.answer()) != "end":
        match = _LISTED.fullmatch(line)
        if match:
            size, in_flight, hex_ = match.groups()
            found = begun if in_flight else whole
            found[Digest(hex_)] = max(int(size), found.get(Digest(hex_), 0))
    return whole, begun
