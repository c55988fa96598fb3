"""What may go from a store: blobs that nothing in the index reaches, and files in flight whose writers are gone."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bundler.core.digest import Digest
from bundler.core.durable import explained
from bundler.core.events import BytesMoved, Events
from bundler.store.layout import Store
from bundler.store.leases import COLLECTOR, LEASES, Lease, StoreInUse
from bundler.store.reach import Blobs, unreached
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

    @classmethod
    def of(cls, path: Path) -> Garbage:
        """A file as it is now."""
        status = path.lstat()
        return cls(path, status.st_size, status.st_size if status.st_nlink == 1 else 0)


@dataclass(frozen=True, slots=True)
class Survey:
    """What is in a store's directories. `strangers` have names that are none of ours, and are left alone."""

    blobs: tuple[Garbage, ...]
    partials: tuple[Garbage, ...]
    kept_blobs: int
    kept_bytes: int
    strangers: tuple[Path, ...]


def survey(store: Store, needs: Mapping[str, Blobs]) -> Survey:
    """Tell the blobs that someone needs, by owner, from what may go. To be called while `collecting`.

    Raises StoreInUse where a file in flight may still be written by someone who holds no lease.
    """
    found = {entry.name: entry.stat() for entry in files_in(store.blobs)}
    there = {Digest(name): status.st_size for name, status in found.items() if _HEX64.fullmatch(name)}
    garbage = unreached(there, needs)
    blobs = tuple(Garbage.of(store.path(digest)) for digest in sorted(garbage))
    strangers = [store.blobs / name for name in found if not _HEX64.fullmatch(name)]
    partials: list[Garbage] = []
    writing: list[Lease] = []
    now = clock(store)
    for entry in files_in(store.partial):
        path, status = Path(entry.path), entry.stat()
        owner = owner_of(path)
        if owner is None:
            strangers.append(path)
        elif owner.dead or (not owner.host and now - status.st_mtime > DAY):
            partials.append(Garbage.of(path))
        else:
            writing.append(Lease("push", owner, path))
    if writing:
        raise StoreInUse(store, tuple(writing))
    kept = len(there) - len(garbage)
    return Survey(blobs, tuple(partials), kept, sum(there.values()) - sum(garbage.values()), tuple(sorted(strangers)))


def clock(store: Store) -> float:
    """Seconds by the clock of the store's file system, which may be a server's. To be called while `collecting`."""
    return (store.root / LEASES / COLLECTOR).stat().st_mtime


def remove(files: Iterable[Garbage], events: Events) -> None:
    """Delete files. Whoever is killed in between leaves some of them, which the next run finds again."""
    for file in files:
        with explained(file.path):
            file.path.unlink(missing_ok=True)
        events.emit(BytesMoved(STEP, file.path.name, file.bytes))


def files_in(directory: Path) -> Iterator[os.DirEntry[str]]:
    """The regular files in a directory, by name; none where there is no directory."""
    if directory.is_dir():
        with os.scandir(directory) as entries:
            yield from sorted((entry for entry in entries if entry.is_file(follow_symlinks=False)), key=os.fspath)
