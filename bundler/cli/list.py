"""`bundle list`."""

from __future__ import annotations

from pathlib import Path

import click

from bundler.cli import options
from bundler.cli.table import table
from bundler.core.events import Events
from bundler.core.size import format_size
from bundler.store.layout import Store
from bundler.store.reach import alone, reached


@click.command("list")
@options.store
@options.output
@options.running("list")
def command(store: Path, output: str, events: Events) -> None:  # noqa: ARG001 - every verb has events
    """List the bundles of a store. ALONE is what no other bundle there needs: what `gc --drop` would free.

    \b
    bundle list
    bundle list --store /data/bundles -o json
    """
    opened = Store.open(store)
    documents = []
    rows = []
    needs = reached(opened, opened.index())
    only = alone(needs)
    for entry in opened.bundles():
        name, root = str(entry.name), str(entry.root.digest)
        count, size, own = len(needs[name]), sum(needs[name].values()), sum(only[name].values())
        documents.append({"bundle": name, "root": root, "blobs": count, "bytes": size, "alone": own})
        rows.append((name, root[:19], str(count), format_size(size), format_size(own)))
    text = table(("BUNDLE", "ROOT", "BLOBS", "SIZE", "ALONE"), rows) if rows else f"no bundles in {store}"
    options.show(output, {"store": str(store), "bundles": documents}, text)
