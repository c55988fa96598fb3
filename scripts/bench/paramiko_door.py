"""The paramiko door against plain paramiko.SFTPClient.put: a loopback sshd, the far side on tmpfs."""

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
"""Times the throughput of paramiko's own put; 2.0 is hoped for."""

_PUT = """
import sys, paramiko
port, key, far, *files = sys.argv[1:]
client = paramiko.SSHClient()
client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
client.connect("127.0.0.1", int(port), key_filename=key, allow_agent=False, look_for_keys=False)
with client.open_sftp() as sftp:
    for file in files:
        sftp.put(file, f"{far}/{file.rpartition('/')[2]}")
client.close()
"""


def figures(rounds: int = 3) -> Iterator[Figure]:
    """2 GB in eight files."""
    with TemporaryDirectory(dir=TMPFS, prefix="bundle-bench-") as directory:
        place = Path(directory)
        store = bundle_of(place / "store", 8)
        files = sorted((str(path) for path in store.blobs.iterdir()), key=lambda name: Path(name).stat().st_size)[-8:]
        far = place / "far"

        def empty() -> None:
            shutil.rmtree(far, ignore_errors=True)
            far.mkdir()

        with SshServer(place / "sshd") as server:
            bundle = str(Path(sys.executable).with_name("bundle"))
            config = ("--ssh-config", str(server.config), "--client", "paramiko", "-q")
            ours = (bundle, "push", "bench", f"{server.alias}:{far}", "--store", str(store.root), *config)
            put = (sys.executable, "-c", _PUT, str(server.port), str(server.client_key), str(far), *files)
            contenders = [Contender("paramiko door", ours, empty), Contender("SFTPClient.put", put, empty)]
            taken = medians(contenders, rounds, {"XDG_STATE_HOME": str(place / "state")})
    mine, theirs = taken["paramiko door"], taken["SFTPClient.put"]
    value = f"{MEGABYTES / mine:.0f} MB/s, put {MEGABYTES / theirs:.0f} MB/s: {theirs / mine:.2f} x"
    yield Figure("paramiko door / paramiko.SFTPClient.put", value, f">= {GOAL} x", theirs / mine >= GOAL)
