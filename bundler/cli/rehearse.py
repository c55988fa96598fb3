"""`bundle rehearse`."""

from __future__ import annotations

from pathlib import Path

import click

from bundler.cli import options
from bundler.cli.findings import as_json, as_table
from bundler.core import hint
from bundler.core.errors import CheckRefused
from bundler.core.events import Events
from bundler.core.size import format_duration
from bundler.operations.rehearse import ANSWER, PATIENCE, STEP, Rehearsal, rehearse
from bundler.store.layout import Store

_LONGEST = 30 * 86400
"""Seconds: an alarm takes no more than fits into 32 bits (alarm(2))."""


@click.command("rehearse")
@click.argument("bundle")
@click.option(
    "--without",
    multiple=True,
    type=click.Choice([STEP, ANSWER]),
    help="Leave out the training step, or the answer, also where they could be tried.",
)
@click.option(
    "--timeout",
    type=click.IntRange(1, _LONGEST),
    default=PATIENCE,
    show_default=True,
    help="Seconds for each container, 30 days at most.",
)
@options.store
@options.engine
@options.output
@options.running("rehearse")
def command(bundle: str, without: tuple[str, ...], timeout: int, store: Path, output: str, events: Events) -> int:
    """Run a bundle here as the node will: no network, its own images, one probe in each. Exit code 13 where it fails.

    \b
    bundle rehearse demo
    bundle rehearse demo --without step --without answer
    bundle rehearse demo -o json
    bundle rehearse qwen3-32b-l20x4 -v     # with all that the images' programs say
    """
    opened = Store.open(store)
    found = rehearse(opened, opened.find(bundle), events, without=frozenset(without), patience=timeout)
    options.show(output, _document(found), _text(found, store))
    return 0 if found.passed else CheckRefused.exit_code


def _document(found: Rehearsal) -> dict[str, object]:
    kept = found.evidence
    return {
        "bundle": kept.bundle,
        "root": str(kept.root),
        "passed": found.passed,
        "when": kept.when,
        "seconds": kept.seconds,
        "engine": kept.engine,
        "machine": kept.machine,
        "gpus": kept.gpus,
        "versions": {image: dict(versions) for image, versions in kept.versions.items()},
        "loaded": list(found.loaded),
        "findings": as_json(found.findings),
    }


def _text(found: Rehearsal, store: Path) -> str:
    kept = found.evidence
    said = ", ".join(f"{number} {word}" for word, number in kept.count().items())
    shown = hint.bundle("inspect", kept.bundle, store=store)
    then = "bundle push carries it along" if found.passed else "mend what blocks, build, and rehearse again"
    return (
        f"{as_table(found.findings)}\n\n"
        f"{kept.bundle} was rehearsed in {format_duration(kept.seconds)} on {kept.machine}: {said}\n"
        f"  root {kept.root}\n"
        f"  kept beside the bundle, and shown by: {shown}\n"
        f"  {then}"
    )
