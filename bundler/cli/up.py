"""`bundle up`."""

from __future__ import annotations

from pathlib import Path

import click

from bundler.cli import options
from bundler.cli.findings import as_json
from bundler.cli.up_plan import as_json as as_plan_json
from bundler.cli.up_plan import as_text
from bundler.core.events import Events
from bundler.core.size import format_duration, format_size
from bundler.operations.standing import brought_up_last
from bundler.operations.up import UpResult, up
from bundler.operations.up_plan import up_plan
from bundler.store.layout import Store


@click.command("up")
@click.argument("bundle")
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=3600.0,
    show_default=True,
    help="Seconds that a service may take until it answers. Jobs may take as long as they like.",
)
@click.option("--dry-run", is_flag=True, help="Say what would run, container by container. Needs no engine.")
@click.option("--restart-training", is_flag=True, help="Train from the beginning; what was trained is set aside.")
@click.option("--last", is_flag=True, help="Of several versions, the one that was brought up last: for boot.")
@click.option("--accept", "accepted", multiple=True, metavar="CHECK", help="Go on though this check blocks.")
@options.store
@options.engine
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json", "compose"]),
    default="text",
    help="What goes to stdout; compose, a Compose file, with --dry-run alone.",
)
@options.running("up")
def command(
    bundle: str,
    timeout: float,
    dry_run: bool,
    restart_training: bool,
    last: bool,
    accepted: tuple[str, ...],
    store: Path,
    output: str,
    events: Events,
) -> None:
    """Bring a bundle up on this node: check, verify, load, train, serve, ask. What is done is left alone.

    \b
    bundle up demo
    bundle up demo -v                 # with what training says
    bundle up demo --timeout 7200 -o json
    bundle up demo --dry-run          # each container, before it runs; -o compose as a Compose file
    bundle up demo:1.1                # over demo:1.0: only what differs; bundle rollback demo goes back
    bundle up demo --restart-training
    """
    opened = Store.open(store)
    entry = brought_up_last(opened, bundle) if last else opened.find(bundle)
    if dry_run:
        plan = up_plan(opened, entry, restart_training=restart_training)
        if output == "compose":
            click.echo(plan.compose, nl=False)
        else:
            options.show(output, as_plan_json(plan), as_text(plan))
        return
    if output == "compose":
        raise click.UsageError("-o compose goes with --dry-run")
    result = up(opened, entry, events, timeout=timeout, restart_training=restart_training, accepted=accepted)
    options.show(output, document(result), text(result))


def document(result: UpResult) -> dict[str, object]:
    """As data."""
    return {
        "bundle": str(result.release.name),
        "root": str(result.release.root),
        "changed": result.changed,
        "verified": {"blobs": result.verification.blobs, "bytes": result.verification.bytes},
        "findings": as_json(result.findings),
        "loaded": list(result.loaded),
        "jobs": [{"name": job.name, "ran": job.ran, "seconds": round(job.seconds, 1)} for job in result.jobs],
        "services": [{"name": s.name, "url": s.url, "started": s.started} for s in result.services],
        "answer": {"question": result.answer.question, "text": result.answer.text} if result.answer else None,
        "directory": str(result.release.directory),
    }


def text(result: UpResult) -> str:
    """For people."""
    name = result.release.name
    did = "is up" if result.changed else "was up already: nothing changed"
    verified = f"{result.verification.blobs} blobs, {format_size(result.verification.bytes)} verified"
    lines = [f"{name} {did} ({verified})"]
    for job in result.jobs:
        lines.append(f"  {job.name}: {'done' if job.ran else 'done before'} in {format_duration(job.seconds)}")
    for service in result.services:
        lines.append(f"  {service.name}: {service.url}")
    if result.answer:
        lines += ["", f"question: {result.answer.question}", f"answer:   {result.answer.text}"]
    return "\n".join(lines)
