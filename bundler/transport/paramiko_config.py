"""ssh_config(5) as paramiko reads it: what a hop is, and which hops lie before it. Runs in the client's process."""

from __future__ import annotations

import getpass
import glob
import os
import re
from dataclasses import dataclass
from pathlib import Path

from paramiko.config import SSHConfig
from paramiko.ssh_exception import ConfigParseError

from bundler.transport.paramiko_failed import ClientFailed
from bundler.transport.paramiko_request import Failure, Request

_SYSTEM = Path("/etc/ssh/ssh_config")
_USER = Path("~/.ssh/config")
_KNOWN = "~/.ssh/known_hosts ~/.ssh/known_hosts2"
_KNOWN_EVERYWHERE = "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"
_IDENTITIES = ("~/.ssh/id_rsa", "~/.ssh/id_ecdsa", "~/.ssh/id_ed25519")
_INCLUDE = re.compile(r"\s*include\s*[=\s]\s*(.*)", re.IGNORECASE)
_BLOCK = re.compile(r"\s*(?:host|match)[=\s]", re.IGNORECASE)
_JUMP = re.compile(r"(?:ssh://)?(?:(?P<user>[^@]+)@)?(?P<host>\[[^]]+\]|[^:\[\]]+)(?::(?P<port>\d+))?/?")
_DEEPEST = 16  # includes, and jumps, within each other (readconf.c, READCONF_MAX_DEPTH)


@dataclass(frozen=True, slots=True)
class Hop:
    """A server to log in at. `before` are the jump hosts on the way, the nearest first, in the place of `command`."""

    host: str
    hostname: str
    port: int
    user: str
    identities: tuple[str, ...]
    certificates: tuple[str, ...]
    identities_only: bool
    agent: str
    known_hosts: tuple[Path, ...]
    alias: str
    hashes_names: bool
    before: tuple[Hop, ...] = ()
    command: str = ""
    jump: bool = False

    @property
    def login(self) -> str:
        """What a password belongs to."""
        return f"{self.user}@{self.hostname}:{self.port}"


def hop(request: Request) -> Hop:
    """What the configuration makes of a request. Raises ClientFailed."""
    try:
        config = SSHConfig.from_text(_text(request.config))
        return _hop(config, request.host, request.user, request.port, request.identity, depth=0)
    except (OSError, ValueError, ConfigParseError) as error:
        raise ClientFailed(Failure("configuration", str(error), hostname=request.host)) from error


def _hop(config: SSHConfig, host: str, user: str, port: int, identity: str, *, depth: int) -> Hop:
    if depth > _DEEPEST:
        raise ValueError(f"ProxyJump of {host} leads in a circle")
    values = config.lookup(host)
    hostname = values["hostname"]
    port = port or int(values.get("port") or 22)
    user = user or values.get("user") or getpass.getuser()

    def spelled(word: str) -> str:
        tokens = {"h": hostname, "p": str(port), "r": user, "n": host, "d": str(Path.home()), "u": getpass.getuser()}
        plain = re.sub(r"%([hprndu%])", lambda match: tokens.get(match[1], "%"), word)
        return os.path.expanduser(plain.strip('"'))

    jump, command = values.get("proxyjump") or "none", values.get("proxycommand") or "none"
    files = f"{values.get('userknownhostsfile', _KNOWN)} {values.get('globalknownhostsfile', _KNOWN_EVERYWHERE)}"
    named = (identity,) if identity else tuple(values.get("identityfile") or _IDENTITIES)
    certificate = values.get("certificatefile")
    agent = values.get("identityagent", "SSH_AUTH_SOCK")
    return Hop(
        host=host,
        hostname=hostname,
        port=port,
        user=user,
        identities=tuple(spelled(name) for name in named if name.lower() != "none"),
        certificates=(spelled(certificate),) if certificate else (),
        identities_only=bool(identity) or values.get("identitiesonly", "no").lower() == "yes",
        agent=agent if agent in ("none", "SSH_AUTH_SOCK") else os.path.expandvars(spelled(agent)),
        known_hosts=tuple(Path(spelled(name)) for name in files.split()),
        alias=values.get("hostkeyalias", ""),
        hashes_names=values.get("hashknownhosts", "no").lower() == "yes",
        before=() if jump.lower() == "none" else _jumps(config, jump, depth),
        jump=depth > 0,
        command="" if jump.lower() != "none" or command.lower() == "none" else spelled(command),
    )


def _jumps(config: SSHConfig, words: str, depth: int) -> tuple[Hop, ...]:
    """The hops that ProxyJump names. Only the first of them may have jump hosts of its own (ssh.c)."""
    hops = []
    for word in words.split(","):
        match = _JUMP.fullmatch(word.strip())
        if not match:
            raise ValueError(f"ProxyJump can't be {word!r}")
        name = match["host"].strip("[]")
        hops.append(_hop(config, name, match["user"] or "", int(match["port"] or 0), "", depth=depth + 1))
    return (*hops[0].before, *hops)


def _text(config: str) -> str:
    """The user's file, then the system's; a file that was named stands for both (ssh_config(5))."""
    if config:
        return _included(Path(config), depth=0)
    texts = [_included(file, depth=0) for file in (_USER.expanduser(), _SYSTEM) if file.exists()]
    return "\nHost *\n".join(texts)


def _included(file: Path, *, depth: int) -> str:
    """A file with what it includes in place. Within a Host or Match block that can't be told in one text."""
    if depth > _DEEPEST:
        raise ValueError(f"{file} includes itself")
    lines: list[str] = []
    in_block = False
    for line in file.read_text().splitlines():
        in_block = in_block or bool(_BLOCK.match(line))
        include = _INCLUDE.fullmatch(line)
        if not include:
            lines.append(line)
            continue
        if in_block:
            raise ValueError(f"{file} has an Include within a Host or Match block: paramiko can't tell its bounds")
        base = Path("/etc/ssh") if file.is_relative_to("/etc/ssh") else Path("~/.ssh").expanduser()
        for pattern in include[1].split():
            for found in sorted(glob.glob(str(base / Path(pattern.strip('"')).expanduser()))):
                lines += (_included(Path(found), depth=depth + 1), "Host *")
    return "\n".join(lines)
