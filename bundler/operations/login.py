"""How a push gets into its host: by OpenSSH or paramiko, by a shell or SFTP, with what a person is asked on the way."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

from bundler.core.errors import BundlerError, UsageInvalid
from bundler.core.events import Events, Warned
from bundler.core.secret import Secret
from bundler.transport.client import Client
from bundler.transport.destination import Destination
from bundler.transport.doors import EXEC, SCP, SFTP
from bundler.transport.keyring import PASSWORD, Keyring, Need
from bundler.transport.openssh_client import OpenSshClient
from bundler.transport.paramiko_client import ParamikoClient
from bundler.transport.refusals import AuthenticationFailed, NoScp, NoSftp, NoShell, NoSshClient, SecretNeeded
from bundler.transport.remote_errors import LacksTools
from bundler.transport.remote_store import RemoteStore

AUTO = "auto"
OPENSSH = "openssh"
PARAMIKO = "paramiko"

ATTEMPTS = 3
"""How often one secret is asked for, as with ssh (ssh_config(5), NumberOfPasswordPrompts)."""

Ask = Callable[[Need], "Secret | None"]
"""Asks a person for a secret; None where there is no one to ask."""

_BY_A_PERSON = ("password", "keyboard-interactive")
_LONGEST = 4096  # characters of a password
_asking = threading.Lock()
"""One question at a time, whatever asks: several hosts are pushed to at once."""


class UnsafePasswordFile(UsageInvalid):
    """Others than its owner may read the file that a password lies in, or it can't be a password."""

    def __init__(self, path: Path, problem: str, hint: str) -> None:
        super().__init__(f"{path} is not taken for a password file", because=problem, hint=hint)


class Login:
    """The ways into one host, one after the other as they are refused. `make` opens a client's door: EXEC, SFTP, SCP.

    `auto` is OpenSSH, then paramiko where there is no OpenSSH, and where the host refused it and takes a password that
    a person can give; and a shell, then SFTP, then scp where the login has none that will do.
    """

    def __init__(
        self,
        destination: Destination,
        make: Callable[[Client, str], RemoteStore],
        keyring: Keyring,
        ask: Ask,
        events: Events,
        *,
        client: str = AUTO,
        door: str = AUTO,
    ) -> None:
        self._destination = destination
        self._make = make
        self._keyring = keyring
        self._ask = ask
        self._events = events
        self._client = PARAMIKO if client == PARAMIKO else OPENSSH
        self._other_client = client == AUTO
        self._door = EXEC if door == AUTO else door
        self._doors = [SFTP, SCP] if door == AUTO else []
        self._no_shell: BundlerError | None = None
        self._asked: dict[tuple[str, str], int] = {}

    def first(self) -> RemoteStore:
        """The store by the best way, not yet asked anything."""
        return self._make(self.client(), self._door)

    def client(self, *, forward_agent: bool = False) -> Client:
        """The way to log in that is in use. `forward_agent` lends our keys to what runs there; OpenSSH alone does."""
        if self._client == PARAMIKO:
            return ParamikoClient(self._destination, self._keyring)
        return OpenSshClient(self._destination, forward_agent=forward_agent)

    def otherwise(self, refused: BundlerError) -> RemoteStore | None:
        """The store by the next way, after a refusal; None where there is no other.

        Raises the shell's refusal where all that was tried after it is refused too.
        """
        if isinstance(refused, SecretNeeded):
            return self.first() if self._answered(refused.need) else None
        if isinstance(refused, AuthenticationFailed | NoSshClient):
            if not self._other_client or not _paramiko_may_help(refused):
                return None
            self._client, self._other_client = PARAMIKO, False
            return self.first()
        if isinstance(refused, NoShell | LacksTools | NoSftp) and self._doors:
            self._no_shell = self._no_shell or refused
            self._door = self._doors.pop(0)
            because = f"trying {self._door.upper()}, by which nothing there hashes what arrives"
            self._events.emit(Warned(f"{refused.what}: {because}"))
            return self.first()
        if isinstance(refused, NoSftp | NoScp) and self._no_shell:
            raise self._no_shell from None
        return None

    def _answered(self, need: Need) -> bool:
        """Whether there is now a secret that was not there when the login asked: of a person, or of another thread."""
        with _asking:
            if not need.refused and need.of in self._keyring.revealed(need.kind):
                return True
            key = (need.kind, need.of)
            self._asked[key] = self._asked.get(key, 0) + 1
            answer = self._ask(need) if self._asked[key] <= ATTEMPTS else None
            if answer is None:
                return False
            self._keyring.put(need, answer)
            return True


def _paramiko_may_help(refused: AuthenticationFailed | NoSshClient) -> bool:
    return isinstance(refused, NoSshClient) or any(method in refused.methods for method in _BY_A_PERSON)


def from_file(text: str, otherwise: Ask) -> Ask:
    """Answers the host's first question for a password with a file's first line, and asks `otherwise` for the rest.

    `text` is what the file holds. A jump host's password is another one: it is asked for.
    """
    left = [Secret(text.partition("\n")[0].rstrip("\r"))]

    def ask(need: Need) -> Secret | None:
        return left.pop() if need.kind == PASSWORD and left and not need.jump else otherwise(need)

    return ask


def read_password_file(path: Path) -> str:
    """A file's text. Raises UnsafePasswordFile unless it is a file that only its owner may read; OSError."""
    with path.open(encoding="utf-8", errors="surrogateescape") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_size > _LONGEST:
            raise UnsafePasswordFile(path, "it is no file of a line", "write the password, and nothing else, into it")
        if found.st_mode & 0o077 or found.st_uid not in (os.geteuid(), 0):
            raise UnsafePasswordFile(path, "others than you may read it", f"chmod 600 {path}")
        return file.read()
