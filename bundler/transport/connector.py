"""Sessions on a host: made by the system's ssh, kept while they are good, and every failure turned into words."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bundler.core.errors import BundlerError
from bundler.core.owner import Owner
from bundler.core.strict_json import MalformedJson, parse_object
from bundler.transport import openssh
from bundler.transport.destination import Destination
from bundler.transport.far_end import launcher, program
from bundler.transport.openssh import Resolved
from bundler.transport.place import Place
from bundler.transport.refusals import (
    BadConfiguration,
    ConnectionFailed,
    ConnectionLost,
    NoShell,
    NoSshClient,
    classify,
    last_line,
)
from bundler.transport.remote_errors import LacksTools, RemoteLocked, RemoteNoSpace, RemoteRefused
from bundler.transport.session import Session, SessionBroken

_LOCAL_SECONDS = 30
_SSH_FAILED = 255  # ssh(1), EXIT STATUS
_AVAILABLE = re.compile(r"\s\d+\s+\d+\s+(\d+)\s+(?:\d+%|-)\s")


@dataclass(frozen=True, slots=True)
class Room:
    """Where the store is on the host, and what may still be written there."""

    directory: str
    free_bytes: int | None
    free_inodes: int | None


class Connector:
    """Opens sessions to one store. Used by several threads; `cancelled` ends what any of them waits for."""

    def __init__(self, destination: Destination, *, stall: float) -> None:
        self.destination = destination
        self.cancelled = threading.Event()
        self.room: Room | None = None
        self._stall = stall
        self._idle: list[Session] = []
        self._lock = threading.Lock()
        self._configuration: tuple[Resolved, tuple[str, ...]] | None = None

    @property
    def place(self) -> Place:
        """The login, as the user named it, and the store's directory, absolute once the host has said so."""
        directory = self.room.directory if self.room else self.destination.directory
        return Place(self.destination.login, directory, openssh.by_hand(self.destination))

    @contextmanager
    def borrow(self) -> Iterator[Session]:
        """A session in the store's directory. Kept for the next borrower unless the block fails.

        Raises ConnectionFailed, also in the place of a SessionBroken of the block; LacksTools, RemoteRefused,
        RemoteNoSpace.
        """
        session = self._take() or self._connect()
        try:
            yield session
        except SessionBroken as broken:
            session.abandon()
            raise self._explain(broken) from broken
        except BaseException:
            session.abandon()
            raise
        with self._lock:
            self._idle.append(session)

    def prepare(self, session: Session) -> Room:
        """Make the store unless it is there. Raises LacksTools, RemoteRefused, RemoteNoSpace, SessionBroken."""
        session.request("prepare")
        free: dict[str, int] = {}  # kibibytes and inodes, where df prints what POSIX says
        while True:
            word, _, rest = session.answer().partition(" ")
            if word in ("bytes", "inodes"):
                available = _AVAILABLE.search(f" {rest} ")
                if available:
                    free[word] = int(available[1])
            elif word == "ready":
                self.room = Room(rest, free["bytes"] * 1024 if "bytes" in free else None, free.get("inodes"))
                return self.room
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
        if word == "failed":
            return RemoteRefused(self.place, said)
        return NoShell(self.destination, f"it answered: {word} {rest}"[:300])

    def host_keys(self) -> tuple[str, ...]:
        """The fingerprints that known_hosts has of the host; nothing is asked of the network."""
        resolved, _ = self._resolve()
        found: list[str] = []
        for name in resolved.known_hosts:
            path = Path(name).expanduser()
            if path.is_file():
                printed = _run(openssh.known_fingerprints(resolved, str(path)))
                found += re.findall(r"SHA256:[\w+/]+", printed)
        return tuple(dict.fromkeys(found))

    def close(self) -> None:
        """End the idle sessions."""
        while session := self._take():
            session.close()

    def _take(self) -> Session | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _connect(self) -> Session:
        resolved, supported = self._resolve()
        text = program(self.destination.directory)
        ciphers = openssh.fastest_first(resolved.ciphers, supported)
        argv = openssh.connect(self.destination, ciphers, launcher(text))
        try:
            session = Session(argv, text, stall=self._stall, cancelled=self.cancelled)
            try:
                self.prepare(session)
            except BaseException:
                session.abandon()
                raise
        except SessionBroken as broken:
            raise self._explain(broken) from broken
        return session

    def _resolve(self) -> tuple[Resolved, tuple[str, ...]]:
        """What ssh's configuration says, and the ciphers that it has. Raises NoSshClient, BadConfiguration."""
        if self._configuration is None:
            if not shutil.which("ssh"):
                raise NoSshClient
            done = _complete(openssh.resolve(self.destination))
            if done.returncode:
                raise BadConfiguration(self.destination, last_line(done.stderr))
            ciphers = _run(openssh.supported_ciphers())
            self._configuration = openssh.parse_resolved(done.stdout), tuple(ciphers.split())
        return self._configuration

    def _explain(self, broken: SessionBroken) -> ConnectionFailed:
        if broken.status == _SSH_FAILED and broken.said:
            return classify(broken.said, self.destination, self._resolve()[0], _offered)
        if not broken.greeted:
            return NoShell(self.destination, broken.said)
        return ConnectionLost(self.destination, broken.said or f"the far end ended (exit status {broken.status})")


def _owner(text: str) -> Owner:
    """Who a lock's text names; an unknown process where it was given back, or damaged, before it was read."""
    try:
        return Owner.parse(parse_object(text.encode(errors="replace"), "a lock"))
    except MalformedJson:
        return Owner.parse({})


def _offered(resolved: Resolved) -> tuple[str, ...]:
    """The fingerprints of the keys that a host shows to anyone. Behind a jump host there is no asking."""
    if resolved.jumps:
        return ()
    printed = _run(openssh.fingerprints(), _run(openssh.offered_keys(resolved)))
    return tuple(f"{kind} {key}" for key, kind in re.findall(r"(SHA256:[\w+/]+) .*\((\S+)\)", printed))


def _run(argv: tuple[str, ...], text: str = "") -> str:
    """What a command prints; nothing where there is no such command or it fails."""
    try:
        return _complete(argv, text).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def _complete(argv: tuple[str, ...], text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv, input=text, capture_output=True, text=True, errors="replace", timeout=_LOCAL_SECONDS, check=False
    )
