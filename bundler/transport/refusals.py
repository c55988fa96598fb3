"""What ssh's last words mean: each way of not getting in is a class of its own, with the command that mends it."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable

from bundler.core.errors import NetworkFailed
from bundler.transport.destination import Destination
from bundler.transport.keyring import PASSWORD, Need
from bundler.transport.openssh import Resolved, by_hand, selection


class ConnectionFailed(NetworkFailed):
    """No connection, or no more. `transient` says whether trying again may help, once the host has answered."""

    transient = False


class NoSshClient(ConnectionFailed):
    """This machine has no ssh command."""

    def __init__(self) -> None:
        super().__init__(
            "this machine has no 'ssh' command",
            because="bulk transfer goes through the system's OpenSSH",
            hint="apt-get install openssh-client   # or: dnf install openssh-clients",
        )


class NoParamiko(ConnectionFailed):
    """This Python has no paramiko, as that of a node's."""

    def __init__(self, said: str) -> None:
        super().__init__(
            "this bundle can't log in without OpenSSH: its Python has no paramiko",
            because=said,
            hint="push with --client openssh, or from the machine that built the bundle",
        )


class BadConfiguration(ConnectionFailed):
    """The ssh configuration on this machine can't be used."""

    def __init__(self, destination: Destination, said: str) -> None:
        super().__init__(
            f"ssh can't use its configuration for {destination.login}",
            because=said,
            hint=f"{_ssh(destination, '-G')}   # shows what ssh makes of it",
        )


class UnknownHostKey(ConnectionFailed):
    """The host is not in known_hosts. Only a person can say whether its key is the right one."""

    def __init__(self, destination: Destination, name: str, offered: tuple[str, ...]) -> None:
        seen = f"; over this network it offers {', '.join(offered)}" if offered else ""
        super().__init__(
            f"the host key of {name} is not known",
            because=f"no known_hosts file lists it{seen}",
            hint=f"{_ssh(destination, '-o', 'StrictHostKeyChecking=ask')}   # compare the fingerprint that it shows "
            "with the one that the host's administrator names, then answer yes; or, when it is right, push with "
            "--accept-new-host-key",
        )


class NoAcceptNew(ConnectionFailed):
    """This machine's ssh can't be told to accept the keys of new hosts alone."""

    def __init__(self, destination: Destination) -> None:
        super().__init__(
            "this machine's ssh does not know --accept-new-host-key",
            because="OpenSSH has it from 7.6 on (2017), as StrictHostKeyChecking=accept-new",
            hint=f"{_ssh(destination, '-o', 'StrictHostKeyChecking=ask')}   # answer yes, then push without the flag",
        )


class ChangedHostKey(ConnectionFailed):
    """The host shows another key than known_hosts lists. No flag accepts it."""

    def __init__(self, name: str, fingerprint: str, file: str) -> None:
        shown = f" The key that it shows now is {fingerprint}." if fingerprint else ""
        remove = shlex.join(("ssh-keygen", *(("-f", file) if file else ()), "-R", name))
        super().__init__(
            f"the host key of {name} has CHANGED: nothing was sent",
            because=f"the host was installed anew, or someone is in between.{shown}",
            hint=f"ask the host's administrator whether that key is right; only then: {remove}",
        )


class TooManyLogins(ConnectionFailed):
    """The server drops connections because many are logging in at once (sshd_config(5), MaxStartups)."""

    transient = True

    def __init__(self, destination: Destination, said: str) -> None:
        super().__init__(
            f"{destination.login} takes no further connections at the moment",
            because=f"{said}; many are logging in there at once (MaxStartups in its sshd_config), or it rejects us",
            hint="run the same command again: what has arrived is kept",
        )


class RevokedHostKey(ConnectionFailed):
    """The host shows a key that known_hosts marks as revoked: whoever has it may not be the host."""

    def __init__(self, name: str, fingerprint: str, file: str) -> None:
        super().__init__(
            f"the host key of {name} is REVOKED: nothing was sent",
            because=f"{file} revokes {fingerprint}",
            hint="tell the host's administrator: the host needs a new key",
        )


