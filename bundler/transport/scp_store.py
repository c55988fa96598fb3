"""A remote store behind `scp` alone: no list but of a directory, no rename, no lock. The last resort of a push.

A blob gets its final name at once, and its mode 0444 when it is whole; one that broke off is shorter than it should be,
is in no index, and is sent again from its beginning. Nothing there hashes what arrives.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TypeVar

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.errors import BundlerError
from bundler.core.events import BytesMoved, Events
from bundler.core.strict_json import LIMIT
from bundler.store.closure import Member
from bundler.store.layout import LAYOUT, Store, decode_index, encode_index, merged
from bundler.transport import scp
from bundler.transport.attempts import Attempts
from bundler.transport.client import Client
from bundler.transport.limit import Limit
from bundler.transport.parallel import together
from bundler.transport.place import Place
from bundler.transport.refusals import ConnectionFailed, ConnectionLost, NoScp
from bundler.transport.remote_errors import (
    RemoteIncomplete,
    RemoteLocked,
    RemoteNoSpace,
    RemoteRefused,
    SourceDamaged,
)
from bundler.transport.remote_store import STEP_CHECK, Holdings
from bundler.transport.scp import NotScp, ScpError, Sink
from bundler.transport.shipment import Shipment
from bundler.transport.wire import STALL_SECONDS, SourceEnded, Wire, WireBroken

STREAMS = 2
_HELD_BACK = 1 << 20
"""Bytes at a blob's end that are not sent before all of it was hashed here: what is damaged does not become whole."""
_SWAPS = 5
_HEX = re.compile(r"[0-9a-f]{64}")
_ABSENT = "No such file or directory"
T = TypeVar("T")


