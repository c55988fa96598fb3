"""What may go from a store: blobs that nothing in the index reaches, and files in flight whose writers are gone."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.durable import explained
from bundler.core.events import BytesMoved, Events
from bundler.store.layout import Store
from bundler.store.leases import COLLECTOR, LEASES, Lease, StoreInUse
from bundler.store.reach import reached, unreached
from bundler.store.writer import owner_of

STEP = "gc"
DAY = 86_400.0
"""Seconds after which a file in flight of another machine, of whose processes nothing is known, counts as left."""

_HEX64 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Garbage:
    """A file that may go. `frees` is how many bytes: none where a release has a hard link to it."""

    path: Path
    bytes: int
    frees: int


@dataclass(frozen=True, slots=True)
class Survey:
    """What is in a store's directories. `strangers` have names that are none of ours, and are left alone."""

    blobs: tuple[Garbage, ...]
    partials: tuple[Garbage, ...]
    kept_blobs: int
    kept_bytes: int
    strangers: tuple[Path, ...]


def survey(store: Store, entries: Iterable[Descriptor]) -> Survey:
    """Tell what the index's entries reach from what may go. To be called while `collecting`.

    Raises IntegrityFailed where a manifest is missing or damaged: what it would reach can't be told then.
    Raises StoreInUse where a file in flight may still be written by someone who holds no lease.
    """
    found = {entry.name: entry.stat() for entry in _files(store.blobs)}
    there = {Digest(name): status.st_size for name, status in found.items() if _HEX64.fullmatch(name)}
    garbage = unreached(there, reached(store, entries))
    blobs = tuple(_garbage(store.path(digest), found[digest.hex]) for digest in sorted(garbage))
    strangers = [store.blobs / name for name in found if not _HEX64.fullmatch(name)]
    partials: list[Garbage] = []
    writing: list[Lease] = []
    now = (store.root / LEASES / COLLECTOR).stat().st_mtime  # by the file system's clock, which may be a server's
    for entry in _files(store.partial):
        path, status = Path(entry.path), entry.stat()
        owner = owner_of(path)
        if owner is None:
            strangers.append(path)
        elif owner.dead or (not owner.host and now - status.st_mtime > DAY):
            partials.append(_garbage(path, status))
        else:
            writing.append(Lease("push", owner, path))
    if writing:
        raise StoreInUse(store, tuple(writing))
    kept = len(there) - len(garbage)
    return Survey(blobs, tuple(partials), kept, sum(there.values()) - sum(garbage.values()), tuple(sorted(strangers)))


def remove(files: Iterable[Garbage], events: Events) -> None:
    """Delete files. Whoever is killed in between leaves some of them, which the next run finds again."""
    for file in files:
        with explained(file.path):
            file.path.unlink(missing_ok=True)
        events.emit(BytesMoved(STEP, file.path.name, file.bytes))


def _files(directory: Path) -> Iterator[os.DirEntry[str]]:
    if directory.is_dir():
        with os.scandir(directory) as entries:
            yield from sorted((entry for entry in entries if entry.is_file(follow_symlinks=False)), key=os.fspath)


def _garbage(path: Path, status: os.stat_result) -> Garbage:
    return Garbage(path, status.st_size, status.st_size if status.st_nlink == 1 else 0)
