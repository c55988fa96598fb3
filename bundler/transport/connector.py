"""Sessions in one store of a host: kept while they are good, and every failure turned into words."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bundler.core.errors import BundlerError
from bundler.core.owner import Owner
from bundler.core.strict_json import MalformedJson, parse_object
from bundler.transport.client import Client
from bundler.transport.far_end import launcher, program
from bundler.transport.limit import Limit
from bundler.transport.place import Place
from bundler.transport.refusals import ConnectionFailed, ConnectionLost, NoShell, TooManyLogins
from bundler.transport.remote_errors import LacksTools, RemoteFileTooLarge, RemoteLocked, RemoteNoSpace, RemoteRefused
from bundler.transport.session import Session
from bundler.transport.wire import WireBroken

_LOGINS = 12
_LONGEST_PAUSE = 8.0  # seconds; all pauses together, half a minute
_AVAILABLE = re.compile(r"\s\d+\s+\d+\s+(\d+)\s+(?:\d+%|-)\s")


@dataclass(frozen=True, slots=True)
class Room:
    """Where the store is on the host, and what may still be written there. `made`: whether there is one."""

    directory: str
    free_bytes: int | None
    free_inodes: int | None
    made: bool = True


class Connector:
    """Opens sessions to one store. Used by several threads; `cancelled` ends what any of them waits for."""

    def __init__(self, client: Client, *, stall: float, limit: Limit | None = None) -> None:
        self.client = client
        self.destination = client.destination
        self.cancelled = threading.Event()
        self.room: Room | None = None
        self._stall = stall
        self._limit = limit
        self._idle: list[Session] = []
        self._greeted = False
        self._lock = threading.Lock()

    @property
    def place(self) -> Place:
        """The login, as the user named it, and the store's directory, absolute once the host has said so."""
        directory = self.room.directory if self.room else self.destination.directory
        return Place(self.destination.login, directory, self.client.by_hand())

    @contextmanager
    def borrow(self) -> Iterator[Session]:
        """A session in the store's directory. Kept for the next borrower unless the block fails.

        Raises ConnectionFailed, also in the place of a WireBroken of the block; LacksTools, RemoteRefused,
        RemoteNoSpace.
        """
        session = self._take() or self._connect(self.prepare)[0]
        with self._kept(session):
            yield session
        with self._lock:
            self._idle.append(session)

    @contextmanager
    def visit(self) -> Iterator[tuple[Session, Room]]:
        """A session that has made nothing there. Raises as `borrow`."""
        session, room = self._connect(self.look)
        with self._kept(session):
            yield session, room
        session.close()

    @contextmanager
    def _kept(self, session: Session) -> Iterator[None]:
        try:
            yield
        except WireBroken as broken:
            session.abandon()
            raise self._explain(broken) from broken
        except BaseException:
            session.abandon()
            raise

    def prepare(self, session: Session) -> Room:
        """Make the store unless it is there. Raises LacksTools, RemoteRefused, RemoteNoSpace, WireBroken."""
        self.room = self._room(session, "prepare")
        return self.room

    def look(self, session: Session) -> Room:
        """See whether the store is there. Raises as `prepare`."""
        return self._room(session, "look")

    def _room(self, session: Session, verb: str) -> Room:
        session.request(verb)
        free: dict[str, int] = {}  # kibibytes and inodes, where df prints what POSIX says
        while True:
            word, _, rest = session.answer().partition(" ")
            if word in ("bytes", "inodes"):
                available = _AVAILABLE.search(f" {rest} ")
                if available:
                    free[word] = int(available[1])
            elif word == "noaes":
                self.client.host_lacks_aes()
            elif word in ("ready", "absent"):
                free_bytes = free["bytes"] * 1024 if "bytes" in free else None
                return Room(rest, free_bytes, free.get("inodes"), made=word == "ready")
            else:
                raise self.refusal(word, rest)

    def refusal(self, word: str, rest: str) -> BundlerError:
        """What an answer that is not the one hoped for means."""
        said = rest.partition(" ")[2]
        if word == "killed":
            return ConnectionLost(self.destination, "a process of the far end was killed")
        if word == "held":
            lock, _, holder = rest.partition(" ")
            return RemoteLocked(self.place, lock, str(_owner(holder)))
        if word == "lacks":
            return LacksTools(self.place, rest)
        if word == "full":
            return RemoteNoSpace(self.place, said)
        if word == "large":
            return RemoteFileTooLarge(self.place, int(rest))
        if word == "failed":
            return RemoteRefused(self.place, said)
        return NoShell(self.destination, f"it answered: {word} {rest}"[:300])

    def close(self) -> None:
        """End the idle sessions."""
        while session := self._take():
            session.close()

    def _take(self) -> Session | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _connect(self, settle: Callable[[Session], Room]) -> tuple[Session, Room]:
        session = self._log_in()
        try:
            return session, settle(session)
        except WireBroken as broken:
            session.abandon()
            raise self._explain(broken) from broken
        except BaseException:
            session.abandon()
            raise

    def _log_in(self) -> Session:
        """A new session. Where too many others log in at once, waits for them: each for another time."""
        text = program(self.destination.directory)
        launch = self.client.command(launcher(text))
        for attempt in range(_LOGINS):
            try:
                session = Session(launch, text, stall=self._stall, cancelled=self.cancelled, limit=self._limit)
                self._greeted = True
                return session
            except WireBroken as broken:
                error = self._explain(broken)
                if not isinstance(error, TooManyLogins) or attempt + 1 == _LOGINS:
                    raise error from broken
                if self.cancelled.wait(random.uniform(0.2, 1.0) * min(2.0**attempt, _LONGEST_PAUSE)):
                    raise error from broken
        raise AssertionError("unreachable")

    def _explain(self, broken: WireBroken) -> ConnectionFailed:
        if failure := self.client.failure(broken):
            return failure
        if not broken.greeted and not self._greeted:  # else it has a shell, and this login broke off early
            return NoShell(self.destination, broken.said)
        return ConnectionLost(self.destination, broken.said or f"the far end ended (exit status {broken.status})")


def _owner(text: str) -> Owner:
    """Who a lock's text names; an unknown process where it was given back, or damaged, before it was read."""
    try:
        return Owner.parse(parse_object(text.encode(errors="replace"), "a lock"))
    except MalformedJson:
        return Owner.parse({})
