"""Filling a store from a registry on the loopback, against what people do without us, and what it takes of a machine.

The peers: `skopeo copy docker:// oci:`, which hashes what comes as we do; and `docker pull && docker save | sha256sum`.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from isal import isal_zlib

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.media_types import OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST
from bundler.core.size import format_size
from bundler.sources.oci_manifest import oci_manifest
from bundler.store.ingest import Ingest
from bundler.store.layout import Store
from scripts.bench.measure import Contender, Figure, medians, peaks
from scripts.world.engine import Engine
from scripts.world.parts import World
from scripts.world.registry import Registry

LAYERS = (900, 560, 340, 220, 130, 90)
"""Sizes in MB, unpacked; together 2.2 GB, about 1 GB in gzip, uneven as an image's layers are."""
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
    programs = _programs()
    layers, diff_ids = [], []
    for megabytes in LAYERS:
        layer, unpacked = _layer(store, programs, megabytes * 1_000_000)
        layers.append(layer)
        diff_ids.append(str(unpacked))
    document = {
        "os": "linux",
        "architecture": "amd64",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    config = store.put(json.dumps(document).encode(), OCI_CONFIG)
    manifest = store.put(oci_manifest(config, layers), OCI_MANIFEST)
    store.record([manifest.named("image")])
    target = ("--dest-tls-verify=false", f"oci:{place}:image", f"docker://{reference}")
    subprocess.run(["skopeo", "copy", "-q", *target], check=True)
    shutil.rmtree(place)


def _programs() -> Iterator[Path]:
    """The files of this machine that an image of a Python program would have: libraries, programs, text."""
    for root in (sys.prefix, "/usr/lib", "/usr/share", "/usr/bin"):
        for path in sorted(Path(root).rglob("*")):
            if path.is_file() and not path.is_symlink():
                yield path


def _layer(store: Store, programs: Iterator[Path], size: int) -> tuple[Descriptor, Digest]:
    """A gzipped layer of so many bytes unpacked: each file of this machine's, then a third of its size of noise."""
    unpacked = hashlib.sha256()
    squeeze = isal_zlib.compressobj(level=2, wbits=31)
    with Ingest(store) as blob:

        def take(data: bytes) -> int:
            unpacked.update(data)
            blob.write(squeeze.compress(data))
            return len(data)

        with tarfile.open(fileobj=_Sink(take), mode="w|", bufsize=1 << 20) as tar:
            taken = 0
            while taken < size:
                path = next(programs)
                content = path.read_bytes()
                content += os.urandom(len(content) // 3)
                entry = tarfile.TarInfo(str(path).lstrip("/"))
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
                taken += entry.size
        blob.write(squeeze.flush())
        return blob.commit(OCI_LAYER_GZIP), Digest(unpacked.hexdigest())


class _Sink(io.RawIOBase):
    """A file that hands on what is written to it."""

    def __init__(self, take: Callable[[bytes], int]) -> None:
        self._take = take

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any) -> int:
        """Hand it on."""
        return self._take(bytes(data))
