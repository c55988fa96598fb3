"""`bundle rollback`."""

from __future__ import annotations

from pathlib import Path

import click

from bundler.cli import options, up
from bundler.cli.table import table
from bundler.core.events import Events
from bundler.operations.history import read_history
from bundler.operations.rollback import rollback
from bundler.operations.standing import Standing, standing
from bundler.store.layout import Store


@click.command("rollback")
@click.argument("bundle", required=False)
@click.option("--list", "listing", is_flag=True, help="Show what has been up, and do nothing.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=3600.0,
    show_default=True,
    help="Seconds that a service may take until it answers.",
)
@click.option("--accept", "accepted", multiple=True, metavar="CHECK", help="Go on though this check blocks.")
@options.store
@options.engine
@options.output
@options.running("rollback")
def command(
    bundle: str | None,
    listing: bool,
    timeout: float,
    accepted: tuple[str, ...],
    store: Path,
    output: str,
    events: Events,
) -> None:
    """Go back to the bundle that was up before, with the results that it had; nothing is trained again.

    \b
    bundle rollback                   # the store's only release
    bundle rollback demo:1.0          # to this one, which was up once
    bundle rollback demo --list
    """
    opened = Store.open(store)
    if listing:
        release = standing(opened, bundle)
        return options.show(output, _document(release), _text(release))
    result = rollback(opened, bundle, events, timeout=timeout, accepted=accepted)
    return options.show(output, up.document(result), up.text(result))


def _document(release: Standing) -> dict[str, object]:
    history = read_history(release.directory)
    return {
        "release": release.name.name,
        "up": {"bundle": release.record.bundle, "root": str(release.record.root)},
        "history": [
            {"bundle": past.bundle, "root": str(past.root.digest), "up_at": past.up_at} for past in history.releases
        ],
    }


def _text(release: Standing) -> str:
    history = read_history(release.directory)
    before = history.before(release.record.root)
    notes = {release.record.root: "brought up last"}
    if before:
        notes[before.root.digest] = "rollback goes here"
    rows = [
        (past.bundle, past.root.digest.short, past.up_at, notes.get(past.root.digest, ""))
        for past in reversed(history.releases)
    ]
    return table(["BUNDLE", "ROOT", "CAME UP", ""], rows) if rows else f"no {release.name.name} has come up to its end"
