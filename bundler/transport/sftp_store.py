"""A remote store behind SFTP alone: no program of ours runs there, so it is the node that hashes what arrives."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.events import BytesMoved, Events
from bundler.core.owner import Owner
from bundler.core.strict_json import LIMIT
from bundler.store.closure import Member
from bundler.store.layout import Store, decode_index, encode_index, merged
from bundler.transport.client import Client
from bundler.transport.limit import Limit
from bundler.transport.parallel import together
from bundler.transport.place import Place
from bundler.transport.refusals import ConnectionFailed, ConnectionLost, NoSftp
from bundler.transport.remote_errors import RemoteIncomplete, RemoteNoSpace, RemoteRefused
from bundler.transport.remote_store import STEP_CHECK, Holdings
from bundler.transport.sftp import Sftp, SftpError
from bundler.transport.sftp_layout import SftpLayout
from bundler.transport.sftp_packets import Malformed
from bundler.transport.sftp_stream import SftpStream
from bundler.transport.shipment import Shipment
from bundler.transport.wire import STALL_SECONDS, WireBroken

STREAMS = 2
_ATTEMPTS = 3
_REFUSED = "subsystem request failed"  # ssh's words (OpenSSH, clientloop.c)
_FULL = 1 << 20  # bytes; where less is free, that is why a write failed
T = TypeVar("T")


class SftpStore:
    """A store on a host whose login has SFTP: `sftp-server`, or `internal-sftp` in a chroot."""

    def __init__(
        self,
        client: Client,
        *,
        streams: int = STREAMS,
        stall: float = STALL_SECONDS,
        limit: Limit | None = None,
    ) -> None:
        self._client = client
        self._streams = streams
        self._stall = stall
        self._limit = limit
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self._idle: list[Sftp] = []
        self._greeted = False
        self._directory = ""
        self._begun: frozenset[str] = frozenset()
        self._lease = ""

    @property
    def place(self) -> Place:
        """The login and the directory."""
        destination = self._client.destination
        return Place(destination.login, self._directory or destination.directory, self._client.by_hand())

    @property
    def host_keys(self) -> tuple[str, ...]:
        """The fingerprints that this machine knows the host by."""
        return self._client.host_keys()

    @property
    def verifies(self) -> bool:
        """It can't: SFTP has no word for it."""
        return False

    def look(self) -> Holdings:
        """See RemoteStore."""

        def ask(sftp: Sftp) -> Holdings:
            layout = self._layout(sftp)
            if not layout.made():
                return Holdings(*sftp.free(layout.above()))
            whole, begun = layout.holdings()
            return Holdings(*sftp.free(layout.root), whole, begun)

        return self._exchange(ask)

    def rate(self) -> None:
        """See RemoteStore. There is no file there that nothing would be left of."""

    def survey(self) -> Holdings:
        """See RemoteStore."""

        def ask(sftp: Sftp) -> Holdings:
            layout = self._layout(sftp)
            layout.make()
            self._lease = self._lease or layout.lease(self._cancelled)
            layout.sweep(self._lease)
            whole, begun = layout.holdings()
            self._begun = frozenset(digest.hex for digest in begun)
            return Holdings(*sftp.free(layout.root), whole, begun)

        return self._exchange(ask)

    def damaged(self, members: Sequence[Member], events: Events) -> tuple[Member, ...]:
        """See RemoteStore. The bytes come back here to be hashed."""
        bad: list[Member] = []

        def check(member: Member) -> None:
            def read(sftp: Sftp) -> str:
                found = hashlib.sha256()
                for data in sftp.content(self._layout(sftp).blob(member.blob.digest)):
                    found.update(data)
                return found.hexdigest()

            if self._exchange(read) != member.blob.digest.hex:
                bad.append(member)
            events.emit(BytesMoved(STEP_CHECK, member.label, member.blob.size))

        tasks = [partial(check, member) for member in sorted(members, key=lambda member: -member.blob.size)]
        lost = together(tasks, self._streams, self._cancelled)
        if lost:
            raise lost
        return tuple(bad)

    def send(self, source: Store, members: Sequence[Member], events: Events) -> int:
        """See RemoteStore."""
        shipment = Shipment(members, self._begun, events)
        streams = min(self._streams, shipment.lots())
        tasks = [SftpStream(shipment, source, self._borrow, self._layout, self._cancelled).run for _ in range(streams)]
        lost = together(tasks, streams, self._cancelled)
        if lost and shipment.lots():
            raise lost
        return shipment.sent

    def commit(self, members: Sequence[Member], agent: Digest, entries: Sequence[Descriptor]) -> None:
        """See RemoteStore."""
        signature = b""

        def write(sftp: Sftp) -> None:
            nonlocal signature
            layout = self._layout(sftp)
            signature = signature or layout.signature()
            whole, _ = layout.holdings()
            missing = [member for member in members if whole.get(member.blob.digest) != member.blob.size]
            if missing:
                raise RemoteIncomplete(self.place, missing)
            layout.place_agent(agent)
            with layout.index_locked(self.place, signature, self._cancelled):
                raw = b"".join(sftp.content(layout.index, LIMIT + 1))
                after = encode_index(merged(decode_index(raw, f"{self.place}/index.json"), entries))
                if after != raw:
                    layout.replace(layout.index, after)

        self._exchange(write)

    def cancel(self) -> None:
        """See RemoteStore."""
        self._cancelled.set()

    def close(self) -> None:
        """See RemoteStore."""
        if self._lease and self._idle:
            try:
                with self._borrow() as sftp:
                    sftp.remove(self._lease)
            except (ConnectionFailed, RemoteRefused, RemoteNoSpace):
                pass  # it says who held it, and gc tells that to whoever waits
        while self._idle:
            self._idle.pop().close()

    def _layout(self, sftp: Sftp) -> SftpLayout:
        if not self._directory:
            wanted = self._client.destination.directory
            self._directory = wanted if wanted.startswith("/") else f"{sftp.realpath('.').rstrip('/')}/{wanted}"
        return SftpLayout(sftp, self._directory, Owner.me())

    def _exchange(self, talk: Callable[[Sftp], T]) -> T:
        """Talk over a connection; over a new one if that had broken while it lay idle."""
        attempts = _ATTEMPTS if self._directory else 1
        while True:
            attempts -= 1
            try:
                with self._borrow() as sftp:
                    return talk(sftp)
            except ConnectionFailed as error:
                if not error.transient or not attempts:
                    raise

    @contextmanager
    def _borrow(self) -> Iterator[Sftp]:
        """A connection, kept for the next borrower unless the block fails.

        Raises ConnectionFailed, RemoteNoSpace, RemoteRefused in the place of what the protocol raises.
        """
        with self._lock:
            sftp = self._idle.pop() if self._idle else None
        try:
            sftp = sftp or self._connect()
            yield sftp
        except (WireBroken, Malformed) as broken:
            if sftp:
                sftp.abandon()
            raise self._explained(broken) from broken
        except SftpError as error:
            assert sftp
            refusal = self._refusal(sftp, error)
            sftp.abandon()
            raise refusal from error
        except BaseException:
            if sftp:
                sftp.abandon()
            raise
        with self._lock:
            self._idle.append(sftp)

    def _connect(self) -> Sftp:
        launch = self._client.subsystem("sftp")
        sftp = Sftp(launch, stall=self._stall, cancelled=self._cancelled, limit=self._limit)
        self._greeted = True
        return sftp

    def _explained(self, broken: WireBroken | Malformed) -> ConnectionFailed:
        destination = self._client.destination
        if isinstance(broken, Malformed):
            return ConnectionLost(destination, f"its SFTP server sent {broken}")
        refused = _REFUSED in broken.said
        if not refused and (failure := self._client.failure(broken)):
            return failure
        if refused or not (broken.greeted or self._greeted):  # else it has SFTP, and this login broke off early
            return NoSftp(destination, broken.said)
        return ConnectionLost(destination, broken.said or f"its SFTP server ended (exit status {broken.status})")

    def _refusal(self, sftp: Sftp, error: SftpError) -> RemoteNoSpace | RemoteRefused | ConnectionFailed:
        """What the server would not do. That a disk is full, version 3 of SFTP has no code for: it is asked."""
        try:
            sftp.forget_writes()
            free, inodes = sftp.free(self._directory)
        except (WireBroken, Malformed) as broken:
            return self._explained(broken)
        if free is not None and (free < _FULL or inodes == 0):
            return RemoteNoSpace(self.place, str(error))
        return RemoteRefused(self.place, str(error))
