"""`bundle export` against `cp` of the same blobs to the same place. Ours is hashed twice and synced, theirs is not."""

from __future__ import annotations

import os
import resource
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from scripts.bench.measure import Contender, Figure, medians
from scripts.bench.push import MEGABYTES, TMPFS, bundle_of

GOAL = 0.9
"""Times cp's throughput."""
MEMORY = 150 << 20


def figures(rounds: int = 3) -> Iterator[Figure]:
    """1.5 GB in eight files, on tmpfs."""
    with TemporaryDirectory(dir=TMPFS, prefix="bundle-bench-") as directory:
        place = Path(directory)
        store = bundle_of(place / "store", 8)
        files = sorted((str(path) for path in store.blobs.iterdir()), key=os.path.getsize)[-8:]
        media = place / "media"

        def empty() -> None:
            shutil.rmtree(media, ignore_errors=True)
            media.mkdir()

        bundle = str(Path(sys.executable).with_name("bundle"))
        ours = (bundle, "export", "bench", str(media), "--store", str(store.root), "-q")
        taken = medians(
            [Contender("cp", ("cp", *files, str(media)), empty), Contender("bundle export", ours, empty)], rounds
        )
    seconds, theirs = taken["bundle export"], taken["cp"]
    ratio = theirs / seconds
    value = f"{MEGABYTES / seconds:.0f} MB/s, cp {MEGABYTES / theirs:.0f} MB/s: {ratio:.2f} x"
    yield Figure("export of 1.5 GB / cp", value, f">= {GOAL} x", ratio >= GOAL)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10
    yield Figure("export, peak memory", f"{peak >> 20} MiB", f"<= {MEMORY >> 20} MiB", peak <= MEMORY)
