"""`bundle list`."""

from __future__ import annotations

from pathlib import Path

import click

from bundler.cli import options
from bundler.cli.table import table
from bundler.core.events import Events
from bundler.core.size import format_size
from bundler.store.closure import closure
from bundler.store.layout import Store


@click.command("list")
@options.store
@options.output
@options.running("list")
def command(store: Path, output: str, events: Events) -> None:  # noqa: ARG001 - every verb has events
    """List the bundles of a store.

    \b
    bundle list
    bundle list --store /data/bundles -o json
    """
    opened = Store.open(store)
    documents = []
    rows = []
    for entry in opened.bundles():
        blobs = [member.blob for member in closure(opened, entry.root)]
        size = sum(blob.size for blob in blobs)
        name, root = str(entry.name), str(entry.root.digest)
        documents.append({"bundle": name, "root": root, "blobs": len(blobs), "bytes": size})
        rows.append((name, root[:19], str(len(blobs)), format_size(size)))
    text = table(("BUNDLE", "ROOT", "BLOBS", "SIZE"), rows) if rows else f"no bundles in {store}"
    options.show(output, {"store": str(store), "bundles": documents}, text)
