"""`bundle list`."""

from __future__ import annotations

from pathlib import Path

import click

from bundler.cli import options
from bundler.cli.table import table
from bundler.core.events import Events
from bundler.core.size import format_size
from bundler.store.layout import Store
from bundler.store.reach import Unreadable, alone, reached


@click.command("list")
@options.store
@options.output
@options.running("list")
def command(store: Path, output: str, events: Events) -> None:  # noqa: ARG001 - every verb has events
    """List the bundles of a store. ALONE is what no other bundle there needs: what `gc --drop` would free.
    A damaged one is named, the others are listed, and the exit code is 12.

    \b
    bundle list
    bundle list --store /data/bundles -o json
    """
    opened = Store.open(store)
    documents: list[dict[str, object]] = []
    rows = []
    needs, damaged = reached(opened, opened.index())
    only = alone(needs)
    for entry in opened.bundles():
        name, root = str(entry.name), str(entry.root.digest)
        count, size, own = len(needs[name]), sum(needs[name].values()), sum(only[name].values())
        if name in damaged:
            documents.append({"bundle": name, "root": root, "blobs": None, "bytes": None, "alone": None})
            rows.append((name, root[:19], "damaged", "", ""))
            continue
        # a bundle that can't be read may share anything with this one
        documents.append(
            {"bundle": name, "root": root, "blobs": count, "bytes": size, "alone": None if damaged else own}
        )
        rows.append((name, root[:19], str(count), format_size(size), "unknown" if damaged else format_size(own)))
    text = table(("BUNDLE", "ROOT", "BLOBS", "SIZE", "ALONE"), rows) if rows else f"no bundles in {store}"
    options.show(output, {"store": str(store), "bundles": documents}, text)
    if damaged:
        raise Unreadable(opened, damaged)
