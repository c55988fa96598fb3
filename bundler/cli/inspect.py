"""`bundle inspect`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from bundler.cli import options
from bundler.cli.table import columns
from bundler.cli.tree import Node, tree
from bundler.core.events import Events
from bundler.core.records import to_json
from bundler.core.size import format_size
from bundler.manifest.lock import GpuMemory, Hardware, Workload
from bundler.operations.inspect import Artifact, Inspection, inspect, rendered_file
from bundler.store.layout import Store

_LONGEST = 100


@click.command("inspect")
@click.argument("bundle")
@click.option("--file", "path", metavar="WORKLOAD/FILE", help="Print this file of a workload instead.")
@options.store
@options.output
@options.running("inspect")
def command(
    bundle: str,
    path: str | None,
    store: Path,
    output: str,
    events: Events,  # noqa: ARG001 - every verb has events
) -> None:
    """Show what a bundle holds: artifacts, sizes, pins, licences, workloads, and what it shares with others.

    \b
    bundle inspect demo
    bundle inspect demo:1.0.0 --store /data/bundles
    bundle inspect demo -o json
    bundle inspect demo --file train/train.yaml
    """
    opened = Store.open(store)
    if path:
        text = rendered_file(opened, opened.find(bundle), path)
        options.show(output, {"file": path, "text": text}, text.rstrip("\n"))
        return
    found = inspect(opened, opened.find(bundle))
    options.show(output, _document(found), tree(_tree(found)))


def _document(found: Inspection) -> dict[str, object]:
    return {
        "bundle": str(found.bundle.name),
        "root": str(found.bundle.root.digest),
        "agent": found.agent,
        "blobs": found.blobs,
        "bytes": found.bytes,
        "alone": found.alone,
        "hardware": to_json(found.hardware),
        "artifacts": [_artifact(artifact) for artifact in found.artifacts],
        "workloads": [
            {
                "name": workload.name,
                "kind": workload.kind,
                "image": workload.image,
                "gpus": workload.gpus,
                "port": workload.port or None,
                "command": list(workload.command),
            }
            for workload in found.workloads
        ],
        "memory": [to_json(memory) for memory in found.memory],
        "rehearsal": {**to_json(found.rehearsal), "passed": found.rehearsal.passed} if found.rehearsal else None,
    }


def _artifact(artifact: Artifact) -> dict[str, object]:
    document: dict[str, object] = {
        "kind": artifact.kind,
        "name": artifact.name,
        "source": artifact.source,
        "pin": artifact.pin,
        "digest": str(artifact.digest),
        "blobs": artifact.blobs,
        "bytes": artifact.bytes,
        "shared": artifact.shared,
        "lacking": artifact.lacking,
    }
    if artifact.image:
        facts = artifact.image
        document |= {"created": facts.created, "os": facts.os, "architecture": facts.architecture}
        document["environment"] = dict(facts.environment)
    if artifact.card:
        document["licence"] = artifact.card.licence or None
        document["licence_file"] = artifact.card.licence_file or None
        document["base_models"] = list(artifact.card.base_models)
    return document


def _tree(found: Inspection) -> Node:
    alone = "an unknown part" if found.alone is None else format_size(found.alone)  # of one here a manifest is damaged
    total = f"{found.blobs} blobs, {format_size(found.bytes)}; {alone} of it in no other bundle here"
    lines = columns([_columns(artifact) for artifact in found.artifacts])
    artifacts = [
        Node(line, [Node(text) for text in _details(artifact)])
        for line, artifact in zip(lines, found.artifacts, strict=True)
    ]
    workloads = [Node(line) for line in columns([_workload(workload) for workload in found.workloads])]
    return Node(
        f"{found.bundle.name}  {total}",
        [
            Node(f"root {found.bundle.root.digest}"),
            Node("artifacts", artifacts),
            *([Node("workloads", workloads)] if workloads else []),
            Node(f"needs {_hardware(found.hardware)}", [Node(line) for line in columns(_memory(found.memory))]),
            _rehearsal(found),
        ],
    )


def _rehearsal(found: Inspection) -> Node:
    """When this root was rehearsed, and what did not pass."""
    kept = found.rehearsal
    if kept is None:
        return Node("not rehearsed")
    said = ", ".join(f"{number} {word}" for word, number in kept.count().items())
    line = f"rehearsed {kept.when} on {kept.machine} with {kept.engine}: {said}"
    versions = [
        Node(f"{image}: " + ", ".join(f"{name} {version}" for name, version in seen.items()))
        for image, seen in kept.versions.items()
    ]
    rest = (one for one in kept.findings if one.severity != "pass")
    return Node(line, [*versions, *(Node(f"{one.severity}  {one.check}  {one.what}"[:_LONGEST]) for one in rest)])


def _columns(artifact: Artifact) -> tuple[str, ...]:
    shared = f"{format_size(artifact.shared)} shared" if artifact.shared else ""
    lacking = f"LACKS {artifact.lacking} blobs" if artifact.lacking else ""
    return (artifact.kind, artifact.name, format_size(artifact.bytes), shared, lacking)


def _details(artifact: Artifact) -> Iterator[str]:
    yield f"{artifact.source} @ {artifact.pin}"
    if artifact.image:
        facts = artifact.image
        yield f"{facts.os}/{facts.architecture}, created {facts.created or 'at an unknown time'}"
        for name, value in sorted(facts.environment.items()):
            yield f"{name}={value}"[:_LONGEST]
    if artifact.card:
        card = artifact.card
        said = card.licence or (f"see its file {card.licence_file}" if card.licence_file else "unknown: it states none")
        yield f"licence {said}"
        if card.base_models:
            yield f"made from {', '.join(card.base_models)}"


def _workload(workload: Workload) -> tuple[str, ...]:
    kind = "service" if workload.is_service else "job"
    where = f"on port {workload.port}" if workload.is_service else ""
    gpus = f"{workload.gpus} GPUs" if workload.gpus else "CPU"
    return (kind, workload.name, workload.kind, f"image {workload.image}", gpus, where)


def _memory(predicted: Sequence[GpuMemory]) -> list[tuple[str, ...]]:
    """What each workload was predicted to take, and how well that is known."""
    basis = {"measured": "as measured on such trainings", "formula": "by formula, not compared with a GPU"}
    return [
        (
            one.workload,
            f"{format_size(one.device_bytes)} of each GPU",
            f"{format_size(one.least_bytes)} at least",
            f"{format_size(one.host_bytes)} of main memory" if one.host_bytes else "",
            basis[one.basis],
        )
        for one in predicted
    ]


def _hardware(floor: Hardware) -> str:
    if not floor.gpus:
        return "no GPU"
    of = f" of {format_size(floor.memory)}" if floor.memory else ""
    rest = [f"compute capability {floor.capability}" if floor.capability else "", floor.model]
    driver = f"driver {floor.driver}" if floor.driver else ""
    return ", ".join(text for text in (f"{floor.gpus} GPUs{of}", *rest, driver) if text)
