"""Locks that are right without flock: a file made with O_EXCL that says who holds it, on any file system."""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bundler.core.durable import explained, sync
from bundler.core.errors import LockedByAnother
from bundler.core.owner import Owner

PATIENCE = 30.0
"""Seconds to wait for a lock that another process holds, unless told otherwise."""


class Held(LockedByAnother):
    """A lock whose owner lives, or can't be known to be dead."""

    def __init__(self, what: str, path: Path, owner: Owner) -> None:
        super().__init__(
            f"{what} is in use by {owner}",
            because=f"its lock is {path}",
            hint=f"wait for it to end; if you know that it is gone: rm {shlex.quote(str(path))}",
        )


@contextmanager
def holding(path: Path, what: str, *, patience: float = PATIENCE) -> Iterator[None]:
    """Hold a lock for the length of a block; `what` names it in the error. A dead owner's lock is taken over.

    Raises Held after `patience` seconds.
    """
    deadline = time.monotonic() + patience
    with explained(path):
        while not _acquire(path):
            owner = holder(path)
            if owner and owner.dead:
                _break(path, owner, what, max(0.0, deadline - time.monotonic()))
            elif time.monotonic() >= deadline:
                raise Held(what, path, owner or Owner("", "", "", 0, ""))
            else:
                time.sleep(0.05)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _acquire(path: Path) -> bool:
    """Write our name aside, then link it to the lock's name: whole when seen, atomic also over NFS."""
    mine = path.with_name(f"{path.name}.{Owner.me().key}.{time.monotonic_ns()}")
    mine.write_text(json.dumps(Owner.me().to_json()))
    sync(mine)  # a lock without its owner's name, after a power cut, would be held for ever
    try:
        os.link(mine, path)
    except FileExistsError:
        return False
    finally:
        mine.unlink()
    return True


def holder(path: Path) -> Owner | None:
    """Who a lock's file says holds it; None where there is no such file, or it can't be read."""
    try:
        return Owner.parse(json.loads(path.read_text()))
    except (OSError, ValueError, AttributeError):
        return None


def _break(path: Path, dead: Owner, what: str, patience: float) -> None:
    """Remove a dead owner's lock, unless another did it meanwhile. Raises Held after `patience` seconds.

    Only who holds the lock `PATH.stale` does so: else one who looked before the first had taken the lock over would
    remove a living owner's. A breaker that died is broken in the same way.
    """
    with holding(path.with_name(f"{path.name}.stale"), what, patience=patience):
        if holder(path) == dead:
            path.unlink()
