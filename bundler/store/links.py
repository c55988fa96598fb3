"""Files for containers to read, made of the store's blobs: by hard link, else reflink, else copy."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path

from bundler.core.digest import Digest
from bundler.core.durable import explained, sync
from bundler.manifest.lock import LockedFile
from bundler.store.layout import MissingBlob, Store

FICLONE = 0x40049409
"""ioctl number of FICLONE (linux/fs.h): a copy that shares its blocks, on btrfs, XFS and bcachefs."""


def materialise(store: Store, files: Iterable[LockedFile], directory: Path) -> int:
    """Make `directory` hold exactly these files, each the same inode as its blob where that can be.

    Returns how many had to be made: 0 when all was in place. Raises MissingBlob, NoSpace.
    """
    wanted = {file.path: file for file in files}
    with explained(directory):
        directory.mkdir(parents=True, exist_ok=True)
        _remove_others(directory, wanted.keys())
        made = sum(_place(store, file.digest, directory / file.path) for file in wanted.values())
        sync(directory)
    return made


def _place(store: Store, digest: Digest, target: Path) -> bool:
    blob = store.path(digest)
    if not blob.is_file():
        raise MissingBlob(digest, store.root)
    if target.exists() and (target.samefile(blob) or Digest.of_file(target) == digest):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        _link(blob, temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _link(blob: Path, target: Path) -> None:
    try:
        os.link(blob, target)
    except OSError:  # another file system, a file system without links, or too many of them
        with blob.open("rb") as source, target.open("xb") as copy:
            try:
                fcntl.ioctl(copy.fileno(), FICLONE, source.fileno())
            except OSError:
                shutil.copyfileobj(source, copy, 1 << 20)
        target.chmod(0o444)


def _remove_others(directory: Path, wanted: Iterable[str]) -> None:
    keep = {directory / path for path in wanted}
    parents = {parent for path in keep for parent in path.parents}
    for found in sorted(directory.rglob("*"), reverse=True):  # what is in a directory before the directory itself
        if found.is_symlink() or not found.is_dir():
            if found not in keep:
                found.unlink()
        elif found not in parents:
            found.rmdir()
