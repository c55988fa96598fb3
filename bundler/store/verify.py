"""Reading every byte again: does each blob have the length and the digest that the bundle says?"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bundler.core.events import BytesMoved, Events, StepEnded, StepStarted
from bundler.core.size import format_size
from bundler.store.closure import Member
from bundler.store.layout import Store

CHUNK = 1 << 20
"""Bytes read at once: they stay in the processor's cache until they are hashed."""
REPORT = 16 << 20
"""Bytes after which progress is told."""
STEP = "verify"


@dataclass(frozen=True, slots=True)
class BadBlob:
    """A blob that is not what it should be, and how that shows."""

    member: Member
    problem: str

    def __str__(self) -> str:
        return f"{self.member.label} ({self.member.blob.digest}): {self.problem}"


@dataclass(frozen=True, slots=True)
class Verification:
    """What was to be read: how many blobs, how many bytes, and all that is wrong."""

    blobs: int
    bytes: int
    bad: tuple[BadBlob, ...]


def verify(store: Store, members: Iterable[Member], events: Events) -> Verification:
    """Hash all these blobs, on all cores (hashlib releases the interpreter's lock), the largest first.

    One blob is hashed by one core: SHA-256 can't be divided.
    """
    wanted = sorted(members, key=lambda member: -member.blob.size)
    total = sum(member.blob.size for member in wanted)
    events.emit(StepStarted(STEP, total))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        problems = list(pool.map(lambda member: _problem(store, member, events), wanted))
    bad = tuple(BadBlob(member, problem) for member, problem in zip(wanted, problems, strict=True) if problem)
    events.emit(StepEnded(STEP, f"{len(wanted)} blobs, {format_size(total)}, {len(bad)} bad"))
    return Verification(len(wanted), total, bad)


def _problem(store: Store, member: Member, events: Events) -> str | None:
    digest = hashlib.sha256()
    try:
        with open(store.path(member.blob.digest), "rb", buffering=0) as blob:
            length = os.fstat(blob.fileno()).st_size
            if length != member.blob.size:
                return f"it has {length} bytes, should have {member.blob.size}"
            buffer = bytearray(min(CHUNK, max(1, length)))
            view = memoryview(buffer)
            untold = 0
            while count := blob.readinto(buffer):
                digest.update(view[:count])
                untold += count
                if untold >= REPORT:
                    events.emit(BytesMoved(STEP, member.label, untold))
                    untold = 0
            events.emit(BytesMoved(STEP, member.label, untold))
    except FileNotFoundError:
        return "it is missing"
    except OSError as error:
        return f"it can't be read: {error.strerror}"
    if digest.hexdigest() != member.blob.digest.hex:
        return f"its bytes have the digest sha256:{digest.hexdigest()}"
    return None
