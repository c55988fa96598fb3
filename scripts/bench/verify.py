"""`bundle verify` against `openssl speed -multi`: a bundle in the page cache, and a hash of nothing but memory."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from bundler.store.layout import Store
from scripts.bench.measure import Figure
from scripts.bench.push import MEGABYTES, TMPFS, bundle_of

GOAL = 0.9
"""Times what openssl hashes from memory on as many cores."""
_SECONDS = 1


def figures(rounds: int = 5) -> Iterator[Figure]:
    """1.5 GB in eight files, taking turns with openssl."""
    with TemporaryDirectory(dir=TMPFS, prefix="bundle-bench-") as directory:
        store = bundle_of(Path(directory) / "store", 8).root
        empty = Store.create(Path(directory) / "empty").root
        ours, theirs = [], []
        for _ in range(rounds):
            theirs.append(_openssl())
            start = _verify(empty)
            ours.append(MEGABYTES / (_verify(store) - start))
    rate, peer = statistics.median(ours), statistics.median(theirs)
    value = f"{rate:.0f} MB/s, openssl {peer:.0f} MB/s: {rate / peer:.2f} x"
    yield Figure("verify of 1.5 GB, cached / openssl speed -multi", value, f">= {GOAL} x", rate >= GOAL * peer)


def _verify(store: Path) -> float:
    """Seconds of the whole command, for all bundles of a store. Of an empty one they are its start."""
    command = (str(Path(sys.executable).with_name("bundle")), "verify", "-q", "--store", str(store))
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def _openssl() -> float:
    """MB a second that openssl hashes in blocks of 1 MiB, on all cores."""
    command = ("openssl", "speed", "-seconds", str(_SECONDS), "-multi", str(os.cpu_count()), "-bytes", "1048576")
    said = subprocess.run((*command, "-evp", "sha256"), check=True, capture_output=True, text=True).stdout
    (kilobytes,) = re.findall(r"(?im)^sha256\s+([\d.]+)k", said)
    return float(kilobytes) / 1000
