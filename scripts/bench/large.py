"""What a bundle of 10 GB takes of a machine: the most memory and disk while it is built, verified, exported, imported.

The hub's files are holes but for their beginnings, so that they take no room; the store's are written out.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

from bundler.core.size import format_size
from scripts.bench.hub import REPOSITORY
from scripts.bench.measure import Figure, peaks
from scripts.world.hub.process import HubProcess
from scripts.world.ports import free_port

SIZES = (4_500_000_000, 2_500_000_000, 2_000_000_000, 1_000_000_000)
"""Bytes of the model's files. The first is longer than a volume, so that it is cut and joined."""
VOLUME = "4GiB"
MEMORY = 150_000_000
SPARE = 64 << 20
"""Bytes on the disk beyond the payload: chunks in flight, tar headers, the agent, the file system's own rounding."""


def figures(directory: Path) -> Iterator[Figure]:
    """Build from a hub, verify, export onto the same disk, import into another store; once each."""
    hub = _hub(directory)
    manifest = directory / "large.yaml"
    manifest.write_text(f'name: large\nversion: "1"\nmodels:\n  base: {{huggingface: {REPOSITORY}}}\n')
    store, media, other = directory / "store", directory / "media", directory / "other"
    try:
        environment = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(directory / "hf")}
        yield from _step("build", (str(manifest), "--store", str(store)), store, sum(SIZES), environment)
    finally:
        hub.stop()
    yield from _step("verify", ("large", "--store", str(store)), store, sum(SIZES))
    media.mkdir()
    volumes = ("large", str(media), "--store", str(store), "--volume-size", VOLUME)
    yield from _step("export", volumes, media, sum(SIZES))
    shutil.rmtree(store)
    yield from _step("import", (str(media), "--store", str(other)), other, sum(SIZES))


def _step(
    verb: str, arguments: tuple[str, ...], watched: Path, payload: int, environment: Mapping[str, str] | None = None
) -> Iterator[Figure]:
    command = (str(Path(sys.executable).with_name("bundle")), verb, *arguments, "-q")
    began = time.perf_counter()
    found = peaks(command, watched, environment)
    seconds = time.perf_counter() - began
    value = f"{format_size(found.memory)} ({seconds:.0f} s)"
    yield Figure(f"{verb} of 10 GB, peak RSS", value, f"<= {format_size(MEMORY)}", found.memory <= MEMORY)
    value = f"payload {format_size(payload)} + {format_size(max(0, found.disk - payload))}"
    yield Figure(f"{verb} of 10 GB, peak disk", value, "payload + chunks", found.disk <= payload + SPARE)


def _hub(directory: Path) -> HubProcess:
    model = directory / "hub" / REPOSITORY
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    for number, size in enumerate(SIZES):
        with (model / f"model-{number}.safetensors").open("wb") as file:
            file.write(os.urandom(1_000_000))
            file.truncate(size)
    hub = HubProcess(directory / "hub", free_port(), directory / "state", tied=True)
    hub.start()
    # The stand-in hashes its files when it is first asked for them; a hub has done so long before.
    urllib.request.urlopen(f"{hub.endpoint}/api/models/{REPOSITORY}", timeout=120).close()
    return hub
