"""`bundle verify`."""

from __future__ import annotations

from pathlib import Path

import click

from bundler.cli import options
from bundler.core.events import Events
from bundler.core.size import format_size
from bundler.operations.verify import verify
from bundler.store.layout import Store


@click.command("verify")
@click.argument("bundle")
@options.store
@options.output
@options.running("verify")
def command(bundle: str, store: Path, output: str, events: Events) -> None:
    """Read every byte of a bundle again, and name every blob that is missing or wrong.

    \b
    bundle verify demo
    bundle verify demo:1.0.0 --store /data/bundles
    """
    opened = Store.open(store)
    entry = opened.find(bundle)
    result = verify(opened, entry, events)
    options.show(
        output,
        {"bundle": str(entry.name), "root": str(entry.root.digest), "blobs": result.blobs, "bytes": result.bytes},
        f"{entry.name} is whole: {result.blobs} blobs, {format_size(result.bytes)}, root {entry.root.digest}",
    )
