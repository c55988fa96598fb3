"""Logging in over a transport whose host key is right: keys, then what a person knows. In the client's process."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from paramiko.agent import Agent
from paramiko.pkey import PKey, UnknownKeyType
from paramiko.ssh_exception import AuthenticationException, BadAuthenticationType, SSHException
from paramiko.transport import Transport

from bundler.transport.keyring import PASSPHRASE, PASSWORD
from bundler.transport.paramiko_config import Hop
from bundler.transport.paramiko_failed import ClientFailed
from bundler.transport.paramiko_request import Failure, Request

_CERTIFICATE = "-cert.pub"
_ASKED = "keyboard-interactive"


@dataclass
class _Progress:
    """What was tried, and what a person could add."""

    allowed: list[str] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)
    need: tuple[str, str] = ("", "")
    refused: bool = False


def log_in(transport: Transport, hop: Hop, request: Request) -> None:
    """Log in by what the host allows, one method after the other where it wants several. Raises ClientFailed."""
    progress = _Progress()
    try:
        if _step(progress, lambda: transport.auth_none(hop.user)):
            return
        if _by_keys(transport, hop, request, progress) or _by_password(transport, hop, request, progress):
            return
        because = ""
    except AuthenticationException as error:
        because = str(error)
    except (SSHException, EOFError, OSError) as error:
        raise _failure("lost", hop, progress, str(error) or "the host closed the connection") from error
    if not transport.is_active():
        because = "the host closed the connection: too many attempts?"
    raise _failure("denied", hop, progress, because)


def _failure(word: str, hop: Hop, progress: _Progress, because: str) -> ClientFailed:
    return ClientFailed(
        Failure(
            word,
            because,
            hop.hostname,
            hop.port,
            hop.user,
            methods=",".join(progress.allowed),
            tried=tuple(progress.tried),
            need=progress.need,
            refused=progress.refused,
            jump=hop.jump,
        )
    )


def _step(progress: _Progress, attempt: Callable[[], list[str]]) -> bool:
    """Whether an attempt ended the login. What the host allows from here on is noted."""
    try:
        progress.allowed = list(attempt())
    except BadAuthenticationType as error:
        progress.allowed = list(error.allowed_types)
        return False
    return not progress.allowed


def _by_keys(transport: Transport, hop: Hop, request: Request, progress: _Progress) -> bool:
    for label, key in _keys(hop, request, progress):
        if "publickey" not in progress.allowed or not transport.is_active():
            break
        progress.tried.append(label)
        try:
            if _step(progress, lambda key=key: transport.auth_publickey(hop.user, key)):  # type: ignore[misc]
                return True
        except AuthenticationException:
            continue  # the next key
        break  # it was taken, and another method is wanted too
    return False


def _by_password(transport: Transport, hop: Hop, request: Request, progress: _Progress) -> bool:
    if not {"password", _ASKED} & set(progress.allowed):
        return False
    password = request.passwords.get(hop.login)
    if not password:
        progress.need = progress.need if progress.need[0] else (PASSWORD, hop.login)
        return False
    try:
        if "password" in progress.allowed:
            return _step(progress, lambda: transport.auth_password(hop.user, password, fallback=False))
        return _step(progress, lambda: transport.auth_interactive(hop.user, _answering(password)))
    except AuthenticationException:
        progress.need, progress.refused = (PASSWORD, hop.login), True
        return False


def _answering(password: str) -> Callable[[str, str, list[tuple[str, bool]]], list[str]]:
    """Answers one question that is not echoed, once: what comes then (a code, a new password) is not ours to say."""
    left = [password]

    def answer(title: str, instructions: str, prompts: list[tuple[str, bool]]) -> list[str]:  # noqa: ARG001
        if not prompts:
            return []
        if len(prompts) > 1 or prompts[0][1] or not left:
            return ["" for _ in prompts]
        return [left.pop()]

    return answer


def _keys(hop: Hop, request: Request, progress: _Progress) -> Iterator[tuple[str, PKey]]:
    """The keys to try: the agent's that a file names, the files' own, then the agent's others."""
    agent = _agent_keys(hop)
    named = {blob for path in hop.identities for blob in _public(path)}
    first = [key for key in agent if key.asbytes() in named]
    for key in first:
        yield "a key of the agent", key
    held = {key.asbytes() for key in first}
    for path in hop.identities:
        loaded = _loaded(path, hop, request, progress)
        for key in loaded:
            if key.public_blob or key.asbytes() not in held:
                yield path, key
    if not hop.identities_only:
        for key in agent:
            if key not in first:
                yield "a key of the agent", key


def _agent_keys(hop: Hop) -> Sequence[PKey]:
    if hop.agent == "none":
        return ()
    if hop.agent != "SSH_AUTH_SOCK":
        os.environ["SSH_AUTH_SOCK"] = hop.agent  # the only way to tell paramiko; this process is for one login
    try:
        return Agent().get_keys()
    except (SSHException, OSError):
        return ()


def _public(path: str) -> Iterator[bytes]:
    """What lies beside a private key, so that the agent's copy of it is found without a passphrase."""
    try:
        yield PKey.from_type_string(*_material(Path(f"{path}.pub"))).asbytes()
    except (OSError, ValueError, UnknownKeyType, SSHException):
        return


def _material(file: Path) -> tuple[str, bytes]:
    kind, material, *_ = file.read_text().split()
    return kind, base64.b64decode(material)


def _loaded(path: str, hop: Hop, request: Request, progress: _Progress) -> list[PKey]:
    """A key of a file, with each of its certificates and then without; none where it can't be read."""
    if not Path(path).is_file():
        return []
    passphrase = request.passphrases.get(path)
    try:
        plain = _read(path, passphrase)
    except TypeError:  # cryptography's word for: it is encrypted, and there is no passphrase
        progress.tried.append(f"{path} (locked by a passphrase)")
        if passphrase is None:
            progress.need = progress.need if progress.need[0] else (PASSPHRASE, path)
        return []
    except (ValueError, SSHException, OSError, UnsupportedAlgorithm, UnknownKeyType) as error:
        progress.tried.append(f"{path} (can't be read: {type(error).__name__})")
        if passphrase:
            progress.need, progress.refused = (PASSPHRASE, path), True
        return []
    keys = []
    for certificate in (*hop.certificates, f"{path}{_CERTIFICATE}"):
        key = _read(path, passphrase)
        try:
            key.load_certificate(certificate)
        except (ValueError, OSError, SSHException, IndexError):
            continue  # none there, or of another key
        keys.append(key)
    return [*keys, plain]


def _read(path: str, passphrase: str | None) -> PKey:
    # paramiko annotates text, and hands it to cryptography, which takes bytes only.
    key = PKey.from_path(path, passphrase.encode() if passphrase else None)  # type: ignore[arg-type]
    key.public_blob = None  # from_path brings a certificate; the plain key comes after it
    return key
