"""Passwords and passphrases that a person gave for this run: kept in memory, each asked for once."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from bundler.core.secret import Secret

PASSWORD = "password"
PASSPHRASE = "passphrase"


@dataclass(frozen=True, slots=True)
class Need:
    """A secret that a login lacks: the `password` of `user@host:port`, or the `passphrase` of a key's path.

    `refused` says that there was one, and that it was wrong; `jump` that it is a host on the way that wants it.
    """

    kind: str
    of: str
    refused: bool = False
    jump: bool = False


class Keyring:
    """The secrets of a run, for every connection and host. May be used by any thread."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Secret] = {}
        self._lock = threading.Lock()

    def put(self, need: Need, secret: Secret) -> None:
        """Keep what was asked for."""
        with self._lock:
            self._known[need.kind, need.of] = secret

    def revealed(self, kind: str) -> dict[str, str]:
        """The secrets of a kind in the clear, for the pipe to a client."""
        with self._lock:
            return {of: secret.reveal() for (known, of), secret in self._known.items() if known == kind}
