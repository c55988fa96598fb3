"""What killed rehearsals left in a store: links that keep the bytes of bundles which are gone."""

from __future__ import annotations

import shutil
from pathlib import Path

from bundler.store.layout import Store
from bundler.store.locking import Held, holding

REHEARSALS, RUN = "rehearsals", "run"


def clear(directory: Path) -> None:
    """Remove a directory with all that a container may have made in it; links are removed, not followed."""
    shutil.rmtree(directory, ignore_errors=True)


def clear_dead(store: Store) -> tuple[str, ...]:
    """Remove the directories of rehearsals whose process is gone. Returns their bundles' names."""
    gone = []
    for left in sorted((store.root / REHEARSALS).glob(f"*/{RUN}")):
        try:
            with holding(left.parent / "lock", "a rehearsal", patience=0):
                clear(left)
        except Held:
            continue
        if not left.exists():
            gone.append(left.parent.name)
    return tuple(gone)
