"""`bundle verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bundler.cli import options
from bundler.core.errors import IntegrityFailed
from bundler.core.events import Events
from bundler.core.size import format_size
from bundler.operations.verify import BundleDamaged, check_agent, verify_all
from bundler.store.layout import BundleEntry, Store
from bundler.store.verify import Verification


@click.command("verify")
@click.argument("bundle", required=False)
@options.store
@options.output
@options.running("verify")
def command(bundle: str | None, store: Path, output: str, events: Events) -> None:
    """Read every byte of a bundle again, or of all in the store, and name every blob that is missing or wrong.

    Exit code 12 where anything is, also with -o json, whose document then lists it.

    \b
    bundle verify demo
    bundle verify --store /data/bundles                # all its bundles, what they share once
    bundle verify demo:1.0.0 -o json
    """
    opened = Store.open(store)
    entries = (opened.find(bundle),) if bundle else opened.bundles()
    try:
        result = verify_all(opened, entries, events)
        check_agent(opened)
    except BundleDamaged as damage:
        _document(output, entries, damage.result, ok=False)
        raise
    except IntegrityFailed as fault:
        _document(output, entries, None, ok=False, fault=fault)
        raise
    text = "\n".join(f"{entry.name} is whole, root {entry.root.digest}" for entry in entries)
    checked = f"{result.blobs} blobs read, {format_size(result.bytes)}, all as their digests say"
    _document(output, entries, result, ok=True, text=f"{text}\n{checked}" if entries else f"no bundles in {store}")


def _document(
    output: str,
    entries: tuple[BundleEntry, ...],
    result: Verification | None,
    *,
    ok: bool,
    text: str = "",
    fault: IntegrityFailed | None = None,
) -> None:
    document: dict[str, Any] = {
        "ok": ok,
        "bundles": [{"bundle": str(entry.name), "root": str(entry.root.digest)} for entry in entries],
        "blobs": result.blobs if result else 0,
        "bytes": result.bytes if result else 0,
        "bad": [
            {
                "what": bad.member.label,
                "digest": str(bad.member.blob.digest),
                "bytes": bad.member.blob.size,
                "problem": bad.problem,
            }
            for bad in (result.bad if result else ())
        ],
        "fault": fault.what if fault else None,
    }
    options.show(output, document, text)
