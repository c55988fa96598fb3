"""Small bundles for tests, made by hand: valid in every part, with blobs of the sizes that a test wants."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from bundler.core.descriptor import TITLE, Descriptor
from bundler.core.media_types import (
    AGENT,
    BUNDLE,
    LOCK,
    MODEL_ARTIFACT,
    MODEL_CONFIG,
    MODEL_FILEPATH,
    MODEL_WEIGHT,
    OCI_INDEX,
    OCI_MANIFEST,
)
from bundler.core.reference import BundleName
from bundler.core.strict_json import canonical
from bundler.manifest.lock import FORMAT, Hardware, Lock, LockedAgent, LockedFile, LockedFiles
from bundler.store.layout import BundleEntry, Store

AGENT_BYTES = b"#!/bin/sh\necho agent\n"


def make_bundle(
    store: Store,
    sizes: Sequence[int] = (100_000, 3_000),
    *,
    name: str = "demo:1.0.0",
    seed: int = 0,
    agent: bytes = AGENT_BYTES,
) -> BundleEntry:
    """A bundle of one model, a file of random bytes for each size; the same for the same arguments."""
    bundle = BundleName.parse(name)
    weights = [_weight(store, position, size, seed) for position, size in enumerate(sizes)]
    config = store.put(canonical({"descriptor": {"name": "base"}}), MODEL_CONFIG)
    model = put_model(store, config, weights)
    program = store.put(agent, AGENT)
    files = tuple(LockedFile(weight.annotations[MODEL_FILEPATH], weight.digest, weight.size) for weight in weights)
    lock = Lock(
        FORMAT,
        bundle.name,
        bundle.version,
        LockedAgent("0.0.0", program),
        Hardware(),
        models=(LockedFiles("base", "files:base", model, files),),
    )
    entry = put_root(store, lock, ("model base", model), ("agent", program))
    store.record((entry, model.named(bundle.artifact("base"))))
    return BundleEntry(bundle, entry)


def put_model(store: Store, config: Descriptor, layers: Sequence[Descriptor]) -> Descriptor:
    """The ModelPack manifest of files that the store has."""
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": MODEL_ARTIFACT,
        "config": config.to_json(),
        "layers": [layer.to_json() for layer in layers],
    }
    return replace(store.put(canonical(manifest), OCI_MANIFEST), artifact_type=MODEL_ARTIFACT)


def put_root(store: Store, lock: Lock, *artifacts: tuple[str, Descriptor]) -> Descriptor:
    """The lock, and the root that names it and these artifacts by their titles. For the index, not yet in it."""
    listed = [("lock", store.put(lock.encode(), LOCK)), *artifacts]
    root = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "artifactType": BUNDLE,
        "manifests": [replace(blob, annotations={TITLE: title}).to_json() for title, blob in listed],
    }
    entry = replace(store.put(canonical(root), OCI_INDEX), artifact_type=BUNDLE)
    return entry.named(str(BundleName(lock.name, lock.version)))


def _weight(store: Store, position: int, size: int, seed: int) -> Descriptor:
    data = _noise(f"{seed} {position} {size}", size)
    return replace(store.put(data, MODEL_WEIGHT), annotations={MODEL_FILEPATH: f"part-{position:05}.safetensors"})


def _noise(seed: str, size: int) -> bytes:
    """Bytes that look random; in pieces, as randbytes makes an integer of all of them."""
    source = random.Random(seed)
    piece = 1 << 20
    return b"".join(source.randbytes(min(piece, size - at)) for at in range(0, size, piece))


def make_lock(*models: LockedFiles) -> Lock:
    """A lock of these models and nothing else."""
    agent = LockedAgent("0.0.0", Descriptor.of(AGENT_BYTES, AGENT))
    return Lock(FORMAT, "demo", "1.0.0", agent, Hardware(), models=models)
