"""`bundle sbom`."""

from __future__ import annotations

from pathlib import Path

import click

from bundler.cli import options
from bundler.core.events import Events
from bundler.store.layout import Store


@click.command("sbom")
@click.argument("bundle")
@options.store
@click.option("-o", "--output", type=click.Choice(["json"]), default="json", help="CycloneDX 1.6 JSON, always.")
@options.running("sbom")
def command(bundle: str, store: Path, output: str, events: Events) -> None:  # noqa: ARG001 - there is one form
    """Print a bundle's bill of materials: packages of its images, models, datasets, licences. CycloneDX 1.6 JSON.

    Every layer is read; the same bundle gives the same bytes.

    \b
    bundle sbom demo > demo.cdx.json
    bundle sbom demo:1.0.0 --store /data/bundles > demo.cdx.json
    bundle sbom demo | jq -r '.. | .purl? // empty' | sort -u
    """
    from bundler.operations.sbom import sbom

    opened = Store.open(store)
    click.echo(sbom(opened, opened.find(bundle), events))
