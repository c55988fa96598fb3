"""The intranet host: a real OpenSSH server on the loopback, with keys of its own."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.world import ports
from scripts.world.daemon import Daemon
from scripts.world.errors import WorldError, find_program

_SFTP_SERVER = "/usr/lib/openssh/sftp-server"
_QUIET = {"SHLVL": "1"}
"""bash reads ~/.bashrc for the first shell of an SSH session only: what a developer has there may take long, hold locks
of its own, and not bear that a test kills the session."""


class SshServer:
    """An sshd that lets the current user in with one key; `config` is for `ssh -F`.

    `prefix` is a command that starts another one where `address` is.
    """

    def __init__(
        self,
        directory: Path,
        port: int | None = None,
        *,
        alias: str = "intranet",
        config: Path | None = None,
        sftp: bool = True,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        tied: bool = False,
        address: str = ports.LOOPBACK,
        prefix: Sequence[str] = (),
    ) -> None:
        self.directory = directory
        self.address = address
        self._prefix = tuple(prefix)
        self.port = port or ports.free_port()
        self.alias = alias
        self.config = config or directory / "ssh_config"
        self.user = getpass.getuser()
        self._sftp = sftp
        self._options = tuple(options)
        self._environment = {**_QUIET, **(environment or {})}
        self._tied = tied

    @property
    def client_key(self) -> Path:
        return self.directory / "client_key"

    @property
    def host_key(self) -> Path:
        return self.directory / "host_key"

    @property
    def known_hosts(self) -> Path:
        return self.directory / "known_hosts"

    @property
    def daemon(self) -> Daemon:
        # sshd insists on an absolute path: it executes itself again for each connection.
        command = (*self._prefix, find_program("sshd", "openssh-server"), "-D", "-e", "-f", str(self._server_config))
        return Daemon("sshd", command, self.directory, tied=self._tied)

    def start(self) -> bool:
        """Start and wait for its banner; False when it ran already."""
        daemon = self.daemon
        if not daemon.running():
            ports.claim(self.port, "SSH server")
            self.directory.mkdir(parents=True, exist_ok=True)
            self._make_keys()
            self._server_config.write_text("\n".join(self._server_lines()) + "\n")
        self.config.write_text("\n".join(self._client_lines()) + "\n")
        return daemon.start(self._answers)

    def stop(self) -> bool:
        """Stop it, and the sessions that are open."""
        return self.daemon.stop()

    def running(self) -> bool:
        return self.daemon.running() and self._answers()

    def argv(self, *command: str) -> tuple[str, ...]:
        """The command that runs `command` on this host."""
        return ("ssh", "-F", str(self.config), self.alias, *command)

    def __enter__(self) -> SshServer:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def _server_config(self) -> Path:
        return self.directory / "sshd_config"

    def _answers(self) -> bool:
        try:
            with socket.create_connection((self.address, self.port), timeout=5) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    def _make_keys(self) -> None:
        for key in (self.host_key, self.client_key):
            if not key.exists():
                self._keygen("-q", "-t", "ed25519", "-N", "", "-C", "bundle-world", "-f", str(key))
        kind, material, *_ = self.host_key.with_suffix(".pub").read_text().split()
        self.known_hosts.write_text(f"[{self.address}]:{self.port} {kind} {material}\n")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # its privilege separation directory

    @staticmethod
    def _keygen(*arguments: str) -> None:
        program = find_program("ssh-keygen", "openssh-client")
        done = subprocess.run((program, *arguments), capture_output=True, text=True, check=False)
        if done.returncode:
            raise WorldError(f"ssh-keygen failed: {done.stderr.strip()}")

    def _server_lines(self) -> tuple[str, ...]:
        # UsePAM lets a locked root account in by key; without root there is no PAM to use.
        pam = "yes" if os.geteuid() == 0 else "no"
        subsystem = f"Subsystem sftp {self._sftp_program()}" if self._sftp else "# no sftp"
        return (
            # The first value of an option wins (sshd_config(5)), so the caller's come first.
            *self._options,
            f"SetEnv {' '.join(f'{name}={value}' for name, value in self._environment.items())}",
            f"Port {self.port}",
            f"ListenAddress {self.address}",
            f"HostKey {self.host_key}",
            f"AuthorizedKeysFile {self.client_key}.pub",
            "PidFile none",
            "StrictModes no",
            "PermitRootLogin prohibit-password",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            f"UsePAM {pam}",
            "PrintMotd no",
            "MaxStartups 100",
            "MaxSessions 100",
            subsystem,
        )

    def _client_lines(self) -> tuple[str, ...]:
        return (
            f"Host {self.alias}",
            f"  HostName {self.address}",
            f"  Port {self.port}",
            f"  User {self.user}",
            f"  IdentityFile {self.client_key}",
            "  IdentitiesOnly yes",
            f"  UserKnownHostsFile {self.known_hosts}",
            "  GlobalKnownHostsFile /dev/null",
            "  StrictHostKeyChecking yes",
            "  BatchMode yes",
            "  LogLevel ERROR",
        )

    @staticmethod
    def _sftp_program() -> str:
        return _SFTP_SERVER if Path(_SFTP_SERVER).exists() else "internal-sftp"
