"""Filling a store from a registry on the loopback, against what people do without us, and what it takes of a machine.

The peers: `skopeo copy docker:// oci:`, which hashes what comes as we do; and `docker pull && docker save | sha256sum`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bundler.core.size import format_size
from bundler.store.layout import Store
from scripts.bench.image import make_image
from scripts.bench.measure import Contender, Figure, medians, peaks
from scripts.world.engine import Engine
from scripts.world.parts import World
from scripts.world.registry import Registry

GOAL = 1.0
DOCKER_GOAL = 0.1
IDLE_GOAL = 1.0
MEMORY_GOAL = 150_000_000
SPARE = 64 << 20
"""Bytes on the disk beyond the payload: chunks in flight, the agent, the file system's own rounding."""


def figures(directory: Path, rounds: int = 3) -> Iterator[Figure]:
    """An image of 2.2 GB unpacked into an empty store; and nothing into a full one."""
    with Registry(directory / "registry", tied=True) as registry:
        reference = f"{registry.address}/bench/image:1"
        _push_image(directory / "image", reference)
        manifest = directory / "bench.yaml"
        manifest.write_text(f'name: bench\nversion: "1"\nimages:\n  serve: {{registry: "{reference}"}}\n')
        ours, theirs = directory / "ours", directory / "theirs"
        build = (str(Path(sys.executable).with_name("bundle")), "build", str(manifest), "--store", str(ours))
        copy = ("skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{reference}", f"oci:{theirs}:x")
        taken = medians(
            [
                Contender("bundle build", build, lambda: empty(ours)),
                Contender("skopeo copy", copy, lambda: empty(theirs)),
            ],
            rounds,
        )
        seconds = taken["bundle build"]
        ratio = seconds / taken["skopeo copy"]
        value = f"{seconds:.2f} s, skopeo {taken['skopeo copy']:.2f} s: {ratio:.2f} x"
        yield Figure("store filled with an image / skopeo copy", value, f"<= {GOAL} x", ratio <= GOAL)
        yield _idle(build, rounds)
        yield from _peaks(build, ours)
        empty(ours)
        empty(theirs)
        yield _docker(directory, reference, seconds)


def _idle(build: tuple[str, ...], rounds: int) -> Figure:
    """Again, with nothing to do."""
    seconds = medians([Contender("again", build)], rounds)["again"]
    return Figure("bundle build with nothing to do", f"{seconds:.2f} s", f"<= {IDLE_GOAL} s", seconds <= IDLE_GOAL)


def _peaks(build: tuple[str, ...], store: Path) -> Iterator[Figure]:
    empty(store)
    found = peaks(build, store)
    payload = sum(path.stat().st_size for path in (store / "blobs").rglob("*") if path.is_file())
    memory = format_size(found.memory)
    goal = format_size(MEMORY_GOAL)
    yield Figure("bundle build of it, peak RSS", memory, f"<= {goal}", found.memory <= MEMORY_GOAL)
    value = f"{format_size(found.disk)} for a payload of {format_size(payload)}"
    yield Figure("bundle build of it, peak disk", value, "payload + chunks", found.disk <= payload + SPARE)


def _docker(directory: Path, reference: str, seconds: float) -> Figure:
    """Once: it takes long, and pulls into an engine that has nothing of the image."""
    engine = World(tied=True).engine
    started = engine.start()
    tar = directory / "image.tar"
    try:
        run = f"docker pull -q {reference} && docker save {reference} -o {tar} && sha256sum {tar}"
        peers = [Contender("docker", ("sh", "-c", run), lambda: _forget(engine, reference))]
        peer = medians(peers, 1, engine.environment())
    finally:
        _forget(engine, reference)
        tar.unlink(missing_ok=True)
        if started:
            engine.stop()
    ratio = seconds / peer["docker"]
    value = f"{seconds:.2f} s, docker {peer['docker']:.1f} s: {ratio:.2f} x"
    what = "store filled with an image / docker pull && save && sha256sum"
    return Figure(what, value, f"<= {DOCKER_GOAL} x", ratio <= DOCKER_GOAL)


def _forget(engine: Engine, reference: str) -> None:
    engine.docker("rmi", "-f", reference, check=False)


def empty(path: Path) -> None:
    """Remove a directory, and let the disk come to rest."""
    shutil.rmtree(path, ignore_errors=True)
    subprocess.run(["sync"], check=True)


def _push_image(place: Path, reference: str) -> None:
    """An image whose layers are made of this machine's /usr and of what does not compress; put there by skopeo."""
    store = Store.create(place)
    image = make_image(store)
    store.record([image.manifest.named("image")])
    target = ("--dest-tls-verify=false", f"oci:{place}:image", f"docker://{reference}")
    subprocess.run(["skopeo", "copy", "-q", *target], check=True)
    shutil.rmtree(place)
