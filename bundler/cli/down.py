"""`bundle down`."""

from __future__ import annotations

from pathlib import Path

import click

from bundler.cli import options
from bundler.core.events import Events
from bundler.operations.down import down
from bundler.operations.release import Release
from bundler.operations.standing import brought_up_last
from bundler.store.layout import Store


@click.command("down")
@click.argument("bundle")
@options.store
@options.engine
@options.output
@options.running("down")
def command(bundle: str, store: Path, output: str, events: Events) -> None:
    """Stop a release and remove its containers. What its jobs made stays, and so does the store.

    \b
    bundle down demo
    """
    opened = Store.open(store)
    entry = brought_up_last(opened, bundle)
    result = down(Release.of(opened, entry), events)
    kept = result.release.directory / "results"
    options.show(
        output,
        {"bundle": str(result.release.name), "removed": list(result.removed), "results": str(kept)},
        f"{result.release.name} is down; its results stay in {kept}",
    )
