"""`bundle check`."""

from __future__ import annotations

from pathlib import Path

import click

from bundler.cli import options
from bundler.cli.findings import as_json, as_table
from bundler.core.events import Events
from bundler.engine.docker import DockerEngine
from bundler.node.checks import NodeRefused
from bundler.operations.release import Release
from bundler.operations.up import check
from bundler.store.contents import read_lock
from bundler.store.layout import Store


@click.command("check")
@click.argument("bundle")
@options.store
@options.output
@options.running("check")
def command(bundle: str, store: Path, output: str, events: Events) -> int:
    """Say whether this node can run a bundle. Exit code 13 where it can't.

    \b
    bundle check demo
    bundle check qwen3-32b-l20x4 -o json
    """
    opened = Store.open(store)
    entry = opened.find(bundle)
    release = Release.of(opened, entry)
    try:
        findings, code = check(opened, read_lock(opened, entry), release, DockerEngine.connect(), events), 0
    except NodeRefused as refusal:
        findings, code = refusal.findings, refusal.exit_code
    options.show(output, {"bundle": str(entry.name), "findings": as_json(findings)}, as_table(findings))
    return code
