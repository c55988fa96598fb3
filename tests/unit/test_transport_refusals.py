"""ssh's last words, as OpenSSH 9.2 writes them, and what a person is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundler.transport import refusals
from bundler.transport.destination import Destination
from bundler.transport.openssh import Resolved
from bundler.transport.refusals import ConnectionFailed, classify

HOST = Destination("intranet", "/data", "ops", 2222)
RESOLVED = Resolved("ops", "10.0.0.7", 2222, identities=("/nonexistent/id_rsa",))

CHANGED = """\
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!
The fingerprint for the ED25519 key sent by the remote host is
SHA256:A+mhkWYsga8W67+uTtlmTcRWCbFAWeo9Bm+Sp1DFPrY.
Please contact your system administrator.
Add correct host key in /home/ops/.ssh/known hosts to get rid of this message.
Offending ED25519 key in /home/ops/.ssh/known hosts:1
Host key for [10.0.0.7]:2222 has changed and you have requested strict checking.
Host key verification failed.
"""
UNKNOWN = """\
No ED25519 host key is known for [10.0.0.7]:2222 and you have requested strict checking.
Host key verification failed.
"""


def told(said: str, offered: tuple[str, ...] = ()) -> ConnectionFailed:
    return classify(said, HOST, RESOLVED, lambda _: offered)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (CHANGED, refusals.ChangedHostKey),
        (UNKNOWN, refusals.UnknownHostKey),
        ("ssh: connect to host 10.0.0.7 port 2222: Connection refused", refusals.ConnectionRefused),
        ("ssh: Could not resolve hostname intranet: Name or service not known", refusals.UnknownHost),
        ("ssh: connect to host 10.0.0.7 port 2222: Connection timed out", refusals.Unreachable),
        ("ssh: connect to host 10.0.0.7 port 2222: No route to host", refusals.Unreachable),
        ("ssh: connect to host 10.0.0.7 port 2222: Network is unreachable", refusals.Unreachable),
        ("Connection timed out during banner exchange\nConnection to h port 2 timed out", refusals.Unreachable),
        ("ops@10.0.0.7: Permission denied (publickey,password).", refusals.AuthenticationFailed),
        ("Received disconnect from h port 2:2: Too many authentication failures", refusals.AuthenticationFailed),
        ("Unable to negotiate with h port 2: no matching cipher found. Their offer: x", refusals.NothingInCommon),
        ("Can't open user config file /x: No such file or directory", refusals.BadConfiguration),
        ("/c: line 3: Bad configuration option: frob\n/c: terminating, 1 bad", refusals.BadConfiguration),
        ("Bad owner or permissions on /home/ops/.ssh/config", refusals.BadConfiguration),
        ("Connection to 10.0.0.7 closed by remote host.", refusals.ConnectionLost),
        ("client_loop: send disconnect: Broken pipe", refusals.ConnectionLost),
        ("Timeout, server 10.0.0.7 not responding.", refusals.ConnectionLost),
        ("kex_exchange_identification: read: Connection reset by peer", refusals.TooManyLogins),
        ("kex_exchange_identification: Connection closed by remote host", refusals.TooManyLogins),
        ('command-line: line 0: unsupported option "accept-new".', refusals.NoAcceptNew),
        ("", refusals.ConnectionLost),
    ],
)
def test_each_way_of_not_getting_in_has_its_own_error(said: str, kind: type[ConnectionFailed]) -> None:
    error = told(f"Authorised users only!\n{said}")
    assert type(error) is kind
    assert error.exit_code == 14
    assert error.because
    assert error.hint


def test_a_changed_key_is_never_accepted_and_its_removal_is_named_only_after_asking() -> None:
    error = told(CHANGED)
    assert error.what == "the host key of [10.0.0.7]:2222 has CHANGED: nothing was sent"
    assert "SHA256:A+mhkWYsga8W67+uTtlmTcRWCbFAWeo9Bm+Sp1DFPrY" in (error.because or "")
    assert error.hint == (
        "ask the host's administrator whether that key is right; only then: "
        "ssh-keygen -f '/home/ops/.ssh/known hosts' -R '[10.0.0.7]:2222'"
    )
    assert not error.transient


def test_an_unknown_key_is_shown_and_left_to_a_person() -> None:
    error = told(UNKNOWN, ("ED25519 SHA256:abc",))
    assert error.what == "the host key of [10.0.0.7]:2222 is not known"
    assert error.because == "no known_hosts file lists it; over this network it offers ED25519 SHA256:abc"
    assert (error.hint or "").startswith("ssh -p 2222 -l ops -o StrictHostKeyChecking=ask intranet   # compare")


def test_a_login_that_fails_names_the_keys_that_were_tried(tmp_path: Path) -> None:
    key = tmp_path / "id"
    key.touch()
    resolved = Resolved("ops", "10.0.0.7", identities=(str(key), "/nonexistent/id_rsa"))
    error = classify("ops@h: Permission denied (publickey).", HOST, resolved, lambda _: ())
    assert error.what == "10.0.0.7 does not let ops in"
    assert error.because == f"it accepts publickey; tried: the ssh agent's keys and {key}"


def test_only_what_may_pass_by_itself_is_tried_again() -> None:
    again = {kind for kind in ConnectionFailed.__subclasses__() if kind.transient}
    assert again == {
        *(refusals.ConnectionLost, refusals.ConnectionRefused, refusals.NoShell, refusals.TooManyLogins),
        *(refusals.UnknownHost, refusals.Unreachable),
    }


def test_a_jump_host_whose_key_is_not_known_is_the_one_that_is_named() -> None:
    error = told("No ED25519 host key is known for gate and you have requested strict checking.", ("RSA SHA256:x",))
    assert error.what == "the host key of gate is not known"
    assert error.because == "no known_hosts file lists it"
