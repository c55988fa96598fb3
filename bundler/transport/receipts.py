"""Receipts: what a host says that it verified, kept on the machine that pushed."""

from __future__ import annotations

import os
import re
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path

from bundler.core.digest import Digest
from bundler.core.durable import write_file
from bundler.core.records import from_bytes, to_json
from bundler.core.strict_json import MalformedJson, canonical

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Tally:
    """So many blobs, so many bytes."""

    blobs: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """A bundle is on a host. `when` is UTC in ISO 8601, by this machine's clock.

    `verified` were hashed there in this push; `present` were there before it, whole by their length, each hashed when
    it came, unless that was by SFTP or scp. `host_keys` are the fingerprints that this machine knows the host by.
    `blobs` are all that the bundle consists of, sorted: what an export since this receipt leaves out; `hashed` those
    of them that `verified` counts. `rate` is the bytes a second that went there, 0 where too few did to say.
    `via` is the host that sent it, where it was not this machine; `host_keys` are then those that that host knows.
    """

    format: int
    host: str
    directory: str
    when: str
    bundle: str
    root: Digest
    verified: Tally
    present: Tally
    host_keys: tuple[str, ...] = field(default=())
    blobs: tuple[Digest, ...] = field(default=())
    hashed: tuple[Digest, ...] = field(default=())
    rate: int = 0
    via: str = ""


def receipts_directory() -> Path:
    """Where receipts are kept: the state directory of the user (XDG base directory specification)."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state")
    return state / "bundle" / "receipts"


def now() -> str:
    """This moment, as receipts write it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def write(receipt: Receipt, directory: Path | None = None) -> Path:
    """Keep a receipt, durably, under a name that sorts by time. Returns its path. Raises WriteFailed, NoSpace."""
    # Two pushes in one second have a receipt each.
    words = (receipt.when.replace(":", ""), receipt.bundle, receipt.host, secrets.token_hex(4))
    name = "_".join(re.sub(r"[^A-Za-z0-9.-]+", "-", word) for word in words)
    path = (directory or receipts_directory()) / f"{name}.json"
    write_file(path, canonical(to_json(receipt), indent=2))
    return path


def read(path: Path) -> Receipt:
    """A receipt. Raises MalformedJson, FileNotFoundError."""
    return from_bytes(Receipt, path.read_bytes(), str(path))


@dataclass(frozen=True, slots=True)
class Kept:
    """The receipts of this machine with their files, the oldest first; `damaged` are files that say nothing."""

    receipts: tuple[tuple[Path, Receipt], ...]
    damaged: tuple[Path, ...]

    def newest(self, host: str, bundle: str) -> Receipt | None:
        """The last receipt of a host (`user@host`, or with `:/directory`), of any version of this bundle's name."""
        for _, receipt in reversed(self.receipts):
            named = host in (receipt.host, f"{receipt.host}:{receipt.directory}")
            if named and bundle == receipt.bundle.partition(":")[0]:
                return receipt
        return None


def listed(directory: Path | None = None) -> Kept:
    """All receipts that are kept here."""
    found: list[tuple[Path, Receipt]] = []
    damaged: list[Path] = []
    for path in sorted((directory or receipts_directory()).glob("*.json")):
        try:
            found.append((path, read(path)))
        except (MalformedJson, OSError):
            damaged.append(path)
    return Kept(tuple(found), tuple(damaged))