class ScpStore:
    """A store on a host whose login runs `scp` and nothing else."""

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
        self._root = client.destination.directory
        self._runs_scp = False

    @property
    def place(self) -> Place:
        """The login and the directory, which stays relative where it was: there is no one to ask."""
        return Place(self._client.destination.login, self._root, self._client.by_hand())

    @property
    def host_keys(self) -> tuple[str, ...]:
        """The fingerprints that this machine knows the host by."""
        return self._client.host_keys()

    @property
    def verifies(self) -> bool:
        """It can't."""
        return False

    def look(self) -> Holdings:
        """See RemoteStore. How much is free it can't say."""
        return Holdings(whole=self._whole())

    def rate(self) -> None:
        """See RemoteStore."""

    def survey(self) -> Holdings:
        """See RemoteStore."""
        whole = self._whole()
        fresh = self._read("index.json") is None
        root = PurePosixPath(self._root)
        with self._sink("/" if root.is_absolute() else ".", recursive=True) as sink:
            for name in root.parts[1:] if root.is_absolute() else root.parts:
                sink.enter(name)
            for directory in ("blobs", "sha256"):
                sink.enter(directory)
            sink.leave()
            sink.leave()
            if fresh:
                sink.put("index.json", encode_index(()), 0o644)
            sink.put("oci-layout", LAYOUT, 0o644)
        return Holdings(whole=whole)

    def damaged(self, members: Sequence[Member], events: Events) -> tuple[Member, ...]:
        """See RemoteStore. The bytes come back here to be hashed."""
        bad: list[Member] = []
        for member in members:
            if self._hashed(f"blobs/sha256/{member.blob.digest.hex}") != member.blob.digest:
                bad.append(member)
            events.emit(BytesMoved(STEP_CHECK, member.label, member.blob.size))
        return tuple(bad)

    def send(self, source: Store, members: Sequence[Member], events: Events) -> int:
        """See RemoteStore."""
        shipment = Shipment(members, frozenset(), events)
        streams = min(self._streams, shipment.lots())
        lost = together([lambda: self._stream(shipment, source)] * streams, streams, self._cancelled)
        if lost and shipment.lots():
            raise lost
        return shipment.sent

    def commit(self, members: Sequence[Member], agent: Digest, entries: Sequence[Descriptor]) -> None:
        """See RemoteStore. Without a lock: the index is read back, and merged again where another wrote it."""
        whole = self._whole()
        missing = [member for member in members if whole.get(member.blob.digest) != member.blob.size]
        if missing:
            raise RemoteIncomplete(self.place, missing)
        if self._hashed("bundle") != agent:
            data = self._read(f"blobs/sha256/{agent.hex}") or b""
            if Digest.of(data) != agent:
                raise RemoteRefused(self.place, f"the agent's blob came back with the digest {Digest.of(data)}")
            self._write("bundle", data, 0o755)
        for _ in range(_SWAPS):
            if self._read("index.lock", LIMIT) is not None:
                raise RemoteLocked(self.place, "index.lock", "a push by another door")
            raw = self._read("index.json", LIMIT) or encode_index(())
            after = encode_index(merged(decode_index(raw, f"{self.place}/index.json"), entries))
            if after == raw:
                return
            self._write("index.json", after, 0o644)
        raise RemoteLocked(self.place, "index.json", "other pushes, without end")

    def cancel(self) -> None:
        """See RemoteStore."""
        self._cancelled.set()

    def close(self) -> None:
        """Nothing is held: each exchange is a login of its own."""

    def _stream(self, shipment: Shipment, source: Store) -> None:
        attempts = Attempts(shipment, self._cancelled)
        lot: tuple[Member, ...] = ()
        with ThreadPoolExecutor(1) as hashing:
            while True:
                try:
                    with self._sink(f"{self._root}/blobs/sha256") as sink:
                        while lot := shipment.take():
                            for member in lot:
                                self._send(sink, member, source, shipment, hashing)
                            attempts.went_on()
                    return
                except ConnectionFailed as error:
                    shipment.give_back(lot)
                    attempts.failed(error)

    def _send(self, sink: Sink, member: Member, source: Store, shipment: Shipment, hashing: ThreadPoolExecutor) -> None:
        digest, size = member.blob.digest, member.blob.size
        position = 0

        def moved(count: int) -> None:
            nonlocal position
            position += count
            shipment.reached(member, position, count)

        path = source.path(digest)
        try:
            with path.open("rb", buffering=0) as file:
                length = os.fstat(file.fileno()).st_size
                if length != size:
                    raise SourceDamaged(member, source, f"it has {length} bytes, should have {size}")
                hashed = hashing.submit(Digest.of_file, path)
                early = max(0, size - _HELD_BACK)
                if not early:
                    self._check(hashed, member, source)
                sink.begin(digest.hex, size, 0o444)
                sink.send_file(file.fileno(), 0, early, moved)
                self._check(hashed, member, source)
                sink.send_file(file.fileno(), early, size - early, moved)
                sink.end()
        except SourceEnded:
            raise SourceDamaged(member, source, "it became shorter while it was sent") from None
        except OSError as error:
            raise SourceDamaged(member, source, f"it can't be read: {error.strerror}") from error

    def _check(self, hashed: Future[Digest], member: Member, source: Store) -> None:
        actual = hashed.result()
        if actual != member.blob.digest:
            raise SourceDamaged(member, source, f"its bytes have the digest {actual}")

    def _whole(self) -> dict[Digest, int]:
        try:
            found = self._talk(scp.source(f"{self._root}/blobs/sha256", recursive=True), scp.sizes)
        except ScpError as error:
            if _ABSENT in str(error):
                return {}
            raise self._refusal(error) from error
        return {Digest(name): size for name, size in found.items() if _HEX.fullmatch(name)}

    def _read(self, name: str, longest: int | None = None) -> bytes | None:
        try:
            return self._talk(scp.source(f"{self._root}/{name}"), lambda wire: b"".join(scp.content(wire, longest)))
        except ScpError as error:
            if _ABSENT in str(error):
                return None
            raise self._refusal(error) from error

    def _hashed(self, name: str) -> Digest | None:
        def ask(wire: Wire) -> Digest:
            found = hashlib.sha256()
            for data in scp.content(wire):
                found.update(data)
            return Digest(found.hexdigest())

        try:
            return self._talk(scp.source(f"{self._root}/{name}"), ask)
        except ScpError as error:
            if _ABSENT in str(error):
                return None
            raise self._refusal(error) from error

    def _write(self, name: str, data: bytes, mode: int) -> None:
        with self._sink(self._root) as sink:
            sink.put(name, data, mode)

    @contextmanager
    def _sink(self, directory: str, *, recursive: bool = False) -> Iterator[Sink]:
        with self._wire(scp.sink(directory, recursive=recursive)) as wire:
            try:
                yield Sink(wire)
            except ScpError as error:
                raise self._refusal(error) from error

    def _talk(self, command: str, talk: Callable[[Wire], T]) -> T:
        with self._wire(command) as wire:
            return talk(wire)

    @contextmanager
    def _wire(self, command: str) -> Iterator[Wire]:
        """A login that runs one scp. Raises ConnectionFailed in the place of what the connection raises."""
        destination = self._client.destination
        wire = Wire(self._client.command(command), stall=self._stall, cancelled=self._cancelled, limit=self._limit)
        try:
            yield wire
            wire.close()
        except WireBroken as broken:
            if failure := self._client.failure(broken):
                raise failure from broken
            if not broken.greeted and not self._runs_scp:
                raise NoScp(destination, broken.said) from broken
            because = broken.said or f"its scp ended (exit status {broken.status})"
            raise ConnectionLost(destination, because) from broken
        except NotScp as error:
            raise NoScp(destination, f"it says: {error}"[:300]) from error
        finally:
            # A host that has run scp once does not lack it because a later login broke off before its first word.
            self._runs_scp |= wire.greeted
            wire.abandon()

    def _refusal(self, error: ScpError) -> BundlerError:
        said = str(error)
        if "No space left" in said or "quota" in said:
            return RemoteNoSpace(self.place, said)
        return RemoteRefused(self.place, said)
