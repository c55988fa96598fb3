"""Taking a file of this machine into the store without writing its bytes again: by reflink, else by hard link.

A reflink shares blocks and nothing else, so it is tried first. A hard link is the same inode under a second name:
it becomes read-only under both, and whoever replaces the first name (as the hubs' libraries do: they write beside
the target and rename) leaves ours alone. Its owner could still change its mode back and write into it in place; so
it is hashed after it is linked, `verify`, `push` and `up` hash it again, as all blobs, and another user's file is
copied.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.durable import explained, publish
from bundler.core.owner import Owner
from bundler.store.layout import Store
from bundler.store.links import FICLONE
from bundler.store.writer import CHUNK, WrongBytes

Tell = Callable[[int], None]


def adopt(store: Store, blob: Descriptor, file: Path, told: Tell) -> bool:
    """Make this file's bytes a blob of the store, where they have its size and its SHA-256; `told` hears of bytes read.

    Returns False, and leaves nothing, where they have not, or the file can't be read. Raises NoSpace, WriteFailed.
    """
    try:
        status = file.stat()
    except OSError:
        return False
    if not stat.S_ISREG(status.st_mode) or status.st_size != blob.size:
        return False
    # Not a BlobWriter's name: what is linked is whole or of no use, and must never be continued.
    temporary = store.partial / f"ingest-{secrets.token_hex(8)}.{Owner.me().key}"
    with explained(temporary):
        try:
            if not _shared(file.resolve(), status, temporary):
                return _copied(store, blob, file, told)
            if _digest(temporary, told) != blob.digest:
                return False
            publish(temporary, store.path(blob.digest), mode=0o444)
            return True
        finally:
            temporary.unlink(missing_ok=True)


def _shared(file: Path, status: os.stat_result, target: Path) -> bool:
    """Whether the target could be made without writing: a clone of the file's blocks, or the file itself."""
    try:
        with file.open("rb") as source, target.open("xb") as clone:
            fcntl.ioctl(clone.fileno(), FICLONE, source.fileno())
        return True
    except OSError:
        target.unlink(missing_ok=True)
    if status.st_uid != os.geteuid():
        return False
    try:
        os.link(file, target)
    except OSError:  # another file system, one without links, or too many of them
        return False
    return True


def _digest(path: Path, told: Tell) -> Digest | None:
    try:
        return Digest.of_file(path, told)
    except OSError:
        return None


def _copied(store: Store, blob: Descriptor, file: Path, told: Tell) -> bool:
    if blob.size > store.free_bytes():  # left to the fetch, which says what all of it needs
        return False
    with store.writer(blob.digest, blob.size) as writer:
        told(writer.offset)
        try:
            with file.open("rb", buffering=0) as source:
                source.seek(writer.offset)
                while chunk := source.read(CHUNK):
                    writer.write(chunk)
                    told(len(chunk))
            writer.commit()
        except (WrongBytes, PermissionError):
            return False
    return True
