"""The doors of hosts without a shell against the tools that go through them: a loopback sshd, far side on tmpfs."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from scripts.bench.measure import Contender, Figure, medians
from scripts.bench.push import MEGABYTES, TMPFS, bundle_of
from scripts.world.sshd import SshServer

GOAL = 1.0
"""Times the throughput of the tool; ours hashes the source meanwhile."""


def figures(rounds: int = 3) -> Iterator[Figure]:
    """2 GB in eight files."""
    with TemporaryDirectory(dir=TMPFS, prefix="bundle-bench-") as directory:
        place = Path(directory)
        store = bundle_of(place / "store", 8)
        files = sorted((str(path) for path in store.blobs.iterdir()), key=lambda name: Path(name).stat().st_size)[-8:]
        far = place / "far"
        batch = place / "batch"
        batch.write_text("".join(f"put {file} {far}\n" for file in files))

        def empty() -> None:
            shutil.rmtree(far, ignore_errors=True)
            far.mkdir()

        with SshServer(place / "sshd") as server:
            bundle = str(Path(sys.executable).with_name("bundle"))
            target = f"{server.alias}:{far}"
            ours = (
                bundle,
                "push",
                "bench",
                target,
                "--store",
                str(store.root),
                "--ssh-config",
                str(server.config),
                "-q",
            )
            ssh = ("-q", "-F", str(server.config))
            contenders = [
                Contender("sftp door", (*ours, "--door", "sftp"), empty),
                Contender("sftp", ("sftp", *ssh, "-b", str(batch), server.alias), empty),
                Contender("scp door", (*ours, "--door", "scp"), empty),
                Contender("scp", ("scp", "-O", *ssh, *files, target), empty),
            ]
            taken = medians(contenders, rounds, {"XDG_STATE_HOME": str(place / "state")})
    for name in ("sftp", "scp"):
        mine, theirs = taken[f"{name} door"], taken[name]
        value = f"{MEGABYTES / mine:.0f} MB/s, {name} {MEGABYTES / theirs:.0f} MB/s: {theirs / mine:.2f} x"
        goal = f">= {GOAL} x" if name == "sftp" else ""  # scp is the last resort
        yield Figure(f"{name} door, 2 GB in 8 files / {name}", value, goal, not goal or theirs / mine >= GOAL)
