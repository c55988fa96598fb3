"""A host at the end of a cable: a network namespace with an address of its own, whose line can be disturbed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from scripts.world.errors import WorldError, find_program, require_root

_NAMESPACES = Path("/var/run/netns")
_SUBNETS = 16384
"""Pairs of addresses of 198.18.0.0/16, which is kept for tests of networks (RFC 2544)."""


class Cable:
    """A pair of interfaces between this machine and a namespace. `address` is the namespace's."""

    def __init__(self, number: int | None = None) -> None:
        chosen = (os.getpid() if number is None else number) % _SUBNETS
        self.name = f"bc-{chosen}"
        base = chosen * 4
        self._here, self.address = (f"198.18.{base >> 8}.{(base & 255) + last}" for last in (1, 2))
        self._near, self._far = f"{self.name}n", f"{self.name}f"

    def argv(self, *command: str) -> tuple[str, ...]:
        """The command that runs `command` at the far end."""
        return (find_program("nsenter", "util-linux"), f"--net={_NAMESPACES / self.name}", "--", *command)

    def reset(self, port: int) -> None:
        """Answer all that comes in on this port with a TCP reset, until `mend`."""
        self._iptables("-A", "INPUT", "-p", "tcp", "--dport", str(port), "-j", "REJECT", "--reject-with", "tcp-reset")

    def drop(self) -> None:
        """Lose everything, both ways, and say nothing, until `mend`."""
        for chain in ("INPUT", "OUTPUT"):
            self._iptables("-A", chain, "-j", "DROP")

    def lose(self, share: float) -> None:
        """Lose this share of the packets, both ways, until `mend`."""
        words = ("-m", "statistic", "--mode", "random", "--probability", str(share), "-j", "DROP")
        for chain in ("INPUT", "OUTPUT"):
            self._iptables("-A", chain, *words)

    def slow(self, bits: int) -> None:
        """Take no more than so many bits a second towards the far end (tc-tbf(8)), until `mend`."""
        words = ("rate", f"{bits}bit", "burst", "64kb", "latency", "200ms")
        self._run("tc", "iproute2", "qdisc", "replace", "dev", self._near, "root", "tbf", *words)

    def mend(self) -> None:
        """A good line again."""
        self._iptables("-F")
        subprocess.run(
            (find_program("tc", "iproute2"), "qdisc", "del", "dev", self._near, "root"),
            capture_output=True,
            check=False,
        )

    def __enter__(self) -> Cable:
        require_root("a cable")
        ip = ("ip", "iproute2")
        self._run(*ip, "netns", "add", self.name)
        try:
            self._run(*ip, "link", "add", self._near, "type", "veth", "peer", "name", self._far, "netns", self.name)
            self._run(*ip, "addr", "add", f"{self._here}/30", "dev", self._near)
            self._run(*ip, "link", "set", self._near, "up")
            # Not `ip -n`: that mounts a new /sys, which hides the control groups from who is started there.
            for words in (("link", "set", "lo", "up"), ("addr", "add", f"{self.address}/30", "dev", self._far),
                          ("link", "set", self._far, "up")):  # fmt: skip
                self._run(*ip, *words, inside=True)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        # The interfaces would go with the namespace, but later: the next cable of this name would find its own taken.
        program = find_program("ip", "iproute2")
        subprocess.run((program, "link", "delete", self._near), capture_output=True, check=False)
        self._run("ip", "iproute2", "netns", "delete", self.name)

    def _iptables(self, *words: str) -> None:
        self._run("iptables", "iptables", "--wait", *words, inside=True)

    def _run(self, program: str, package: str, *words: str, inside: bool = False) -> None:
        command = (find_program(program, package), *words)
        done = subprocess.run(self.argv(*command) if inside else command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise WorldError(f"{program} {' '.join(words)} failed: {done.stderr.strip()}")
