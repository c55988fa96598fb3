"""Logging in without OpenSSH, or with a password: a child process per connection that speaks SSH with paramiko."""

from __future__ import annotations

import json
import secrets
import sys
from pathlib import Path

import bundler
from bundler.transport import openssh, refusals
from bundler.transport.destination import Destination
from bundler.transport.keyring import PASSPHRASE, PASSWORD, Keyring, Need
from bundler.transport.openssh import Resolved
from bundler.transport.paramiko_request import FAILED, Failure, Request
from bundler.transport.refusals import ConnectionFailed
from bundler.transport.wire import Launch, Wire, WireBroken

_LOCAL_SECONDS = 30.0
_START = "import sys; sys.path[0] = sys.argv[1]; from bundler.transport.paramiko_child import main; main()"
"""In the place of `-m`, which would look into the current directory first, and not into the agent's archive."""


class ParamikoClient:
    """See Client. `keyring` holds what a person was asked for."""

    def __init__(self, destination: Destination, keyring: Keyring) -> None:
        self._destination = destination
        self._keyring = keyring
        self._token = secrets.token_hex(8)

    @property
    def destination(self) -> Destination:
        """Where it goes."""
        return self._destination

    def command(self, words: str) -> Launch:
        """See Client."""
        return self._launch("command", words)

    def subsystem(self, name: str) -> Launch:
        """See Client."""
        return self._launch("subsystem", name)

    def failure(self, broken: WireBroken) -> ConnectionFailed | None:
        """See Client."""
        if broken.status != FAILED:
            return None
        failure = Failure.find(broken.said, self._token)
        return self._refusal(failure) if failure else None

    def host_keys(self) -> tuple[str, ...]:
        """See Client."""
        wire = Wire(self._launch("known", ""), stall=_LOCAL_SECONDS)
        try:
            while True:
                wire.more()
        except WireBroken:
            printed = bytes(wire.received)
        finally:
            wire.abandon()
        return tuple(dict.fromkeys(json.loads(printed or b"[]")))

    def host_lacks_aes(self) -> None:
        """See Client. paramiko has nothing but AES."""

    def by_hand(self) -> tuple[str, ...]:
        """See Client."""
        return openssh.by_hand(self._destination)

    def _launch(self, run: str, words: str) -> Launch:
        to = self._destination
        request = Request(
            run=run,
            words=words,
            token=self._token,
            host=to.host,
            user=to.user,
            port=to.port,
            identity=str(to.identity or ""),
            config=str(to.config or ""),
            accept_new=to.accept_new,
            passwords=self._keyring.revealed(PASSWORD),
            passphrases=self._keyring.revealed(PASSPHRASE),
        )
        root = str(Path(bundler.__file__).parent.parent)
        return Launch((sys.executable, "-c", _START, root), handed=request.encode())

    def _refusal(self, failure: Failure) -> ConnectionFailed:
        to = self._destination
        resolved = Resolved(user=failure.user, hostname=failure.hostname, port=failure.port, identities=failure.tried)
        if failure.word == "unknown-key":
            return refusals.UnknownHostKey(to, failure.name, (failure.fingerprint,))
        if failure.word == "changed-key":
            return refusals.ChangedHostKey(failure.name, failure.fingerprint, failure.file)
        if failure.word == "revoked-key":
            return refusals.RevokedHostKey(failure.name, failure.fingerprint, failure.file)
        if failure.word == "denied":
            if failure.need[0]:
                need = Need(*failure.need, failure.refused, failure.jump)
                return refusals.SecretNeeded(resolved, need, failure.methods)
            return refusals.AuthenticationFailed(to, resolved, failure.methods)
        if failure.word == "refused":
            return refusals.ConnectionRefused(to, resolved)
        if failure.word == "no-name":
            return refusals.UnknownHost(to, failure.because)
        if failure.word == "unreachable":
            return refusals.Unreachable(to, resolved, failure.because)
        if failure.word == "nothing-in-common":
            return refusals.NothingInCommon(resolved, failure.because)
        if failure.word == "configuration":
            return refusals.BadConfiguration(to, failure.because)
        if failure.word == "no-paramiko":
            return refusals.NoParamiko(failure.because)
        return refusals.ConnectionLost(to, failure.because)
