"""Model files from a hub on the loopback, hashed and synced by us, against `curl -o` of the same files.

`curl` neither hashes nor syncs. Beside the plain comparison, on tmpfs where a sync is free, stands one on the disk
with the peer synced too, and one where the peer's files are hashed after it. The hub sends with sendfile(2), as nginx
does; it works on the same cores.
"""

from __future__ import annotations

import os
import shutil
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from scripts.bench.fill import empty
from scripts.bench.measure import Contender, Figure, medians
from scripts.bench.push import TMPFS
from scripts.world.hub.process import HubProcess
from scripts.world.ports import free_port

REPOSITORY = "bench/model"
FILES, MEGABYTES = 4, 1000
"""So long that our start, 0.8 s with the hub's library, does not decide."""
GOAL = 0.9


def figures(directory: Path, rounds: int = 3) -> Iterator[Figure]:
    """4 GB of weights in four files, into tmpfs and onto the disk of `directory`."""
    with TemporaryDirectory(dir=TMPFS, prefix="bundle-bench-") as name:
        shared = Path(name)
        files = _model(shared / "hub" / REPOSITORY)
        manifest = directory / "bench.yaml"
        manifest.write_text(f'name: bench\nversion: "1"\nmodels:\n  base: {{huggingface: {REPOSITORY}}}\n')
        hub = HubProcess(shared / "hub", free_port(), directory / "state", tied=True)
        hub.start()
        try:
            # The stand-in hashes its files when it is first asked for them; a hub has done so long before.
            urllib.request.urlopen(f"{hub.endpoint}/api/models/{REPOSITORY}", timeout=120).close()
            yield from _compared("tmpfs", shared, manifest, hub, files, rounds)
            yield from _compared("disk", directory, manifest, hub, files, rounds)
        finally:
            hub.stop()


def _compared(
    where: str, directory: Path, manifest: Path, hub: HubProcess, files: list[str], rounds: int
) -> Iterator[Figure]:
    ours, theirs = directory / "ours", directory / "theirs"

    def clear() -> None:
        empty(ours)
        empty(theirs)
        theirs.mkdir()

    curl = ["curl", "-sfL"]
    for file in files:
        curl += ["-o", str(theirs / file), f"{hub.endpoint}/{REPOSITORY}/resolve/main/{file}"]
    bundle = str(Path(sys.executable).with_name("bundle"))
    contenders = [Contender("bundle", (bundle, "build", str(manifest), "--store", str(ours)), clear)]
    if where == "tmpfs":  # where a sync costs nothing
        summed = f'"$@" && sha256sum {theirs}/*'
        contenders += [
            Contender("curl -o", curl, clear),
            Contender("curl -o, sha256sum", ("sh", "-c", summed, "sh", *curl), clear),
        ]
    else:
        contenders.append(Contender("curl -o, sync", ("sh", "-c", f'"$@" && sync -f {theirs}', "sh", *curl), clear))
    taken = medians(contenders, rounds, {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(directory / "hf")})
    for place in (ours, theirs):
        shutil.rmtree(place, ignore_errors=True)
    seconds = taken.pop("bundle")
    for peer, other in taken.items():
        ratio = other / seconds
        value = f"{seconds:.2f} s, peer {other:.2f} s: {ratio:.2f} x its rate"
        goal = f">= {GOAL} x" if peer == "curl -o" else ""
        what = f"{FILES * MEGABYTES / 1000:.0f} GB from a hub, {where} / {peer}"
        yield Figure(what, value, goal, peer != "curl -o" or ratio >= GOAL)


def _model(place: Path) -> list[str]:
    place.mkdir(parents=True)
    (place / "config.json").write_text("{}")
    names = [f"model-{number}.safetensors" for number in range(FILES)]
    for name in names:
        with (place / name).open("wb") as file:
            for _ in range(MEGABYTES):
                file.write(os.urandom(1_000_000))
    return names
