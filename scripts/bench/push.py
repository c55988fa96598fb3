"""`bundle push` against scp and rsync: a loopback sshd, the source in the page cache, the far side on tmpfs.

Ours is hashed at the far side and theirs is not; both ends are on this machine, so its cores do the work of two.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bundler.core.digest import Digest
from bundler.core.media_types import AGENT, RAW
from bundler.manifest.lock import FORMAT, Hardware, Lock, LockedAgent, LockedFile
from bundler.operations.record import record
from bundler.sources.modelpack import lock_files, put_manifest
from bundler.store.ingest import Ingest
from bundler.store.layout import Store
from scripts.bench.delay import Delay
from scripts.bench.measure import Contender, Figure, medians, peaks
from scripts.world.sshd import SshServer

MEGABYTES = 2000
GOALS = {"scp": 2.0, "scp aes128-gcm": 1.3, "rsync": 1.5}
"""Times the peer's throughput."""
SMALL, SMALL_BYTES, SMALL_GOAL = 1000, 64_000, 10.0
SHARE = 10
"""scp is given one of so many of them, and its time counts so often: for all it takes a quarter of an hour."""
DELAY = 0.2
"""Seconds that a round trip takes longer, for the small blobs."""
LAYERS, LAYER_BYTES = 12, 20_000_000
MEMORY = 150_000_000
TMPFS = Path("/dev/shm")


def figures(rounds: int = 3) -> Iterator[Figure]:
    """2 GB in eight files, and in one; nothing to send; one layer of twelve; small blobs over a long way."""
    for count in (8, 1):
        with _place() as directory:
            yield from _compared(Path(directory), count, rounds)
    with _place() as directory:
        yield from _changed(Path(directory))
    with _place() as directory:
        yield from _far_away(Path(directory))


def _place() -> TemporaryDirectory[str]:
    return TemporaryDirectory(dir=TMPFS, prefix="bundle-bench-")


def _compared(place: Path, count: int, rounds: int) -> Iterator[Figure]:
    store = bundle_of(place / "store", count)
    files = sorted((str(path) for path in store.blobs.iterdir()), key=os.path.getsize)[-count:]
    far = place / "far"

    def empty() -> None:
        shutil.rmtree(far, ignore_errors=True)
        far.mkdir()

    with SshServer(place / "sshd") as server:
        ssh = ("-F", str(server.config))
        target = f"{server.alias}:{far}"
        contenders = [
            Contender("bundle push", _push(store, target, server), empty),
            Contender("scp", ("scp", "-q", *ssh, *files, target), empty),
            Contender("scp aes128-gcm", ("scp", "-q", "-c", "aes128-gcm@openssh.com", *ssh, *files, target), empty),
            Contender("rsync", ("rsync", "-a", "--inplace", "-W", "-e", f"ssh {' '.join(ssh)}", *files, target), empty),
        ]
        state = {"XDG_STATE_HOME": str(place / "state")}
        taken = medians(contenders, rounds, state)
        empty()
        peak = peaks(_push(store, target, server), place / "state", state).memory
        again = medians([Contender("again", _push(store, target, server))], rounds, state)["again"]
    ours_seconds = taken.pop("bundle push")
    rate = f"{MEGABYTES / ours_seconds:.0f} MB/s"
    files_word = f"{count} file{'s' if count > 1 else ''}"
    for name, seconds in taken.items():
        ratio = seconds / ours_seconds
        value = f"{rate}, {name} {MEGABYTES / seconds:.0f} MB/s: {ratio:.2f} x"
        yield Figure(f"push of 2 GB in {files_word} / {name}", value, f">= {GOALS[name]} x", ratio >= GOALS[name])
    yield Figure(f"push of 2 GB in {files_word}, peak RSS", f"{peak / 1e6:.0f} MB", "<= 150 MB", peak <= MEMORY)
    yield Figure(f"push of {files_word}, nothing to send", f"{again:.2f} s", "<= 1 s", again <= 1)


