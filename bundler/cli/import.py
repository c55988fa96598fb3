"""`bundle import`."""

from __future__ import annotations

from pathlib import Path

import click

from bundler.cli import options
from bundler.core.events import Events
from bundler.core.size import format_duration, format_size


@click.command("import")
@click.argument("sources", metavar="VOLUME_OR_DIR...", nargs=-1, required=True, type=click.Path(path_type=Path))
@options.store
@options.output
@options.running("import")
def command(sources: tuple[Path, ...], store: Path, output: str, events: Events) -> None:
    """Take volumes into a store: in any order, any number at a time. Each byte is hashed. Run again, it goes on.

    A directory may hold volumes, or be what `tar -xf` of all volumes made; then it may be the store itself.

    \b
    bundle import /media/stick --store /data/bundles
    bundle import /media/a/demo-1.0.0.0002.tar --store /data/bundles
    ./bundle import . --store .                        # after tar -xf of all volumes
    """
    from bundler.operations.import_volumes import import_volumes, unfinished

    result = import_volumes(sources, store, events)
    lines = []
    for one in result.bundles:
        size = f"{format_size(one.bytes)}, {format_duration(result.seconds)}"
        if one.whole:
            lines.append(f"{one.name} is in {store}: {size}\n  root {one.root}")
    options.show(
        output,
        {
            "store": str(store),
            "bundles": [
                {
                    "bundle": one.name,
                    "root": str(one.root),
                    "whole": one.whole,
                    "bytes": one.bytes,
                    "missing_volumes": list(one.missing_volumes),
                    "missing_blobs": list(one.missing_blobs),
                }
                for one in result.bundles
            ],
            "bad": [{"volume": str(bad.path), "problem": bad.problem} for bad in result.bad],
            "seconds": round(result.seconds, 2),
        },
        "\n".join(lines),
    )
    if error := unfinished(result, store):
        raise error
