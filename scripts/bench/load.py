"""An image out of a store into the engine, against `docker load -i` of the same image; and what we write besides.

`up` does it after it has verified, so what is timed is its step `load` in a process of its own, start included. The
peers get what people carry: the tar of `docker save` through gzip, our own `export --docker`, which holds the layers in
gzip, and the bare tar of `docker save`, which is twice as long and needs nothing inflated. All lie in the page cache.

Beside the seconds stand those of the CPU, of the engine, of what it runs to unpack, and of the client: other work on
the machine changes them less.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bundler.core.records import to_json
from bundler.core.size import format_size
from bundler.manifest.lock import LockedImage
from bundler.media import docker_image
from bundler.store.layout import Store
from scripts.bench.image import make_image
from scripts.bench.measure import Contender, Figure, medians
from scripts.world.engine import Engine, online_engine
from scripts.world.place import Place

GOAL = 1.05
AGAIN_GOAL = 1.0
WRITTEN_GOAL = 64 << 10
"""Bytes that count as none: the note of a load, and its directories."""
IMAGE = "bench/serve:1"
"""The name that our load gives it, of the bundle bench:1."""

_LOAD = """
import sys
from pathlib import Path
from bundler.core.events import Silence
from bundler.core.records import from_bytes
from bundler.core.reference import BundleName
from bundler.engine.docker import DockerEngine
from bundler.engine.durable_images import LoadNotes
from bundler.engine.load import load
from bundler.manifest.lock import LockedImage
from bundler.store.layout import Store
store, image, notes = sys.argv[1:]
locked = from_bytes(LockedImage, Path(image).read_bytes(), image)
load(Store(Path(store)), BundleName("bench", "1"), (locked,), DockerEngine.connect(), Silence(), LoadNotes(Path(notes)))
(written,) = (line.split()[1] for line in Path("/proc/self/io").read_text().splitlines() if line.startswith("write_b"))
print(written)
"""
"""What it prints last is what this process has caused to be written to disks (proc(5), /proc/PID/io, write_bytes)."""


def figures(directory: Path, rounds: int = 3) -> Iterator[Figure]:
    """The image into an engine that has nothing of it, taking turns; then again, with it there."""
    store = Store.create(directory / "store")
    image = make_image(store)
    described = directory / "image.json"
    described.write_text(json.dumps(to_json(image)))
    ours = (sys.executable, "-B", "-c", _LOAD, str(store.root), str(described), str(directory / "notes"))
    place = Place.default()
    engine = online_engine(f"bw-{place.tag}-bench", directory / "engine", place.runtime / "bench", tied=True)
    engine.start()
    try:
        written = int(_run(ours, engine))
        tars = _tars(directory, store, image, engine)
        loads = {name: ("docker", "--host", engine.host, "load", "-q", "-i", str(tar)) for name, tar in tars.items()}
        taken = _taken({"ours": ours, **loads}, engine, rounds)
        _run(ours, engine)
        again = medians([Contender("again", ours)], rounds, engine.environment())["again"]
    finally:
        engine.stop(purge=True)
    mine = taken.pop("ours")
    for name, peer in taken.items():
        ratio = mine.seconds / peer.seconds
        value = f"{mine.seconds:.1f} / {peer.seconds:.1f} s = {ratio:.2f} x; CPU {mine.cpu:.1f} / {peer.cpu:.1f} s"
        yield Figure(f"load of an image of 2.2 GB / docker load -i of {name}", value, f"<= {GOAL} x", ratio <= GOAL)
    said = f"{format_size(written)}, of {format_size(sum(blob.size for blob in image.blobs))}"
    yield Figure("bytes that we write for it, besides the engine", said, "0 but for a note", written <= WRITTEN_GOAL)
    yield Figure("load with the image there", f"{again:.2f} s", f"<= {AGAIN_GOAL:.0f} s", again <= AGAIN_GOAL)


@dataclass(frozen=True)
class _Taken:
    """Medians: seconds, and seconds of CPU of client and engine together."""

    seconds: float
    cpu: float


def _taken(commands: Mapping[str, tuple[str, ...]], engine: Engine, rounds: int) -> dict[str, _Taken]:
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    cpu: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            engine.docker("rmi", "-f", IMAGE, check=False)
            os.sync()
            busy, began = _cpu(engine), time.perf_counter()
            _run(command, engine)
            seconds[name].append(time.perf_counter() - began)
            cpu[name].append(_cpu(engine) - busy)
    return {name: _Taken(statistics.median(seconds[name]), statistics.median(cpu[name])) for name in commands}


def _cpu(engine: Engine) -> float:
    """Seconds of CPU of the engine, of what it has run, and of what this process has run (proc(5), /proc/PID/stat)."""
    mark = engine.daemon.mark()
    fields = Path(f"/proc/{mark.pid}/stat").read_text().rpartition(")")[2].split() if mark else []
    ours = resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK") + ours.ru_utime + ours.ru_stime


def _tars(directory: Path, store: Store, image: LockedImage, engine: Engine) -> dict[str, Path]:
    """The image as the tars that people carry, synced. It is in the engine."""
    saved, squeezed, exported = (directory / name for name in ("saved.tar", "saved.tar.gz", "exported.tar"))
    engine.docker("save", "-o", str(saved), IMAGE)
    with squeezed.open("wb") as file:
        subprocess.run((sys.executable, "-m", "isal.igzip", "-2", "-c", str(saved)), stdout=file, check=True)
    with exported.open("wb") as tar:
        for chunk in docker_image.stream(store, image, IMAGE, lambda *_: None):
            tar.write(chunk)
    os.sync()
    return {"docker save | gzip": squeezed, "its export --docker": exported, "docker save": saved}


def _run(command: tuple[str, ...], engine: Engine) -> str:
    done = subprocess.run(command, env=engine.environment(), check=True, capture_output=True, text=True)
    return done.stdout.strip()
