"""`inspect`: what a bundle holds, where each part of it came from, and what the store has of it for others too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.errors import UsageInvalid
from bundler.core.strict_json import MalformedJson
from bundler.manifest.lock import GpuMemory, Hardware, LockedFiles, LockedImage, Workload
from bundler.rehearsal.evidence import Evidence
from bundler.store.closure import children, closure
from bundler.store.contents import read_lock
from bundler.store.image_config import ImageFacts, read_image_facts
from bundler.store.layout import BundleEntry, Store
from bundler.store.model_card import ModelCard, read_model_card
from bundler.store.reach import Blobs, alone, reached
from bundler.store.referrers import whole_evidence


@dataclass(frozen=True, slots=True)
class Artifact:
    """A part of a bundle. `pin` is what it was resolved to: a registry's digest, a hub's commit, a build's recipe.

    `bytes` is all that it consists of, `shared` how much of it other bundles of the store have too, `lacking` how
    many of its blobs the store does not have. `image` is an image's facts, `card` what a model says of itself.
    """

    kind: str
    name: str
    source: str
    pin: str
    digest: Digest
    blobs: int
    bytes: int
    shared: int
    lacking: int
    image: ImageFacts | None = None
    card: ModelCard | None = None


@dataclass(frozen=True, slots=True)
class Inspection:
    """A bundle. `bytes` counts each blob once, `alone` is what `gc --drop` would free, None where it is not
    known: a manifest of another bundle there is damaged.

    `memory` is what the plan predicted when it was locked; empty where it predicted nothing, as for a CPU.
    `rehearsal` is what is kept of a rehearsal of this very root: the root does not cover it.
    """

    bundle: BundleEntry
    agent: str
    hardware: Hardware
    artifacts: tuple[Artifact, ...]
    workloads: tuple[Workload, ...]
    blobs: int
    bytes: int
    alone: int | None
    memory: tuple[GpuMemory, ...] = ()
    rehearsal: Evidence | None = None


def inspect(store: Store, bundle: BundleEntry) -> Inspection:
    """Look at a bundle of a store; reads its documents alone. Raises IntegrityFailed where one can't be read."""
    lock = read_lock(store, bundle)
    needs, damaged = reached(store, store.index())
    others = {digest for owner, blobs in needs.items() if owner != str(bundle.name) for digest in blobs}
    size = {member.blob.digest: member.blob.size for member in closure(store, bundle.root)}
    artifacts = tuple(_artifacts(store, lock.images, lock.models, lock.datasets, others))
    agent = lock.agent.blob
    carried = Artifact(
        "agent",
        "bundle",
        f"bundle {lock.agent.version}",
        str(agent.digest),
        agent.digest,
        1,
        agent.size,
        agent.size if agent.digest in others else 0,
        len(store.missing([agent])),
    )
    own: Blobs = alone(needs).get(str(bundle.name), {})
    return Inspection(
        bundle,
        lock.agent.version,
        lock.hardware,
        (*artifacts, carried),
        lock.workloads,
        len(size),
        sum(size.values()),
        None if damaged else sum(own.values()),
        lock.memory,
        _rehearsal(store, bundle),
    )


def _rehearsal(store: Store, bundle: BundleEntry) -> Evidence | None:
    """What is kept of a rehearsal of this very root. What can't be read vouches for nothing, and counts as none."""
    kept = whole_evidence(store, bundle)
    try:
        found = Evidence.parse(kept.content, f"the evidence of {bundle.name}") if kept else None
    except MalformedJson:
        return None
    return found if found and found.root == bundle.root.digest else None


def rendered_file(store: Store, bundle: BundleEntry, path: str) -> str:
    """The text of a file that a workload is given, by `WORKLOAD/FILE`, as it will stand on the node.

    Raises UsageInvalid where there is no such file, IntegrityFailed where the lock can't be read.
    """
    files = {
        f"{workload.name}/{name}": text
        for workload in read_lock(store, bundle).workloads
        for name, text in workload.files.items()
    }
    if path not in files:
        there = ", ".join(files) if files else "its workloads are given no files"
        hint = f"bundle inspect {bundle.name} --file {next(iter(files))}" if files else None
        raise UsageInvalid(f"{bundle.name} has no file {path!r}", because=f"there are: {there}", hint=hint)
    return files[path]


def _artifacts(
    store: Store,
    images: tuple[LockedImage, ...],
    models: tuple[LockedFiles, ...],
    datasets: tuple[LockedFiles, ...],
    others: set[Digest],
) -> Iterator[Artifact]:
    for image in images:
        facts = read_image_facts(store, image.blobs[0].digest) if not store.missing(image.blobs[:1]) else None
        pin = f"recipe {image.recipe}" if image.recipe else str(image.manifest.digest)
        yield _artifact(store, "image", image, pin, others, image=facts)
    for model in models:
        pin = model.revision or str(model.manifest.digest)
        yield _artifact(store, "model", model, pin, others, card=read_model_card(store, model))
    for dataset in datasets:
        yield _artifact(store, "dataset", dataset, dataset.revision or str(dataset.manifest.digest), others)


def _artifact(
    store: Store,
    kind: str,
    locked: LockedImage | LockedFiles,
    pin: str,
    others: set[Digest],
    *,
    image: ImageFacts | None = None,
    card: ModelCard | None = None,
) -> Artifact:
    blobs = _blobs(store, locked.manifest)
    return Artifact(
        kind,
        locked.name,
        locked.source,
        pin,
        locked.manifest.digest,
        len(blobs),
        sum(blob.size for blob in blobs.values()),
        sum(blob.size for digest, blob in blobs.items() if digest in others),
        len(store.missing(blobs.values())),
        image,
        card,
    )


def _blobs(store: Store, manifest: Descriptor) -> Mapping[Digest, Descriptor]:
    listed = (manifest, *children(store.read(manifest.digest), manifest))
    return {blob.digest: blob for blob in listed}
