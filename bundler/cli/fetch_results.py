"""`bundle fetch-results`."""

from __future__ import annotations

from pathlib import Path

import click

from bundler.cli import options
from bundler.core import hint
from bundler.core.events import Events
from bundler.core.size import format_size
from bundler.operations.fetch_results import FetchedResults, fetch_results
from bundler.operations.standing import brought_up_last
from bundler.store.layout import Store


@click.command("fetch-results")
@click.argument("bundle")
@click.argument("dest", type=click.Path(path_type=Path, file_okay=False))
@click.option("--merged", is_flag=True, help="The merged weights too; they are as large as the model.")
@options.store
@options.output
@options.running("fetch-results")
def command(bundle: str, dest: Path, merged: bool, store: Path, output: str, events: Events) -> None:
    """Make a bundle of what a training left: adapter, logs, loss plot, arguments, evaluations. DEST is a store.

    It is called NAME-results and travels as every bundle does: push, export, import, verify.

    \b
    bundle fetch-results demo /media/stick/results
    bundle fetch-results demo ./results --merged
    bundle push demo-results user@host:/data/results --store ./results
    """
    opened = Store.open(store)
    entry = brought_up_last(opened, bundle)
    result = fetch_results(opened, entry, Store.create(dest), events, merged=merged)
    options.show(output, _document(result), _text(result))


def _document(result: FetchedResults) -> dict[str, object]:
    return {
        "bundle": str(result.bundle.name),
        "root": str(result.bundle.root.digest),
        "store": str(result.store),
        "artifacts": {name: {"files": result.files[name], "bytes": result.bytes[name]} for name in result.files},
        "plot_drawn": result.plot_drawn,
    }


def _text(result: FetchedResults) -> str:
    parts = (f"{name}: {result.files[name]} files, {format_size(result.bytes[name])}" for name in result.files)
    export = hint.bundle("export", result.bundle.name, "DIRECTORY", store=result.store)
    return f"{result.bundle.name} is in {result.store}\n  " + "\n  ".join(parts) + f"\nnext: {export}"
