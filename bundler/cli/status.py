"""`bundle status`."""

from __future__ import annotations

from pathlib import Path

import click

from bundler.cli import options
from bundler.cli.table import table
from bundler.core.events import Events
from bundler.core.records import to_json
from bundler.operations.status import ReleaseStatus, status


@click.command("status")
@options.store
@options.output
@options.running("status")
def command(store: Path, output: str, events: Events) -> None:  # noqa: ARG001 - every verb has events
    """Show what runs on this node, of the bundles in this store.

    \b
    bundle status
    bundle status -o json
    """
    if not (store / "oci-layout").is_file():
        from bundler.store.layout import NotAStore

        raise NotAStore(store)
    found = status(store)
    text = "\n\n".join(_text(release) for release in found) or f"no release in {store}: bundle up NAME makes one"
    options.show(output, {"releases": [_document(release) for release in found]}, text)


def _document(release: ReleaseStatus) -> dict[str, object]:
    return {
        "bundle": release.bundle,
        "root": release.root,
        "workloads": [to_json(workload) for workload in release.workloads],
    }


def _text(release: ReleaseStatus) -> str:
    rows = [(workload.name, workload.kind, workload.state, workload.detail) for workload in release.workloads]
    return f"{release.bundle}  {release.root[:19]}\n{table(['WORKLOAD', 'KIND', 'STATE', ''], rows)}"
