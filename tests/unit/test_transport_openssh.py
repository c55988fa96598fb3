"""The ssh command lines, whole: what is on them decides whether a wrong host can ever be talked to."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundler.transport.destination import Destination
from bundler.transport.openssh import (
    Resolved,
    connect,
    fastest_first,
    known_fingerprints,
    offered_keys,
    parse_resolved,
    resolve,
)
from bundler.transport.processor import has_aes

PLAIN = Destination("intranet", "/data")
FULL = Destination("10.0.0.7", "/data", "ops", 2222, Path("/k/id"), Path("/k/config"))

STRICT = (
    *("-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "UpdateHostKeys=no"),
    *("-o", "ConnectTimeout=20", "-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4"),
    *("-o", "Compression=no", "-o", "ClearAllForwardings=yes", "-o", "ForwardAgent=no", "-o", "ForwardX11=no"),
    *("-o", "PermitLocalCommand=no", "-o", "RemoteCommand=none"),
    *("-o", "ControlMaster=no", "-o", "ControlPath=none", "-o", "LogLevel=INFO"),
)


def test_a_connection_never_asks_never_adds_a_key_and_shares_no_other_connection() -> None:
    assert connect(PLAIN, (), "exec sh") == ("ssh", "-T", *STRICT, "--", "intranet", "exec sh")


def test_what_the_user_chose_goes_before_our_options_and_the_host_after_them() -> None:
    assert connect(FULL, ("aes128-gcm@openssh.com", "aes128-ctr"), "exec sh") == (
        *("ssh", "-T", "-F", "/k/config", "-p", "2222", "-l", "ops", "-i", "/k/id", "-o", "IdentitiesOnly=yes"),
        *STRICT,
        *("-o", "Ciphers=aes128-gcm@openssh.com,aes128-ctr", "--", "10.0.0.7", "exec sh"),
    )


def test_the_configuration_is_asked_of_ssh_itself() -> None:
    assert resolve(PLAIN) == ("ssh", "-G", "--", "intranet")


def test_the_fast_ciphers_come_first_and_none_is_lost_so_that_an_old_server_still_finds_its_own() -> None:
    allowed = ("chacha20-poly1305@openssh.com", "aes128-ctr", "aes256-gcm@openssh.com", "aes128-gcm@openssh.com")
    assert fastest_first(allowed, allowed) == (
        *("aes128-gcm@openssh.com", "aes256-gcm@openssh.com"),
        *("chacha20-poly1305@openssh.com", "aes128-ctr"),
    )


def test_where_a_processor_lacks_aes_instructions_chacha_comes_first() -> None:
    allowed = ("aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com")
    assert fastest_first(allowed, allowed, aes=False) == tuple(reversed(allowed))
    assert fastest_first(allowed[:1], allowed, aes=False) == allowed[:1]


@pytest.mark.parametrize(
    ("text", "aes"),
    [
        ("processor : 0\nflags\t\t: fpu vme aes avx\n", True),
        ("processor : 0\nflags\t\t: fpu vme avx vaes\n", False),
        ("processor : 0\nFeatures\t: fp asimd crc32\n", False),
        ("processor : 0\nisa : rv64imafdc\n", True),
    ],
)
def test_what_the_processor_has_is_read_from_its_flags(text: str, aes: bool, tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert has_aes(tmp_path / "cpuinfo") is aes
    assert has_aes(tmp_path / "none")


def test_a_cipher_that_policy_or_this_ssh_leaves_out_is_not_brought_back() -> None:
    assert fastest_first(("aes256-ctr",), ("aes128-gcm@openssh.com", "aes256-ctr")) == ("aes256-ctr",)
    assert fastest_first(("aes256-ctr", "aes128-gcm@openssh.com"), ("aes256-ctr",))[0] == "aes256-ctr"


G = """\
host intranet
user ops
hostname 10.0.0.7
port 2222
identityfile ~/.ssh/id_rsa
identityfile ~/.ssh/id_ed25519
ciphers aes128-ctr,aes256-gcm@openssh.com
globalknownhostsfile /etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2
userknownhostsfile /home/ops/.ssh/known_hosts
proxyjump gate
"""


def test_what_ssh_says_of_its_configuration_is_read() -> None:
    assert parse_resolved(G) == Resolved(
        user="ops",
        hostname="10.0.0.7",
        port=2222,
        ciphers=("aes128-ctr", "aes256-gcm@openssh.com"),
        identities=("~/.ssh/id_rsa", "~/.ssh/id_ed25519"),
        known_hosts=("/home/ops/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"),
        jumps=True,
    )
    assert parse_resolved("") == Resolved()


def test_a_host_is_looked_up_under_the_name_that_known_hosts_has() -> None:
    assert Resolved(hostname="h").known_as == "h"
    assert Resolved(hostname="h", port=2222).known_as == "[h]:2222"
    assert Resolved(hostname="h", port=2222, host_key_alias="lab").known_as == "lab"
    host = Resolved(hostname="h", port=2222)
    assert known_fingerprints(host, "/k/known") == ("ssh-keygen", "-l", "-F", "[h]:2222", "-f", "/k/known")
    assert offered_keys(host) == ("ssh-keyscan", "-T", "5", "-p", "2222", "--", "h")
