"""The seam of a login: whatever speaks SSH to a host, as a process whose pipes lead there."""

from __future__ import annotations

from typing import Protocol

from bundler.transport.destination import Destination
from bundler.transport.refusals import ConnectionFailed
from bundler.transport.wire import Launch, WireBroken


class Client(Protocol):
    """A way to log in at one destination. Methods may be called from any thread."""

    @property
    def destination(self) -> Destination:
        """Where it goes."""

    def command(self, words: str) -> Launch:
        """Runs a command in the login's shell, without a terminal. Raises NoSshClient, BadConfiguration."""

    def subsystem(self, name: str) -> Launch:
        """Starts a subsystem of the server (RFC 4254, section 6.5). Raises NoSshClient, BadConfiguration."""

    def failure(self, broken: WireBroken) -> ConnectionFailed | None:
        """What the client itself failed of; None where it was what runs on the host that ended."""

    def host_keys(self) -> tuple[str, ...]:
        """The fingerprints by which this machine knows the host; nothing is asked of the network."""

    def host_lacks_aes(self) -> None:
        """The host's processor is slow at AES: later logins choose another cipher, where there is one."""

    def by_hand(self) -> tuple[str, ...]:
        """How a person logs in there, for hints."""
