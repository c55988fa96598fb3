"""known_hosts: a host is let through only with a key that a line lists for it."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from bundler.transport.known_hosts import append, entry, fingerprint, judge, lines_for, listed_as

KEY, OTHER = b"key", b"other"
ED = "ssh-ed25519"


def words(blob: bytes, kind: str = ED) -> str:
    return f"{kind} {base64.b64encode(blob).decode()}"


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        (f"host {words(KEY)}", "known"),
        (f"a,HOST,b {words(KEY)} a comment", "known"),
        (f"h?s* {words(KEY)}", "known"),
        (f"*,!host {words(KEY)}", "unknown"),
        (f"other {words(KEY)}", "unknown"),
        (f"# host {words(KEY)}", "unknown"),
        (f"host {words(OTHER)}", "changed"),
        (f"host {words(KEY, 'ssh-rsa')}", "changed"),
        (f"@revoked * {words(KEY)}\nhost {words(KEY)}", "revoked"),
        (f"@cert-authority * {words(KEY)}", "unknown"),
        ("host ssh-ed25519 not*base64", "unknown"),
        ("|1|bad|bad ssh-ed25519 a2V5", "unknown"),
    ],
)
def test_only_a_key_that_is_listed_for_a_host_is_its_key(tmp_path: Path, line: str, verdict: str) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"{line}\n")
    assert judge(lines_for("host", [tmp_path / "none", file]), ED, KEY).word == verdict


@pytest.mark.parametrize("hashed", [False, True])
def test_a_key_that_was_accepted_is_known_from_then_on_and_what_was_there_stays(tmp_path: Path, hashed: bool) -> None:
    file = tmp_path / "ssh" / "known_hosts"
    file.parent.mkdir()
    file.write_text(f"other {words(OTHER)}")  # no line break at its end
    name = listed_as("host", 2222)
    append(file, entry(name, ED, KEY, hashed=hashed))
    assert judge(lines_for("[host]:2222", [file]), ED, KEY).word == "known"
    assert judge(lines_for("other", [file]), ED, OTHER).word == "known"
    assert ("host" in file.read_text().splitlines()[1]) is not hashed


def test_a_fingerprint_is_written_as_ssh_keygen_writes_it() -> None:
    assert fingerprint(b"") == "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
