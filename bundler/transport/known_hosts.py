"""known_hosts files (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT): which keys a host may show. No key is ever parsed."""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bundler.core.durable import explained, sync

_SSH_PORT = 22
_HASHED = "|1|"
_REVOKED = "@revoked"


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A line that speaks of a host. `marker` is empty, `@revoked` or `@cert-authority`."""

    kind: str
    blob: bytes
    file: str
    marker: str = ""

    @property
    def fingerprint(self) -> str:
        """As ssh-keygen(1) prints it."""
        return fingerprint(self.blob)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the files say of a key: `known`, `unknown`, `changed` or `revoked`; `file` is where they say so."""

    word: str
    file: str = ""


def fingerprint(blob: bytes) -> str:
    """The SHA-256 fingerprint of a public key in its wire form (RFC 4253, section 6.6)."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def listed_as(host: str, port: int, alias: str = "") -> str:
    """The name under which a host is listed. A HostKeyAlias stands without its port (sshconnect.c)."""
    return alias or (host if port == _SSH_PORT else f"[{host}]:{port}")


def lines_for(name: str, files: Sequence[Path]) -> tuple[KnownKey, ...]:
    """The lines of these files that speak of a host. Files that are not there, and lines without sense, say nothing."""
    return tuple(_parsed(name, files))


def judge(lines: Iterable[KnownKey], kind: str, blob: bytes) -> Verdict:
    """Whether a host may show this key.

    One that is revoked is refused wherever else it is listed. A host of which only keys of other kinds are known is
    `changed` too: who stands in between could offer a kind that was never seen.
    """
    lines = tuple(lines)
    for line in lines:
        if line.marker == _REVOKED and line.blob == blob:
            return Verdict("revoked", line.file)
    plain = [line for line in lines if not line.marker]
    for line in plain:
        if line.kind == kind and line.blob == blob:
            return Verdict("known", line.file)
    same_kind = [line for line in plain if line.kind == kind] or plain
    return Verdict("changed", same_kind[0].file) if same_kind else Verdict("unknown")


def entry(name: str, kind: str, blob: bytes, *, hashed: bool) -> str:
    """A line that makes a key known; `hashed` hides the host's name (ssh_config(5), HashKnownHosts)."""
    return f"{_hash(name, os.urandom(20)) if hashed else name} {kind} {base64.b64encode(blob).decode()}\n"


def append(file: Path, line: str) -> None:
    """Add a line durably: one write, synced, so that two at once do not mix. Raises NoSpace, WriteFailed."""
    with explained(file):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(handle).st_size
            whole = not size or os.pread(handle, 1, size - 1) == b"\n"
            os.write(handle, f"{'' if whole else chr(10)}{line}".encode())
            os.fsync(handle)
        finally:
            os.close(handle)
        sync(file.parent)


def _parsed(name: str, files: Sequence[Path]) -> Iterator[KnownKey]:
    for file in files:
        try:
            text = file.read_text(errors="replace")
        except OSError:
            continue
        for line in text.splitlines():
            words = line.split()
            marker = words.pop(0) if words and words[0].startswith("@") else ""
            if len(words) < 3 or words[0].startswith("#") or not _names(words[0], name):
                continue
            try:
                yield KnownKey(words[1], base64.b64decode(words[2], validate=True), str(file), marker)
            except (binascii.Error, ValueError):
                continue


def _names(patterns: str, name: str) -> bool:
    if patterns.startswith(_HASHED):
        salt = patterns.removeprefix(_HASHED).partition("|")[0]
        try:
            return hmac.compare_digest(_hash(name, base64.b64decode(salt, validate=True)), patterns)
        except (binascii.Error, ValueError, TypeError):
            return False
    found = False
    for pattern in patterns.split(","):
        if _matches(pattern.removeprefix("!"), name):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def _matches(pattern: str, name: str) -> bool:
    """`*` and `?` only: brackets belong to a port (match.c, match_pattern)."""
    return bool(re.match(fnmatch.translate(re.sub(r"\[", "[[]", pattern.lower())), name.lower()))


def _hash(name: str, salt: bytes) -> str:
    """A hashed name: HMAC-SHA1 of it, with the salt as its key (hostfile.c, host_hash)."""
    digest = hmac.new(salt, name.lower().encode(), hashlib.sha1).digest()
    return f"{_HASHED}{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"
