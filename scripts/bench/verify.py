"""`bundle verify` against `openssl speed -multi`: a bundle in the page cache, and a hash of nothing but memory.

`openssl speed` hashes one block over and over and reads no file; so `openssl dgst` of the same files, a process a
core, stands beside it. What is between the two is the kernel's copying of each byte out of the page cache.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bundler.store.layout import Store
from scripts.bench.measure import Figure
from scripts.bench.push import MEGABYTES, bundle_of

GOAL = 0.9
"""Times what openssl hashes from memory on as many cores."""
_SECONDS = 1


def figures(directory: Path, rounds: int = 5) -> Iterator[Figure]:
    """2 GB in eight files, just written, taking turns with openssl."""
    store = bundle_of(directory / "store", 8).root
    empty = Store.create(directory / "empty").root
    ours, speed, dgst = [], [], []
    for _ in range(rounds):
        speed.append(_openssl())
        start = _verify(empty)
        ours.append(MEGABYTES / (_verify(store) - start))
        dgst.append(_dgst(store))
    rate, peer, same = (statistics.median(rates) for rates in (ours, speed, dgst))
    value = f"{rate:.0f} MB/s, openssl {peer:.0f} MB/s: {rate / peer:.2f} x"
    yield Figure("verify of 2 GB, cached / openssl speed -multi", value, f">= {GOAL} x", rate >= GOAL * peer)
    value = f"{rate:.0f} MB/s, openssl {same:.0f} MB/s: {rate / same:.2f} x"
    yield Figure("the same / openssl dgst of the same files, a process a core", value, "", reached=True)


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


def _dgst(store: Path) -> float:
    """MB a second that openssl hashes out of the store's blobs, a process a core."""
    blobs = sorted(Store(store).blobs.iterdir(), key=lambda path: path.stat().st_size)
    cores = os.cpu_count() or 1
    began = time.perf_counter()
    running = [
        subprocess.Popen(("openssl", "dgst", "-sha256", *map(str, share)), stdout=subprocess.DEVNULL)
        for core in range(cores)
        if (share := blobs[core::cores])
    ]
    for process in running:
        if process.wait():
            raise subprocess.CalledProcessError(process.returncode, process.args)
    return MEGABYTES / (time.perf_counter() - began)
