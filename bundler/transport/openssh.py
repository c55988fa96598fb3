"""The command lines of the system's OpenSSH, and what it says of its own configuration. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bundler.transport.destination import Destination

CONNECT_SECONDS = 20
ALIVE_SECONDS = 15
ALIVE_COUNT = 4
"""After so many unanswered questions, ALIVE_SECONDS apart, ssh gives a connection up."""

_FASTEST = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
"""Ciphers of one pass, on the processor's AES and carry-less multiplication instructions."""

_WITHOUT_AES = ("chacha20-poly1305@openssh.com",)
"""What is fastest where one of the two processors lacks them."""

_OPTIONS = (
    ("BatchMode", "yes"),  # a question would wait unseen
    ("StrictHostKeyChecking", "yes"),  # a key is accepted by a person, here or by hand, or not at all
    ("UpdateHostKeys", "no"),
    ("ConnectTimeout", str(CONNECT_SECONDS)),
    ("ServerAliveInterval", str(ALIVE_SECONDS)),
    ("ServerAliveCountMax", str(ALIVE_COUNT)),
    ("Compression", "no"),  # weights do not compress, and zlib is slower than the network
    ("ClearAllForwardings", "yes"),
    ("ForwardAgent", "no"),
    ("ForwardX11", "no"),
    ("PermitLocalCommand", "no"),
    ("RemoteCommand", "none"),
    # Streams that share one TCP connection share one core and one window.
    ("ControlMaster", "no"),
    ("ControlPath", "none"),
    ("LogLevel", "INFO"),  # below it, ssh ends without saying why
)


@dataclass(frozen=True, slots=True)
class Resolved:
    """What the user's ssh configuration makes of a destination (ssh_config(5))."""

    user: str = ""
    hostname: str = ""
    port: int = 22
    ciphers: tuple[str, ...] = ()
    identities: tuple[str, ...] = ()
    known_hosts: tuple[str, ...] = ()
    host_key_alias: str = ""
    jumps: bool = field(default=False)

    @property
    def known_as(self) -> str:
        """The name under which known_hosts lists the host (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT)."""
        name = self.host_key_alias or self.hostname
        return name if self.port == 22 or self.host_key_alias else f"[{name}]:{self.port}"


def selection(destination: Destination) -> tuple[str, ...]:
    """The options by which ssh finds the host: configuration, port, user, identity."""
    options: list[str] = []
    if destination.config:
        options += ("-F", str(destination.config))
    if destination.port:
        options += ("-p", str(destination.port))
    if destination.user:
        options += ("-l", destination.user)
    if destination.identity:
        options += ("-i", str(destination.identity), "-o", "IdentitiesOnly=yes")
    return tuple(options)


def by_hand(destination: Destination, *options: str) -> tuple[str, ...]:
    """How a person logs in at the destination."""
    return ("ssh", *selection(destination), *options, destination.host)


def resolve(destination: Destination) -> tuple[str, ...]:
    """Print the configuration that applies to a destination; connects to nothing."""
    return ("ssh", "-G", *selection(destination), "--", destination.host)


def supported_ciphers() -> tuple[str, ...]:
    """Print the ciphers that this machine's ssh has."""
    return ("ssh", "-Q", "cipher")


def connect(
    destination: Destination, ciphers: Sequence[str], command: str, *, forward_agent: bool = False
) -> tuple[str, ...]:
    """Run a command on the host, with no terminal; stdin, stdout and stderr are its own."""
    return ("ssh", "-T", *_options(destination, ciphers, forward_agent=forward_agent), "--", destination.host, command)


def subsystem(destination: Destination, ciphers: Sequence[str], name: str) -> tuple[str, ...]:
    """Start a subsystem of the host's server."""
    return ("ssh", "-T", "-s", *_options(destination, ciphers), "--", destination.host, name)


def _options(destination: Destination, ciphers: Sequence[str], *, forward_agent: bool = False) -> tuple[str, ...]:
    chosen = dict(_OPTIONS)
    if destination.accept_new:
        chosen["StrictHostKeyChecking"] = "accept-new"
    if forward_agent:
        chosen["ForwardAgent"] = "yes"
    if ciphers:
        chosen["Ciphers"] = ",".join(ciphers)
    spelled = (word for name, value in chosen.items() for word in ("-o", f"{name}={value}"))
    return (*selection(destination), *spelled)


def offered_keys(resolved: Resolved) -> tuple[str, ...]:
    """Print the host keys that a host offers to anyone who asks; proves nothing."""
    return ("ssh-keyscan", "-T", "5", "-p", str(resolved.port), "--", resolved.hostname)


def fingerprints() -> tuple[str, ...]:
    """Print the fingerprints of the keys on stdin."""
    return ("ssh-keygen", "-l", "-f", "-")


def known_fingerprints(resolved: Resolved, known_hosts: str) -> tuple[str, ...]:
    """Print the fingerprints that a known_hosts file has of the host."""
    return ("ssh-keygen", "-l", "-F", resolved.known_as, "-f", known_hosts)


def fastest_first(allowed: Sequence[str], supported: Sequence[str], *, aes: bool = True) -> tuple[str, ...]:
    """The ciphers that configuration and policy allow, those first that both processors are fastest at.

    All stay in the list: the server chooses the first of ours that it has too (RFC 4253, section 7.1).
    """
    first = tuple(cipher for cipher in (_FASTEST if aes else _WITHOUT_AES) if cipher in allowed and cipher in supported)
    return (*first, *(cipher for cipher in allowed if cipher not in first))


def parse_resolved(text: str) -> Resolved:
    """Read what `ssh -G` prints: a lower-case keyword and its values on each line."""
    values: dict[str, list[str]] = {}
    for line in text.splitlines():
        keyword, _, value = line.partition(" ")
        values.setdefault(keyword, []).append(value)

    def one(keyword: str) -> str:
        return values.get(keyword, [""])[0]

    return Resolved(
        user=one("user"),
        hostname=one("hostname"),
        port=int(one("port") or 22),
        ciphers=tuple(filter(None, one("ciphers").split(","))),
        identities=tuple(values.get("identityfile", ())),
        known_hosts=tuple((one("userknownhostsfile") + " " + one("globalknownhostsfile")).split()),
        host_key_alias=one("hostkeyalias"),
        jumps=bool(one("proxyjump") or one("proxycommand").removeprefix("none")),
    )
