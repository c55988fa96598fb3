"""`bundle gc`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from bundler.cli import options
from bundler.core.events import Events
from bundler.core.records import to_json
from bundler.core.size import format_size
from bundler.operations.gc import GcResult, gc
from bundler.store.layout import Store
from bundler.store.reach import Unreadable


@click.command("gc")
@click.option("--drop", multiple=True, metavar="NAME[:VERSION]", help="Take this bundle out of the index first.")
@click.option("--dry-run", is_flag=True, help="Say what would go, and delete nothing.")
@options.store
@options.output
@options.running("gc")
def command(drop: tuple[str, ...], dry_run: bool, store: Path, output: str, events: Events) -> None:
    """Delete the blobs that no bundle needs, and what killed runs left. Bundles go only where --drop names them.

    Exit code 11, and nothing deleted, while a build, a push or another verb needs the store;
    12, and no blob deleted, while a bundle that is not dropped is damaged. What rollback goes back to is kept.

    \b
    bundle gc --dry-run
    bundle gc --drop demo:1.0.0 --drop demo:1.1.0
    bundle gc --store /data/bundles -o json
    """
    opened = Store.open(store)
    result = gc(opened, events, drop=drop, dry_run=dry_run)
    options.show(output, _document(result), _text(result, store))
    if result.damaged:
        raise Unreadable(opened, result.damaged, "no blob was deleted: what it needs is not known")


def _document(result: GcResult) -> dict[str, object]:
    return {
        "dry_run": result.dry_run,
        "dropped": list(result.dropped),
        "deleted": {
            "blobs": to_json(result.blobs),
            "partials": to_json(result.partials),
            "imports": to_json(result.imports),
        },
        "freed": result.blobs.freed + result.partials.freed + result.imports.freed,
        "kept": {"blobs": result.kept_blobs, "bytes": result.kept_bytes},
        "half_done": [
            {"bundle": one.bundle, "root": str(one.root), "volumes": list(one.volumes)} for one in result.half_done
        ],
        "left_alone": [str(path) for path in result.strangers],
        "damaged": sorted(result.damaged),
    }


def _text(result: GcResult, store: Path) -> str:
    would = "would be " if result.dry_run else ""
    lines = [f"{name} {would}dropped" for name in result.dropped]
    freed = result.blobs.freed + result.partials.freed + result.imports.freed
    unfinished = result.partials.files + result.imports.files
    went = f"{result.blobs.files} blobs and {unfinished} unfinished files {would}deleted"
    lines.append(f"{went}, {format_size(freed)} {would}freed")
    linked = result.blobs.bytes + result.partials.bytes + result.imports.bytes - freed
    if linked:
        lines.append(f"  {format_size(linked)} of them stay on the disk: releases have links to them")
    lines.append(f"{result.kept_blobs} blobs kept, {format_size(result.kept_bytes)}, in {store}")
    for one in result.half_done:
        lines.append(f"  kept for the import of {one.bundle}, of which volumes came: {', '.join(one.volumes)}")
        lines.append(f"    to give it up: rm -r {shlex.quote(str(one.directory))}, and gc again")
    lines += [f"  left alone, not a name of ours: {path}" for path in result.strangers]
    return "\n".join(lines)
