"""The option `--html FILE`, and the writing of its page."""

from __future__ import annotations

from pathlib import Path

import click

from bundler.core import hint
from bundler.core.durable import explained, write_file
from bundler.core.errors import UsageInvalid

option = click.option(
    "--html",
    "report",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also write a report: one page for any browser, which loads nothing.",
)
"""The verb's function gets `report`: a path, or None."""


class NoPlaceForReport(UsageInvalid):
    """`--html` names something that no page can be written over."""


def require_place(report: Path | None, verb: str, *words: object, store: Path | None = None) -> None:
    """Refuse what is no file before the work, not after it: an evaluation takes hours. The rest is what was called."""
    if report is None or not report.exists() or report.is_file():
        return
    if report.is_dir():
        better, what, why = report / "report.html", "a directory", "the report is one file"
    else:
        better, what, why = Path("report.html"), "not a file", "the report takes the place of what is there, whole"
    raise NoPlaceForReport(
        f"--html {report}: it is {what}", because=why, hint=hint.bundle(verb, *words, "--html", better, store=store)
    )


def write_page(path: Path, page: str) -> str:
    """Write a page durably; a line for people that says where. Raises NoSpace, WriteFailed."""
    target = path.resolve()  # what a link points at is replaced, not the link
    with explained(target):
        write_file(target, page.encode())
    return f"report {path}"