def _changed(place: Path) -> Iterator[Figure]:
    """Two versions of a bundle of twelve files, of which one differs."""
    sizes = [LAYER_BYTES] * LAYERS
    store = bundle_of_sizes(place / "store", sizes)
    with SshServer(place / "sshd") as server:
        target = f"{server.alias}:{place / 'far'}"
        words = (*_push(store, target, server), "-o", "json")
        environment = {**os.environ, "XDG_STATE_HOME": str(place / "state")}
        subprocess.run(words, env=environment, check=True, capture_output=True)
        bundle_of_sizes(place / "store", sizes, first=1)
        done = subprocess.run(words, env=environment, check=True, capture_output=True)
    share = json.loads(done.stdout)["moved"] / LAYER_BYTES
    yield Figure("one of 12 layers changed: bytes sent / its bytes", f"{share:.5f}", "<= 1.01", share <= 1.01)


def _far_away(place: Path) -> Iterator[Figure]:
    """A thousand small blobs over a way of 200 ms more, once: scp waits for each of them."""
    store = bundle_of_sizes(place / "store", [SMALL_BYTES] * SMALL)
    loose = place / "loose"
    loose.mkdir()
    small = [path for path in store.blobs.iterdir() if path.stat().st_size == SMALL_BYTES]
    for path in small[: SMALL // SHARE]:
        os.link(path, loose / path.name)
    with SshServer(place / "sshd") as server, Delay(server.port, DELAY / 2) as delay:
        config = place / "delayed"
        config.write_text(
            f"Host {server.alias}\n  Port {delay.port}\n  HostKeyAlias [127.0.0.1]:{server.port}\n"
            + server.config.read_text()
        )
        target = f"{server.alias}:{place / 'far'}"
        contenders = [
            Contender("bundle push", _push(store, target, server, config)),
            Contender("scp -r", ("scp", "-q", "-r", "-F", str(config), str(loose), f"{server.alias}:{place / 'scp'}")),
        ]
        taken = medians(contenders, 1, {"XDG_STATE_HOME": str(place / "state")})
    ratio = taken["scp -r"] * SHARE / taken["bundle push"]
    value = f"{taken['bundle push']:.1f} s, scp -r {taken['scp -r']:.1f} s for {SMALL // SHARE} of them: {ratio:.1f} x"
    yield Figure("push of 1000 x 64 kB, 200 ms away / scp -r", value, f">= {SMALL_GOAL:.0f} x", ratio >= SMALL_GOAL)


def _push(store: Store, target: str, server: SshServer, config: Path | None = None) -> tuple[str, ...]:
    bundle = str(Path(sys.executable).with_name("bundle"))
    words = ("--store", str(store.root), "--ssh-config", str(config or server.config), "-q")
    return (bundle, "push", "bench", target, *words)


def bundle_of(root: Path, count: int) -> Store:
    """A store with one bundle: a model of so many files of random bytes, MEGABYTES in all."""
    return bundle_of_sizes(root, [MEGABYTES * 1_000_000 // count] * count)


def bundle_of_sizes(root: Path, sizes: Sequence[int], *, first: int = 0) -> Store:
    """A store with one bundle: a model of files of these bytes. The first `first` are made anew, the rest are kept."""
    store = Store.create(root)
    made = root.with_name(f"{root.name}.made")
    made.mkdir(exist_ok=True)
    files = []
    for number, size in enumerate(sizes):
        kept = made / str(number)
        if number < first or not kept.exists():
            with Ingest(store) as blob:
                for at in range(0, size, 1_000_000):
                    blob.write(os.urandom(min(1_000_000, size - at)))
                kept.write_text(blob.commit(RAW).digest.hex)
        files.append(LockedFile(f"model-{number}.safetensors", Digest(kept.read_text()), size))
    model = lock_files("base", "bench", files)
    put_manifest(model, store)
    agent = LockedAgent("0", store.put(b"#!/bin/sh\n", AGENT))
    record(Lock(FORMAT, "bench", "1", agent, Hardware(), models=(model,)), store)
    return store
