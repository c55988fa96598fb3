"""How a push gets into its host: by OpenSSH, or by paramiko, with what a person is asked for on the way."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bundler.core.errors import UsageInvalid
from bundler.core.secret import Secret
from bundler.transport.client import Client
from bundler.transport.destination import Destination
from bundler.transport.keyring import PASSWORD, Keyring, Need
from bundler.transport.openssh_client import OpenSshClient
from bundler.transport.paramiko_client import ParamikoClient
from bundler.transport.refusals import AuthenticationFailed, NoSshClient, SecretNeeded
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
S = TypeVar("S", bound=RemoteStore)


class UnsafePasswordFile(UsageInvalid):
    """Others than its owner may read the file that a password lies in, or it can't be a password."""

    def __init__(self, path: Path, problem: str, hint: str) -> None:
        super().__init__(f"{path} is not taken for a password file", because=problem, hint=hint)


def logged_in(
    destination: Destination,
    make: Callable[[Client], S],
    keyring: Keyring,
    ask: Ask,
    *,
    client: str = AUTO,
) -> S:
    """The store of `make`, logged in and looked at once, which changes nothing there.

    `auto` is OpenSSH; paramiko where there is none, and where the host refused it and takes a password that a person
    can give. Raises what RemoteStore.look raises.
    """
    asked: dict[tuple[str, str], int] = {}
    by_paramiko = client == PARAMIKO
    while True:
        login: Client = ParamikoClient(destination, keyring) if by_paramiko else OpenSshClient(destination)
        remote = make(login)
        try:
            remote.look()
            return remote
        except SecretNeeded as needed:
            remote.close()
            key = (needed.need.kind, needed.need.of)
            asked[key] = asked.get(key, 0) + 1
            answer = ask(needed.need) if asked[key] <= ATTEMPTS else None
            if answer is None:
                raise
            keyring.put(needed.need, answer)
        except (AuthenticationFailed, NoSshClient) as refused:
            remote.close()
            if by_paramiko or client != AUTO or not _paramiko_may_help(refused):
                raise
            by_paramiko = True
        except BaseException:
            remote.close()
            raise


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
