"""Model files from a hub on the loopback, hashed by us, against `curl -o` of the same files, which hashes nothing."""

from __future__ import annotations

import os
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from scripts.bench.fill import empty
from scripts.bench.measure import Contender, Figure, medians
from scripts.world.hub.process import HubProcess
from scripts.world.ports import free_port

REPOSITORY = "bench/model"
FILES, MEGABYTES = 4, 250
GOAL = 0.9


def figures(directory: Path, rounds: int = 3) -> Iterator[Figure]:
    """1 GB of weights in four files."""
    model = directory / "hub" / REPOSITORY
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    names = [f"model-{number}.safetensors" for number in range(FILES)]
    for name in names:
        (model / name).write_bytes(os.urandom(MEGABYTES * 1_000_000))
    manifest = directory / "bench.yaml"
    manifest.write_text(f'name: bench\nversion: "1"\nmodels:\n  base: {{huggingface: {REPOSITORY}}}\n')
    hub = HubProcess(directory / "hub", free_port(), directory / "state", tied=True)
    hub.start()
    try:
        # The stand-in hashes its files when it is first asked for them; a hub has done so long before.
        urllib.request.urlopen(f"{hub.endpoint}/api/models/{REPOSITORY}", timeout=120).close()
        ours, theirs = directory / "ours", directory / "theirs"
        bundle = str(Path(sys.executable).with_name("bundle"))

        def clear() -> None:
            empty(theirs)
            theirs.mkdir()

        urls = [f"{hub.endpoint}/{REPOSITORY}/resolve/main/{name}" for name in names]
        curl = ["curl", "-sfL"]
        for url, name in zip(urls, names, strict=True):
            curl += ["-o", str(theirs / name), url]
        taken = medians(
            [
                Contender("bundle build", (bundle, "build", str(manifest), "--store", str(ours)), lambda: empty(ours)),
                Contender("curl", curl, clear),
                Contender("curl, sha256sum", ("sh", "-c", f'"$@" && sha256sum {theirs}/*', "sh", *curl), clear),
            ],
            rounds,
            {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(directory / "hf")},
        )
    finally:
        hub.stop()
    ratio = taken["curl"] / taken["bundle build"]
    value = f"{taken['bundle build']:.2f} s, curl {taken['curl']:.2f} s: {ratio:.2f} x its rate"
    yield Figure("1 GB of model files from a hub, hashed / curl -o", value, f">= {GOAL} x", ratio >= GOAL)
    ratio = taken["curl, sha256sum"] / taken["bundle build"]
    value = f"{ratio:.2f} x the rate of curl -o && sha256sum"
    yield Figure("the same / curl -o, then sha256sum", value, "", reached=True)
