"""Whether what is to be written fits: bytes and files, before the first of them is fetched."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bundler.core.descriptor import Descriptor
from bundler.core.errors import NoSpace
from bundler.core.size import format_size
from bundler.store.layout import Store


@dataclass(frozen=True, slots=True)
class Need:
    """What a store's file system has to take, and has: bytes, and files (None where it does not count them)."""

    bytes: int
    files: int
    free_bytes: int
    free_files: int | None


def need(store: Store, blobs: Iterable[Descriptor]) -> Need:
    """What the store lacks of these blobs, without what was begun: that is on the disk already."""
    missing = store.missing(blobs)
    size = sum(blob.size - store.begun(blob) for blob in missing)
    return Need(size, len(missing), store.free_bytes(), store.free_files())


def require(store: Store, need: Need) -> None:
    """Raises NoSpace where it does not fit."""
    if need.bytes > need.free_bytes:
        raise NoSpace(
            f"the store needs {format_size(need.bytes)} more, and {store.root} has {format_size(need.free_bytes)} free",
            because="nothing has been fetched yet",
            hint=f"df -h {store.root}   # free some, or name a larger place with --store",
        )
    if need.free_files is not None and need.files > need.free_files:
        raise NoSpace(
            f"the store needs {need.files} more files, and {store.root} has room for {need.free_files}",
            because="nothing has been fetched yet; its file system is out of inodes",
            hint=f"df -i {store.root}   # remove small files, or name another place with --store",
        )
