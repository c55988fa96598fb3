"""Filling a store from a registry on the loopback, against `skopeo copy docker:// oci:`, both hashing what comes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bundler.core.media_types import OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST
from bundler.sources.oci_manifest import oci_manifest
from bundler.store.ingest import Ingest
from bundler.store.layout import Store
from scripts.bench.measure import Contender, Figure, medians
from scripts.world.registry import Registry

LAYERS = (400, 250, 150, 100, 60, 40)
"""Sizes in MB; together 1 GB, uneven as an image's layers are."""
GOAL = 1.5


def figures(directory: Path, rounds: int = 3) -> Iterator[Figure]:
    """An image of 1 GB into an empty store."""
    with Registry(directory / "registry") as registry:
        reference = f"{registry.address}/bench/image:1"
        _push_image(directory / "image", reference)
        manifest = directory / "bench.yaml"
        manifest.write_text(f'name: bench\nversion: "1"\nimages:\n  serve: {{registry: "{reference}"}}\n')
        ours, theirs = directory / "ours", directory / "theirs"
        bundle = str(Path(sys.executable).with_name("bundle"))
        copy = ("skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{reference}", f"oci:{theirs}:x")
        taken = medians(
            [
                Contender("bundle build", (bundle, "build", str(manifest), "--store", str(ours)), lambda: _empty(ours)),
                Contender("skopeo copy", copy, lambda: _empty(theirs)),
            ],
            rounds,
        )
    ratio = taken["bundle build"] / taken["skopeo copy"]
    value = f"{taken['bundle build']:.2f} s, skopeo {taken['skopeo copy']:.2f} s: {ratio:.2f} x"
    yield Figure("store filled with a 1 GB image / skopeo copy", value, f"<= {GOAL} x", ratio <= GOAL)


def _empty(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    subprocess.run(["sync"], check=True)


def _push_image(place: Path, reference: str) -> None:
    """An image of random layers, put into the registry by skopeo."""
    store = Store.create(place)
    layers = []
    for megabytes in LAYERS:
        with Ingest(store) as blob:
            for _ in range(megabytes):
                blob.write(os.urandom(1_000_000))
            layers.append(blob.commit(OCI_LAYER_GZIP))
    diff_ids = [str(layer.digest) for layer in layers]
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
