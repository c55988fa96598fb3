"""Who needs a store's blobs just now: what `gc` must not delete though no index lists it yet.

A lease and the collector's lock are files in one directory. Each side first makes its own file and then looks for
the other's, so that at least one of the two sees the other, and no blob is deleted between a look and a use. They
share the directory because a client of NFS that has just changed a directory lists it afresh.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import re
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bundler.core.durable import explained, sync
from bundler.core.errors import LockedByAnother
from bundler.core.owner import Owner
from bundler.store.layout import Store
from bundler.store.locking import Held, holder, holding

LEASES = "leases"
"""The directory of leases, in a store's."""
COLLECTOR = "gc.lock"
"""The lock of the one who deletes, in that directory."""

PATIENCE = 600.0
"""Seconds to wait for a `gc` that runs: it deletes files, which takes seconds even for a large store."""

_NAME = re.compile(r"(\.?)([a-z][a-z-]*)\.[\w-]+\.\d+")
"""`PURPOSE.OWNER.NUMBER`, with a dot before it while it is written."""
_NO_LEASE = (errno.EROFS, errno.EACCES, errno.EPERM)
_number = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Lease:
    """Someone who needs the store's blobs: what for, who (None where it can't be read), and the file that says so."""

    purpose: str
    owner: Owner | None
    path: Path

    def __str__(self) -> str:
        return f"bundle {self.purpose}: {self.owner or 'an unknown process'}"


class StoreInUse(LockedByAnother):
    """Others add blobs to the store, or need those that are there."""

    def __init__(self, store: Store, leases: tuple[Lease, ...]) -> None:
        files = shlex.join(str(lease.path) for lease in leases)
        super().__init__(
            f"{store.root} is in use:\n  " + "\n  ".join(map(str, leases)),
            because="blobs that they need may not be listed in the index yet, so nothing was deleted",
            hint=f"wait for them to end; if you know that they are gone: rm {files}",
        )
        self.leases = leases


@contextmanager
def leasing(store: Store, purpose: str, *, patience: float = PATIENCE) -> Iterator[None]:
    """Keep `gc` from deleting anything for the length of a block. `purpose` is the verb, for whoever must wait.

    Waits for a `gc` that runs. Any number may lease at once, and one process more than once. Where this user may not
    write to the store there is no lease: nothing is to be added there, and a blob that goes meanwhile is missed.
    Raises Held after `patience` seconds, NoSpace.
    """
    lease = store.root / LEASES / f"{purpose}.{Owner.me().key}.{next(_number)}"
    _take(lease, store, time.monotonic() + patience)
    try:
        yield
    finally:
        with suppress(OSError):  # there is none where this user may not write; one that stays ends with its process
            lease.unlink()


@contextmanager
def collecting(store: Store) -> Iterator[None]:
    """Be the only one who deletes from the store, while no one leases it. Raises StoreInUse, Held, NoSpace."""
    directory = store.root / LEASES
    with explained(directory):
        directory.mkdir(exist_ok=True)
    with holding(directory / COLLECTOR, f"the garbage collection of {store.root}"):
        held = tuple(_leases(directory))
        if held:
            raise StoreInUse(store, held)
        yield


def _take(lease: Path, store: Store, deadline: float) -> None:
    while _write(lease):
        collector = _collector(lease.parent)
        if collector is None:
            return
        lease.unlink(missing_ok=True)
        if time.monotonic() >= deadline:
            raise Held(f"the store {store.root}", lease.parent / COLLECTOR, collector)
        time.sleep(0.05)


def _write(lease: Path) -> bool:
    """Make the lease's file, whole when it appears. Returns False where this user may not write there."""
    unfinished = lease.with_name(f".{lease.name}")
    try:
        lease.parent.mkdir(exist_ok=True)
        unfinished.write_text(json.dumps(Owner.me().to_json()))
    except OSError as error:
        if error.errno in _NO_LEASE:
            return False
        with explained(lease):
            raise
    with explained(lease):
        sync(unfinished)  # a lease without its owner's name, after a power cut, would hold for ever
        os.rename(unfinished, lease)
    return True


def _collector(directory: Path) -> Owner | None:
    """Who deletes from the store now; None where no living process does."""
    lock = directory / COLLECTOR
    owner = holder(lock)
    if owner is None and lock.exists():
        return Owner("", "", "", 0, "")
    return owner if owner and not owner.dead else None


def _leases(directory: Path) -> Iterator[Lease]:
    """The leases that hold; those of dead owners are removed."""
    for path in sorted(directory.iterdir()):
        match = _NAME.fullmatch(path.name)
        owner = holder(path) if match else None
        if owner and owner.dead:
            path.unlink(missing_ok=True)
        elif match and not match[1] and path.exists():  # it may have been given back since it was listed
            yield Lease(match[2], owner, path)
