"""`bundle logs`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bundler.cli import options
from bundler.core.events import Events
from bundler.operations.logs import logs
from bundler.operations.standing import brought_up_last
from bundler.store.layout import Store


@click.command("logs")
@click.argument("bundle")
@click.argument("workload", required=False)
@click.option("-n", "--tail", type=click.IntRange(min=1), help="Only so many of the last lines.")
@click.option("-f", "--follow", is_flag=True, help="Go on until it ends.")
@options.store
@options.engine
@options.running("logs")
def command(
    bundle: str,
    workload: str | None,
    tail: int | None,
    follow: bool,
    store: Path,
    events: Events,  # noqa: ARG001
) -> None:
    """Show what a job or a service says; without a WORKLOAD, what each of them says. Works while the engine is down.

    \b
    bundle logs demo
    bundle logs demo train
    bundle logs demo serve -n 50 -f
    """
    opened = Store.open(store)
    for chunk in logs(opened, brought_up_last(opened, bundle), workload, tail=tail, follow=follow):
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
