"""`bundle receipts`."""

from __future__ import annotations

from pathlib import Path

import click

from bundler.cli import options
from bundler.cli.table import table
from bundler.core.events import Events, Warned
from bundler.core.records import to_json
from bundler.core.size import format_size
from bundler.transport import receipts
from bundler.transport.receipts import Receipt, Tally


@click.command("receipts")
@click.argument("bundle", required=False)
@options.output
@options.running("receipts")
def command(bundle: str | None, output: str, events: Events) -> None:
    """List the receipts of pushes from this machine: which host has which bundle, and what it verified.

    BUNDLE is a name, or name:version. A receipt's file is what `bundle export --since` takes.

    \b
    bundle receipts
    bundle receipts demo
    bundle receipts demo:1.0 -o json
    """
    kept = receipts.listed()
    for path in kept.damaged:
        events.emit(Warned(f"{path} is not a receipt, or is damaged"))
    chosen = [(path, one) for path, one in kept.receipts if bundle in (None, one.bundle, one.bundle.partition(":")[0])]
    rows = [_row(path, one) for path, one in chosen]
    heads = ("WHEN", "BUNDLE", "ROOT", "HOST", "VERIFIED IN IT", "THERE BEFORE", "RECEIPT")
    none = f"no receipts {f'of {bundle} ' if bundle else ''}in {receipts.receipts_directory()}"
    text = table(heads, rows) if rows else none
    document = {
        "receipts": [{"file": str(path), **to_json(one)} for path, one in chosen],
        "damaged": [str(path) for path in kept.damaged],
    }
    options.show(output, document, text)


def _row(path: Path, one: Receipt) -> tuple[str, ...]:
    place = f"{one.host}:{one.directory}"
    return (one.when, one.bundle, str(one.root)[:19], place, _tally(one.verified), _tally(one.present), str(path))


def _tally(tally: Tally) -> str:
    return f"{tally.blobs}, {format_size(tally.bytes)}"
