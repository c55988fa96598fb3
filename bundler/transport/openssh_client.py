"""Logging in with the system's OpenSSH: its configuration, its agent, its ciphers, and what its last words mean."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from bundler.transport import openssh
from bundler.transport.destination import Destination
from bundler.transport.openssh import Resolved
from bundler.transport.processor import has_aes
from bundler.transport.refusals import BadConfiguration, ConnectionFailed, NoSshClient, classify, last_line
from bundler.transport.wire import Launch, WireBroken

_LOCAL_SECONDS = 30
_SSH_FAILED = 255  # ssh(1), EXIT STATUS


class OpenSshClient:
    """See Client. What `ssh -G` says is asked for once. `forward_agent` lends our keys to what a command runs there."""

    def __init__(self, destination: Destination, *, forward_agent: bool = False) -> None:
        self._destination = destination
        self._forward_agent = forward_agent
        self._aes = has_aes()
        self._configuration: tuple[Resolved, tuple[str, ...]] | None = None

    @property
    def destination(self) -> Destination:
        """Where it goes."""
        return self._destination

    def command(self, words: str) -> Launch:
        """See Client."""
        return Launch(openssh.connect(self._destination, self._ciphers(), words, forward_agent=self._forward_agent))

    def subsystem(self, name: str) -> Launch:
        """See Client."""
        return Launch(openssh.subsystem(self._destination, self._ciphers(), name))

    def failure(self, broken: WireBroken) -> ConnectionFailed | None:
        """See Client."""
        if broken.status == _SSH_FAILED and broken.said:
            return classify(broken.said, self._destination, self._resolve()[0], _offered)
        return None

    def host_keys(self) -> tuple[str, ...]:
        """See Client."""
        resolved, _ = self._resolve()
        found: list[str] = []
        for name in resolved.known_hosts:
            path = Path(name).expanduser()
            if path.is_file():
                printed = _run(openssh.known_fingerprints(resolved, str(path)))
                found += re.findall(r"SHA256:[\w+/]+", printed)
        return tuple(dict.fromkeys(found))

    def host_lacks_aes(self) -> None:
        """See Client."""
        self._aes = False

    def by_hand(self) -> tuple[str, ...]:
        """See Client."""
        return openssh.by_hand(self._destination)

    def _ciphers(self) -> tuple[str, ...]:
        resolved, supported = self._resolve()
        return openssh.fastest_first(resolved.ciphers, supported, aes=self._aes)

    def _resolve(self) -> tuple[Resolved, tuple[str, ...]]:
        """What ssh's configuration says, and the ciphers that it has. Raises NoSshClient, BadConfiguration."""
        if self._configuration is None:
            if not shutil.which("ssh"):
                raise NoSshClient
            done = _complete(openssh.resolve(self._destination))
            if done.returncode:
                raise BadConfiguration(self._destination, last_line(done.stderr))
            ciphers = _run(openssh.supported_ciphers())
            self._configuration = openssh.parse_resolved(done.stdout), tuple(ciphers.split())
        return self._configuration


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
