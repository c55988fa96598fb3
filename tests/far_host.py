"""The host that tests push to: a real sshd of their own, ways to disturb it, and ways to look at what it holds."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from bundler.core.events import BytesMoved, Event
from bundler.transport.destination import Destination
from bundler.transport.keyring import Keyring
from bundler.transport.openssh_client import OpenSshClient
from bundler.transport.paramiko_client import ParamikoClient
from bundler.transport.scp_store import ScpStore
from bundler.transport.sftp_store import SftpStore
from bundler.transport.shell_store import ShellStore
from scripts.world.mark import ProcessMark
from scripts.world.sshd import SshServer


class FarHost:
    """An sshd, with a directory for stores. `store` gives the remote store as a push sees it."""

    def __init__(self, server: SshServer, root: Path) -> None:
        self.server = server
        self.root = root

    def destination(self, directory: str | Path = "far", *, config: Path | None = None) -> Destination:
        return Destination.parse(f"{self.server.alias}:{self.root / directory}", config=config or self.server.config)

    def store(self, directory: str | Path = "far", *, streams: int = 4, stall: float = 60.0) -> ShellStore:
        return ShellStore(OpenSshClient(self.destination(directory)), streams=streams, stall=stall)

    def sftp_store(self, directory: str | Path = "far", *, streams: int = 3, stall: float = 60.0) -> SftpStore:
        return SftpStore(OpenSshClient(self.destination(directory)), streams=streams, stall=stall)

    def scp_store(self, directory: str | Path = "far", *, streams: int = 2, stall: float = 60.0) -> ScpStore:
        return ScpStore(OpenSshClient(self.destination(directory)), streams=streams, stall=stall)

    def config_with(self, name: str, *lines: str) -> Path:
        """The client's configuration with other values first, which win (ssh_config(5))."""
        path = self.root / name
        path.write_text(f"Host {self.server.alias}\n" + "".join(f"  {line}\n" for line in lines))
        path.write_text(path.read_text() + self.server.config.read_text())
        return path


def paramiko_client(host: FarHost, directory: str | Path = "far", *, config: Path | None = None) -> ParamikoClient:
    """A login without OpenSSH, with no secrets."""
    return ParamikoClient(host.destination(directory, config=config), Keyring())


def assert_sound(store: Path) -> int:
    """Every blob under a final name is what it says, by coreutils. Returns how many there are."""
    names = sorted(path.name for path in (store / "blobs" / "sha256").iterdir())
    sums = "".join(f"{name}  {name}\n" for name in names)
    if not names:
        return 0  # sha256sum takes an empty list for a mistake
    subprocess.run(
        ["sha256sum", "-c", "--quiet", "-"], input=sums, text=True, cwd=store / "blobs" / "sha256", check=True
    )
    return len(names)


def listed_names(store: Path) -> list[str]:
    """The reference names in a store's index."""
    document = json.loads((store / "index.json").read_text())
    return [entry["annotations"]["org.opencontainers.image.ref.name"] for entry in document["manifests"]]


def partials(store: Path) -> dict[str, int]:
    """The partial files and their lengths."""
    return {path.name: path.stat().st_size for path in (store / "partial").iterdir()}


def eventually(true: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Until a condition holds that another process brings about. Fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)


def writers_gone(store: Path) -> bool:
    """Whether every process that a partial file is named after has ended."""
    return not any(Path(f"/proc/{name.split('-')[-2]}").exists() for name in partials(store))


class Recorder:
    """Keeps events, and does something once, when so many bytes have moved."""

    def __init__(self, after: int = 1 << 62, action: Callable[[], None] = lambda: None) -> None:
        self.events: list[Event] = []
        self.moved = 0
        self.done = False
        self._after = after
        self._action = action
        self._lock = threading.Lock()

    def emit(self, event: Event) -> None:
        with self._lock:
            self.events.append(event)
            if not isinstance(event, BytesMoved):
                return
            self.moved += event.count
            if self.moved < self._after or self.done:
                return
            self.done = True
        self._action()


class Killing(Recorder):
    """Calls `kill` when so many bytes have moved, for each of these counts; `killed` is what it returned."""

    def __init__(self, counts: Iterable[int], kill: Callable[[], bool]) -> None:
        super().__init__()
        self.killed: list[bool] = []
        self._counts = sorted(counts)
        self._kill = kill

    def emit(self, event: Event) -> None:
        if isinstance(event, BytesMoved):
            self.moved += event.count
            while self._counts and self.moved >= self._counts[0]:
                self._counts.pop(0)
                self.killed.append(self._kill())


def kill_one(server: SshServer, chance: random.Random) -> bool:
    """kill -9 of one process that serves a push: sshd's for its connection, the far end's shell, its dd, its hash."""
    daemon = server.daemon.mark()
    ours = {mark.pid: mark for mark in (daemon.descendants() if daemon else [])}
    victims: dict[int, ProcessMark] = {}
    for shell in filter(_is_far_end, list(ours.values())):
        victims |= {mark.pid: mark for mark in (shell, *shell.descendants())}
        connection = ours.get(_parent(shell))
        if connection:
            victims[connection.pid] = connection
    if victims:
        victims[chance.choice(sorted(victims))].signal(signal.SIGKILL)
    return bool(victims)


def _is_far_end(mark: ProcessMark) -> bool:
    try:
        return Path(f"/proc/{mark.pid}/cmdline").read_bytes().startswith(b"sh\0-c\0eval")
    except OSError:
        return False


def _parent(mark: ProcessMark) -> int:
    try:
        return int(Path(f"/proc/{mark.pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Proxy:
    """Forwards TCP to a port; stops forwarding the first connection for ever after so many bytes, and says nothing."""

    def __init__(self, port: int, freeze_after: int) -> None:
        self._target = port
        self._left = freeze_after
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            self._open += (near, far)
            self.connections += 1
            freezes = self.connections == 1
            threading.Thread(target=self._pump, args=(near, far, freezes), daemon=True).start()
            threading.Thread(target=self._pump, args=(far, near, False), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, freezes: bool) -> None:
        try:
            while data := source.recv(1 << 16):
                target.sendall(data)
                if freezes:
                    self._left -= len(data)
                    if self._left < 0:
                        return  # both stay open: the other end waits
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self) -> None:
        for end in (self._listener, *self._open):
            end.close()


def kill_connection(server: SshServer, chance: random.Random) -> bool:
    """kill -9 of any process that an sshd has for its connections."""
    daemon = server.daemon.mark()
    ours = daemon.descendants() if daemon else []
    if ours:
        chance.choice(sorted(ours, key=lambda mark: mark.pid)).signal(signal.SIGKILL)
    return bool(ours)
