"""`bundle check`."""

from __future__ import annotations

from pathlib import Path

import click

from bundler.cli import options
from bundler.cli.facts import engine_or_reason
from bundler.cli.findings import as_json, as_table
from bundler.core.events import Events
from bundler.node.findings import NodeRefused, blocking
from bundler.node.reading import read_facts
from bundler.operations.check import check_bundle, check_node
from bundler.operations.release import Release
from bundler.store.contents import read_lock
from bundler.store.layout import Store


@click.command("check")
@click.argument("bundle", required=False)
@options.store
@options.output
@options.running("check")
def command(bundle: str | None, store: Path, output: str, events: Events) -> int:  # noqa: ARG001
    """Say whether this node can run a bundle, or without one whether it is well. Exit code 13 where not.

    \b
    bundle check
    bundle check demo
    bundle check qwen3-32b-l20x4 -o json
    """
    facts = read_facts(engine_or_reason(), store)
    if bundle:
        opened = Store.open(store)
        entry = opened.find(bundle)
        findings = check_bundle(facts, opened, read_lock(opened, entry), Release.of(opened, entry))
        name = str(entry.name)
    else:
        findings, name = check_node(facts), ""
    options.show(output, {"bundle": name, "findings": as_json(findings)}, as_table(findings))
    return NodeRefused.exit_code if blocking(findings) else 0