class ConnectionRefused(ConnectionFailed):
    """Nothing listens on that port."""

    transient = True

    def __init__(self, destination: Destination, resolved: Resolved) -> None:
        super().__init__(
            f"{resolved.hostname} refuses connections on port {resolved.port}",
            because="no SSH server listens there, or a firewall rejects this machine",
            hint=f"{_ssh(destination, '-v')}   # name another port with --port, or start sshd on the host",
        )


class UnknownHost(ConnectionFailed):
    """The name has no address."""

    transient = True

    def __init__(self, destination: Destination, said: str) -> None:
        super().__init__(
            f"the host name {destination.host!r} has no address",
            because=said,
            hint=f"getent hosts {shlex.quote(destination.host)}   # or give it a HostName in ~/.ssh/config",
        )


class Unreachable(ConnectionFailed):
    """No answer, or no way there."""

    transient = True

    def __init__(self, destination: Destination, resolved: Resolved, said: str) -> None:
        super().__init__(
            f"{resolved.hostname} port {resolved.port} does not answer",
            because=said,
            hint=f"{_ssh(destination, '-v')}   # is the VPN up, is a ProxyJump missing in ~/.ssh/config?",
        )


class AuthenticationFailed(ConnectionFailed):
    """The host lets us not in."""

    def __init__(self, destination: Destination, resolved: Resolved, methods: str) -> None:
        self.methods = methods
        tried = [name for name in resolved.identities if os.path.exists(os.path.expanduser(name))]
        user = destination.user or resolved.user
        super().__init__(
            f"{resolved.hostname} does not let {user or 'us'} in",
            because=f"it accepts {methods or 'other ways'}; tried: the ssh agent's keys and "
            f"{', '.join(tried) or 'no identity file, as there is none'}",
            hint=f"ssh-copy-id {shlex.join((*selection(destination), destination.host))}   # or name a key "
            "with --identity; a key with a passphrase goes into the agent with ssh-add",
        )


class SecretNeeded(AuthenticationFailed):
    """The host, or a key, wants a password that no one gave, or another one than was given."""

    def __init__(self, resolved: Resolved, need: Need, methods: str) -> None:
        self.need = need
        self.methods = methods
        tried = f"; tried: {', '.join(resolved.identities)}" if resolved.identities else ""
        ConnectionFailed.__init__(
            self,
            f"the {need.kind} of {need.of} is {'wrong' if need.refused else 'needed'}",
            because=f"{resolved.hostname} accepts {methods or 'other ways'}{tried}",
            hint="run it on a terminal, which asks for it, or name a file: --password-file FILE"
            if need.kind == PASSWORD
            else f"ssh-add {shlex.quote(need.of)}   # or run it on a terminal, which asks for it",
        )


class NothingInCommon(ConnectionFailed):
    """Both sides speak SSH, and no common algorithm."""

    def __init__(self, resolved: Resolved, said: str) -> None:
        super().__init__(
            f"this machine's ssh and the server of {resolved.hostname} have no algorithm in common",
            because=said,
            hint="ssh -V   # one of the two is very old, or a crypto policy forbids what the other has",
        )


class ConnectionLost(ConnectionFailed):
    """The connection broke, or stood still. What has arrived is kept."""

    transient = True

    def __init__(self, destination: Destination, said: str) -> None:
        super().__init__(
            f"the connection to {destination.login} broke",
            because=said,
            hint="run the same command again: what has arrived is kept",
        )


class NoShell(ConnectionFailed):
    """The login works and gives no POSIX shell."""

    transient = True

    def __init__(self, destination: Destination, said: str) -> None:
        super().__init__(
            f"{destination.login} lets us in, but runs no command",
            because=said or "its login shell ended at once",
            hint=f"{_ssh(destination)} 'sh -c \"echo ok\"'   # should print ok and nothing else",
        )


class NoSftp(ConnectionFailed):
    """The login works and has no SFTP."""

    def __init__(self, destination: Destination, said: str) -> None:
        super().__init__(
            f"{destination.login} lets us in, but has no SFTP",
            because=said or "its server has no subsystem of that name",
            hint=f"{_ssh(destination, '-s')} sftp   # should wait in silence; else ask the host's administrator for it",
        )


