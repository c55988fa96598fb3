"""`bundle export` against `cp` of the same blobs to the same place.

Ours hashes each byte twice, for the blob's name and for SHA256SUMS, and syncs; `cp` does neither. So there are two more
peers: `cp` with the sync, and `cp` after which both sides are hashed, which is what it takes to know as much.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from scripts.bench.fill import empty
from scripts.bench.measure import Contender, Figure, medians
from scripts.bench.push import MEGABYTES, TMPFS, bundle_of

GOAL = 0.9
"""Times cp's throughput."""


def figures(directory: Path, rounds: int = 3) -> Iterator[Figure]:
    """2 GB in eight files out of tmpfs: into tmpfs, and onto the disk of `directory`."""
    with TemporaryDirectory(dir=TMPFS, prefix="bundle-bench-") as shared:
        store = bundle_of(Path(shared) / "store", 8)
        files = sorted((str(path) for path in store.blobs.iterdir()), key=os.path.getsize)[-8:]
        for where, media in (("tmpfs", Path(shared) / "media"), ("disk", directory / "media")):
            yield from _compared(where, store.root, files, media, rounds)


def _compared(where: str, store: Path, files: list[str], media: Path, rounds: int) -> Iterator[Figure]:
    def clear() -> None:
        empty(media)
        media.mkdir()

    bundle = str(Path(sys.executable).with_name("bundle"))
    copy = f'cp "$@" {media} && sync -f {media}'
    both = f'openssl dgst -sha256 "$@" & openssl dgst -sha256 {media}/*; wait'
    taken = medians(
        [
            Contender("bundle", (bundle, "export", "bench", str(media), "--store", str(store), "-q"), clear),
            Contender("cp", ("cp", *files, str(media)), clear),
            Contender("cp, sync", ("sh", "-c", copy, "sh", *files), clear),
            Contender("cp, sync, openssl dgst of both sides", ("sh", "-c", f"{copy}; {both}", "sh", *files), clear),
        ],
        rounds,
    )
    shutil.rmtree(media)
    ours = taken.pop("bundle")
    for peer, seconds in taken.items():
        ratio = seconds / ours
        value = f"{MEGABYTES / ours:.0f} MB/s, peer {MEGABYTES / seconds:.0f} MB/s: {ratio:.2f} x"
        goal = f">= {GOAL} x" if peer == "cp" else ""
        yield Figure(f"export of 2 GB, {where} / {peer}", value, goal, peer != "cp" or ratio >= GOAL)
