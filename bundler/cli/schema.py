"""`bundle schema`."""

from __future__ import annotations

import click


@click.command("schema")
def command() -> None:
    """Print the manifest's JSON schema, for editors.

    \b
    bundle schema > manifest.schema.json
    """
    from bundler.manifest.schema import schema_json

    click.echo(schema_json(), nl=False)
