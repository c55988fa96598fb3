"""`bundle evaluate`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from bundler.cli import html, options
from bundler.cli.table import table
from bundler.core.events import Events
from bundler.core.records import to_json
from bundler.operations.evaluate import Evaluation, evaluate
from bundler.operations.standing import brought_up_last
from bundler.store.layout import Store

_FIRST = 3
_SHOWN = ("bleu-4", "rouge-1", "rouge-2", "rouge-l")


@click.command("evaluate")
@click.argument("bundle")
@click.option("--show", type=click.IntRange(min=0), default=_FIRST, show_default=True, help="Answers shown in full.")
@html.option
@options.store
@options.engine
@options.output
@options.running("evaluate")
def command(bundle: str, show: int, report: Path | None, store: Path, output: str, events: Events) -> None:
    """Ask base and tuned model the test split of the manifest's section `evaluate`, and compare: BLEU, ROUGE, answers.

    \b
    bundle evaluate demo
    bundle evaluate demo --show 20
    bundle evaluate demo -o json
    bundle evaluate demo --html report.html   # figures as bars, answers side by side
    """
    html.require_place(report, "evaluate", bundle, store=store)
    opened = Store.open(store)
    found = evaluate(opened, brought_up_last(opened, bundle), events)
    lines = list(text(found, show))
    if report:
        from bundler.report import evaluation_page

        lines.append(html.write_page(report, evaluation_page(document(found))))
    options.show(output, document(found), "\n".join(lines))


def document(found: Evaluation) -> dict[str, object]:
    """The `-o json` document, with every answer."""
    return {
        "bundle": str(found.release.name),
        "jobs": [{"name": job.name, "ran": job.ran, "seconds": round(job.seconds, 1)} for job in found.jobs],
        "metrics": {"base": dict(found.base), "tuned": dict(found.tuned)},
        "answers": [to_json(answer) for answer in found.answers],
        "results": [str(path) for path in found.results()],
    }


def text(found: Evaluation, show: int) -> Iterator[str]:
    """For people: the metrics, then the first answers."""
    rows = [
        (name, f"{found.base[name]:.2f}", f"{found.tuned[name]:.2f}", f"{found.tuned[name] - found.base[name]:+.2f}")
        for name in _SHOWN
        if name in found.base and name in found.tuned
    ]
    yield f"{found.release.name}, {len(found.answers)} samples"
    yield table(("METRIC", "BASE", "TUNED", "CHANGE"), rows)
    for number, answer in enumerate(found.answers[:show], start=1):
        yield f"\n{number}. {_inline(answer.prompt)}"
        for who, said in (("expected", answer.label), ("base", answer.base), ("tuned", answer.tuned)):
            yield f"   {who:<9} {_inline(said)}"
    yield f"\nall of it: {' and '.join(map(str, found.results()))}"


def _inline(words: str) -> str:
    """Text of a model on one line, and nothing in it that a terminal would act on."""
    return "".join(letter if letter.isprintable() else " " for letter in " ".join(words.split()))
