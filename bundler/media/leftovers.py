"""What imports leave in a store: lists and parts. `gc` keeps those of a bundle that may still become whole."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bundler.core.digest import Digest
from bundler.core.errors import IntegrityFailed
from bundler.media.header import Header
from bundler.store.gc import DAY, Garbage, files_in
from bundler.store.layout import Store
from bundler.store.reach import Blobs

PATIENCE = 30 * DAY
"""Seconds after its last volume came for which an import counts as half done: media may come by post."""

_LIST = re.compile(r"\d{4}(\.end)?\.json")
_PART = re.compile(r"whole|\d{4}-of-\d{4}|\.?landed\.json(\.\d+\.[0-9a-f]{8})?")
_HEX64 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class HalfDone:
    """A bundle of which volumes came and others have not; their lists are in `directory`."""

    bundle: str
    root: Digest
    volumes: tuple[str, ...]
    directory: Path


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Imports that are half done, the blobs that came for them, and files that no import needs any more."""

    half_done: tuple[HalfDone, ...]
    needed: Blobs
    files: tuple[Garbage, ...]


def leftovers(store: Store, reached: Mapping[str, Blobs], dropped: Set[Digest], now: float) -> Leftovers:
    """Tell half-done imports from finished and abandoned ones. To be called while `collecting`.

    `reached` is what the index needs, `dropped` the roots that leave it now, `now` the file system's clock in seconds.
    """
    half_done: list[HalfDone] = []
    needed: dict[Digest, int] = {}
    files: list[Garbage] = []
    for directory in _directories(store.root / "volumes"):
        lists = [Path(entry.path) for entry in files_in(directory) if _LIST.fullmatch(entry.name)]
        headers = list(_headers(directory, lists))
        young = any(now - path.stat().st_ctime < PATIENCE for path in lists)
        waiting = [one for one in headers if one.root not in dropped and _waits(store, one.root, reached, young=young)]
        if not waiting:
            files += map(Garbage.of, lists)
            continue
        first = waiting[0]
        half_done.append(HalfDone(first.bundle, first.root, tuple(one.file_name for one in waiting), directory))
        needed |= {piece.digest: piece.blob_size for one in waiting for piece in one.pieces if piece.is_blob}
    wanted = needed.keys() | {digest for blobs in reached.values() for digest in blobs}
    for directory in _directories(store.root / "parts" / "sha256"):
        if not _HEX64.fullmatch(directory.name):
            continue
        digest = Digest(directory.name)
        if digest not in wanted or store.path(digest).is_file():
            files += [Garbage.of(Path(entry.path)) for entry in files_in(directory) if _PART.fullmatch(entry.name)]
    return Leftovers(tuple(half_done), needed, tuple(files))


def prune(store: Store) -> None:
    """Remove the directories that are empty once the files of finished imports are gone."""
    parts = store.root / "parts" / "sha256"
    volumes = store.root / "volumes"
    for directory in (*_directories(parts), parts, parts.parent, *_directories(volumes), volumes):
        with suppress(OSError):  # not empty, or not there
            directory.rmdir()


def _waits(store: Store, root: Digest, reached: Mapping[str, Blobs], *, young: bool) -> bool:
    """Whether a root's import may go on. `tar -xf` lists a bundle before it is whole: that one waits at any age."""
    listed = next((blobs for blobs in reached.values() if root in blobs), None)
    if listed is None:
        return young
    return not all(store.path(digest).is_file() for digest in listed)


def _headers(directory: Path, lists: list[Path]) -> Iterator[Header]:
    """The lists that can be read and lie where they belong; `tar -xf` may have put anything there."""
    for path in lists:
        with suppress(IntegrityFailed):
            header = Header.parse(path.read_bytes(), str(path)) if ".end." not in path.name else None
            if header and Path(header.path) == Path("volumes", directory.name, path.name):
                yield header


def _directories(directory: Path) -> list[Path]:
    if directory.is_symlink() or not directory.is_dir():
        return []
    with os.scandir(directory) as entries:
        return sorted(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))
