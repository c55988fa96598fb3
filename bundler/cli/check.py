"""`bundle check`."""

from __future__ import annotations

from pathlib import Path

import click

from bundler.cli import options
from bundler.cli.facts import engine_or_reason
from bundler.cli.findings import as_json, as_table
from bundler.core import hint
from bundler.core.errors import BundlerError, UsageInvalid
from bundler.core.events import Events
from bundler.engine.docker import DockerEngine
from bundler.node.facts import Facts
from bundler.node.findings import Finding, NodeRefused, blocking, worst_first
from bundler.node.reading import read_facts
from bundler.operations.check import check_bundle, check_node
from bundler.operations.release import Release
from bundler.store.contents import read_lock
from bundler.store.layout import BundleEntry, Store


@click.command("check")
@click.argument("bundle", required=False)
@click.option("--burn", "burning", is_flag=True, help="Also put disk and GPUs to work, in the bundle's training image.")
@options.store
@options.engine
@options.output
@options.running("check")
def command(bundle: str | None, burning: bool, store: Path, output: str, events: Events) -> int:
    """Say whether this node can run a bundle, or without one whether it is well. Exit code 13 where not.

    \b
    bundle check
    bundle check demo
    bundle check qwen3-32b-l20x4 -o json
    bundle check qwen3-32b-l20x4 --burn    # a minute: wrong results, slow GPUs, links, disks
    """
    engine = engine_or_reason()
    facts = read_facts(engine, store)
    findings, name = _judge(facts, store, bundle)
    if burning:
        findings = worst_first((*findings, *_burn(facts, store, bundle, engine, events)))
    options.show(output, {"bundle": name, "findings": as_json(findings)}, as_table(findings))
    return NodeRefused.exit_code if blocking(findings) else 0


def _judge(facts: Facts, store: Path, bundle: str | None) -> tuple[tuple[Finding, ...], str]:
    if not bundle:
        return check_node(facts), ""
    opened = Store.open(store)
    entry = opened.find(bundle)
    return check_bundle(facts, opened, read_lock(opened, entry), Release.of(opened, entry)), str(entry.name)


def _burn(
    facts: Facts, store: Path, bundle: str | None, engine: DockerEngine | BundlerError, events: Events
) -> tuple[Finding, ...]:
    """A node without GPUs is told so; one without an engine can't try them."""
    from bundler.node.burn_floors import judge, without_gpus
    from bundler.operations.burn import burn, try_disk

    if not facts.gpus:
        opened = Store.open(store) if bundle else None
        named = read_lock(opened, opened.find(bundle)) if opened and bundle else None
        return without_gpus(facts), try_disk(store, named, events)
    if isinstance(engine, BundlerError):
        raise engine
    opened = Store.open(store)
    entry = opened.find(bundle) if bundle else _only(opened)
    lock = read_lock(opened, entry)
    measured = burn(opened, lock, Release.of(opened, entry), len(facts.gpus), engine, events)
    return *judge(measured, facts), try_disk(store, lock, events)


def _only(store: Store) -> BundleEntry:
    """The store's bundle, where it has one; which image to use must be said otherwise."""
    entries = store.bundles()
    if len(entries) != 1:
        raise UsageInvalid(
            f"the store has {len(entries)} bundles, and the GPUs are tried in the image of one",
            hint=hint.bundle("check", "--burn", entries[0].name, store=store.root)
            if entries
            else "bundle push   # brings one here",
        )
    return entries[0]