class NoScp(ConnectionFailed):
    """The login works and runs no scp."""

    def __init__(self, destination: Destination, said: str) -> None:
        super().__init__(
            f"{destination.login} lets us in, but runs no scp",
            because=said or "it ended at once",
            hint=f"scp -O FILE {shlex.quote(str(destination))}   # should work; else ask the host's administrator",
        )


Offered = Callable[[Resolved], tuple[str, ...]]
"""Asks the network for a host's fingerprints."""

_CHANGED = re.compile(r"REMOTE HOST IDENTIFICATION HAS CHANGED|host key for .* has changed", re.IGNORECASE)
_CHANGED_NAME = re.compile(r"[Hh]ost key for (\S+) has changed")
_UNKNOWN_NAME = re.compile(r"host key is known for (\S+) and")
_UNKNOWN = re.compile(r"host key is known for .* strict checking|Host key verification failed")
_DROPPED = re.compile(r"(?:kex_exchange|ssh_exchange)_identification: .*(?:closed by remote host|reset by peer).*")
_NO_ACCEPT_NEW = re.compile(r"unsupported option \"accept-new\"")
_REFUSED = re.compile(r"port \d+: Connection refused")
_NAME = re.compile(r"Could not resolve hostname .*")
_TIMEOUT = re.compile(
    r"(?:timed out during banner exchange|Connection timed out|Operation timed out|No route to host"
    r"|Network is unreachable)"
)
_DENIED = re.compile(r"Permission denied \(([^)]*)\)|Too many authentication failures")
_NEGOTIATE = re.compile(r"Unable to negotiate with .*")
_CONFIG = re.compile(r"Can't open user config file .*|.*[Bb]ad configuration option.*|Bad owner or permissions on .*")
_LOST = re.compile(
    r"Connection (?:to \S+ )?(?:reset|closed)|Timeout, server .* not responding|Broken pipe"
    r"|Connection to .* timed out|kex_exchange_identification|client_loop: .*"
)


def classify(said: str, destination: Destination, resolved: Resolved, offered: Offered) -> ConnectionFailed:
    """The error that ssh's stderr tells of, when it ended with its own exit code 255 (ssh(1), EXIT STATUS).

    The words are those of OpenSSH 7 to 9 (ssh.c, sshconnect.c, packet.c), which are never translated.
    """
    last = last_line(said)
    if _CHANGED.search(said):
        fingerprint = re.search(r"SHA256:[\w+/]+", said)
        file = re.search(r"Offending .* key in (.*):\d+", said)
        name = match[1] if (match := _CHANGED_NAME.search(said)) else resolved.known_as
        return ChangedHostKey(name, fingerprint[0] if fingerprint else "", file[1] if file else "")
    if _UNKNOWN.search(said):
        # It may be a jump host on the way whose key is not known.
        name = match[1] if (match := _UNKNOWN_NAME.search(said)) else resolved.known_as
        return UnknownHostKey(destination, name, offered(resolved) if name == resolved.known_as else ())
    if match := _DENIED.search(said):
        return AuthenticationFailed(destination, resolved, match[1] or "")
    if match := _NEGOTIATE.search(said):
        return NothingInCommon(resolved, match[0])
    if _NO_ACCEPT_NEW.search(said):
        return NoAcceptNew(destination)
    if match := _CONFIG.search(said):
        return BadConfiguration(destination, match[0])
    if _REFUSED.search(said):
        return ConnectionRefused(destination, resolved)
    if match := _NAME.search(said):
        return UnknownHost(destination, match[0].rpartition(": ")[2])
    if match := _DROPPED.search(said):
        return TooManyLogins(destination, match[0])
    if _LOST.search(said) and not _TIMEOUT.search(said):
        return ConnectionLost(destination, last)
    if match := _TIMEOUT.search(said):
        return Unreachable(destination, resolved, last)
    return ConnectionLost(destination, last or "ssh ended without a word")


def last_line(said: str) -> str:
    """The last line that is not blank, shortened."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


def _ssh(destination: Destination, *options: str) -> str:
    return shlex.join(by_hand(destination, *options))
