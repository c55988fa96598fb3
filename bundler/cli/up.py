"""`bundle up`."""

from __future__ import annotations

from pathlib import Path

import click

from bundler.cli import options
from bundler.cli.findings import as_json
from bundler.core.events import Events
from bundler.core.size import format_duration, format_size
from bundler.operations.up import UpResult, up
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
@click.option("--accept", "accepted", multiple=True, metavar="CHECK", help="Go on though this check blocks.")
@options.store
@options.output
@options.running("up")
def command(bundle: str, timeout: float, accepted: tuple[str, ...], store: Path, output: str, events: Events) -> None:
    """Bring a bundle up on this node: check, verify, load, train, serve, ask. What is done is left alone.

    \b
    bundle up demo
    bundle up demo -v                 # with what training says
    bundle up demo --timeout 7200 -o json
    """
    opened = Store.open(store)
    result = up(opened, opened.find(bundle), events, timeout=timeout, accepted=accepted)
    options.show(output, _document(result), _text(result))


def _document(result: UpResult) -> dict[str, object]:
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


def _text(result: UpResult) -> str:
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
