"""`bundle push` against scp and rsync: a loopback sshd, the source in the page cache, the far side on tmpfs.

Ours is hashed at the far side and theirs is not; both ends are on this machine, so its cores do the work of two.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from bundler.core.media_types import AGENT, RAW
from bundler.manifest.lock import FORMAT, Hardware, Lock, LockedAgent, LockedFile
from bundler.operations.build import record
from bundler.sources.modelpack import lock_files, put_manifest
from bundler.store.ingest import Ingest
from bundler.store.layout import Store
from scripts.bench.measure import Contender, Figure, medians
from scripts.world.sshd import SshServer

MEGABYTES = 1500
GOAL = 1.0
"""Times scp's throughput, with its default cipher."""
TMPFS = Path("/dev/shm")
QUIET_LOGIN = ("SetEnv SHLVL=1",)
"""Keeps the developer's ~/.bashrc out of the figures: bash reads it for the first shell of an SSH session only."""


def figures(rounds: int = 3) -> Iterator[Figure]:
    """1.5 GB in eight files, and in one."""
    for count in (8, 1):
        with TemporaryDirectory(dir=TMPFS, prefix="bundle-bench-") as directory:
            yield from _compared(Path(directory), count, rounds)


def _compared(place: Path, count: int, rounds: int) -> Iterator[Figure]:
    store = bench_bundle(place / "store", count)
    files = sorted((str(path) for path in store.blobs.iterdir()), key=os.path.getsize)[-count:]
    far = place / "far"

    def empty() -> None:
        shutil.rmtree(far, ignore_errors=True)
        far.mkdir()

    with SshServer(place / "sshd", options=QUIET_LOGIN) as server:
        ssh = ("-F", str(server.config))
        target = f"{server.alias}:{far}"
        bundle = str(Path(sys.executable).with_name("bundle"))
        ours = (bundle, "push", "bench", target, "--store", str(store.root), "--ssh-config", str(server.config), "-q")
        contenders = [
            Contender("bundle push", ours, empty),
            Contender("scp", ("scp", "-q", *ssh, *files, target), empty),
            Contender("scp aes128-gcm", ("scp", "-q", "-c", "aes128-gcm@openssh.com", *ssh, *files, target), empty),
            Contender("rsync", ("rsync", "-a", "--inplace", "-W", "-e", f"ssh {' '.join(ssh)}", *files, target), empty),
        ]
        taken = medians(contenders, rounds, {"XDG_STATE_HOME": str(place / "state")})
    ours_seconds = taken.pop("bundle push")
    rate = f"{MEGABYTES / ours_seconds:.0f} MB/s"
    for name, seconds in taken.items():
        ratio = seconds / ours_seconds
        what = f"push of 1.5 GB in {count} file{'s' if count > 1 else ''} / {name}"
        goal = f">= {GOAL} x" if name == "scp" else ""
        value = f"{rate}, {name} {MEGABYTES / seconds:.0f} MB/s: {ratio:.2f} x"
        yield Figure(what, value, goal, name != "scp" or ratio >= GOAL)


def bench_bundle(root: Path, count: int) -> Store:
    """A store with one bundle: a model of so many files of random bytes."""
    store = Store.create(root)
    files = []
    for number in range(count):
        with Ingest(store) as blob:
            for _ in range(MEGABYTES // count):
                blob.write(os.urandom(1_000_000))
            made = blob.commit(RAW)
        files.append(LockedFile(f"model-{number}.safetensors", made.digest, made.size))
    model = lock_files("base", "bench", files)
    put_manifest(model, store)
    agent = LockedAgent("0", store.put(b"#!/bin/sh\n", AGENT))
    record(Lock(FORMAT, "bench", "1", agent, Hardware(), models=(model,)), store)
    return store
