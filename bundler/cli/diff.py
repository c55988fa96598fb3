"""`bundle diff`."""

from __future__ import annotations

from pathlib import Path

import click

from bundler.cli import options
from bundler.cli.table import table
from bundler.core.events import Events
from bundler.core.records import to_json
from bundler.core.size import format_size
from bundler.operations.diff import Count, DiffResult, diff, side
from bundler.store.reach import Blobs


@click.command("diff")
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@options.store
@options.output
@options.running("diff")
def command(before: str, after: str, store: Path, output: str, events: Events) -> None:  # noqa: ARG001
    """Say what a host that has A would be sent of B, and what changed: blobs, versions, settings.

    A and B are bundles of the store, or paths of locks (*.lock.json). Exit code 0 whether they differ or not.

    \b
    bundle diff demo:1.0.0 demo:1.1.0
    bundle diff demo manifests/demo.lock.json          # what the next push would send
    bundle diff old.lock.json new.lock.json -o json
    """
    result = diff(side(before, store), side(after, store))
    options.show(output, _document(result), _text(result))


def _document(result: DiffResult) -> dict[str, object]:
    difference = result.difference
    return {
        "before": result.before,
        "after": result.after,
        "added": _listed(difference.added),
        "removed": _listed(difference.removed),
        "kept": to_json(Count.of(difference.kept)),
        "artifacts": [to_json(artifact) for artifact in result.artifacts],
        "moved": [to_json(move) for move in result.moved],
    }


def _listed(blobs: Blobs) -> dict[str, object]:
    digests = [{"digest": str(digest), "bytes": size} for digest, size in sorted(blobs.items())]
    return {**to_json(Count.of(blobs)), "digests": digests}


def _text(result: DiffResult) -> str:
    difference = result.difference
    added, removed, kept = (Count.of(blobs) for blobs in (difference.added, difference.removed, difference.kept))
    rows = [(f"{a.kind} {a.name}", a.change, format_size(a.bytes) if a.bytes else "") for a in result.artifacts]
    lines = [
        f"{result.before} -> {result.after}",
        f"  added    {added.blobs} blobs, {format_size(added.bytes)}: what a host that has {result.before} is sent",
        f"  removed  {removed.blobs} blobs, {format_size(removed.bytes)}",
        f"  kept     {kept.blobs} blobs, {format_size(kept.bytes)}",
        "",
        table(("ARTIFACT", "", "NEW BYTES"), rows),
    ]
    return "\n".join([*lines, *([""] if result.moved else []), *(str(move) for move in result.moved)])
