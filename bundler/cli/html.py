"""The option `--html FILE`, and the writing of its page."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from bundler.core.durable import explained, write_file
from bundler.core.errors import UsageInvalid


class NoPlaceForReport(UsageInvalid):
    """`--html` names something that no page can be written over."""


def _regular(ctx: click.Context, _: click.Parameter, value: Path | None) -> Path | None:
    """Refused before the work, not after it: an evaluation takes hours."""
    if value is None or not value.exists() or value.is_file():
        return value
    if value.is_dir():
        raise NoPlaceForReport(
            f"--html {value}: it is a directory",
            because="the report is one file",
            hint=_command(ctx, str(value / "report.html")),
        )
    raise NoPlaceForReport(
        f"--html {value}: it is not a file",
        because="the report gets its name when it is whole, in the place of what is there",
        hint=_command(ctx, "report.html"),
    )


def _command(ctx: click.Context, file: str) -> str:
    """This verb of the same argument, with another file."""
    arguments = (one.name or "" for one in ctx.command.params if isinstance(one, click.Argument))
    given = (str(ctx.params.get(name) or name.upper()) for name in arguments)
    return shlex.join(("bundle", ctx.info_name or "", *given, "--html", file))


option = click.option(
    "--html",
    "report",
    type=click.Path(path_type=Path),
    metavar="FILE",
    callback=_regular,
    help="Also write a report: one page for any browser, which loads nothing.",
)
"""The verb's function gets `report`: a path, or None."""


def write_page(path: Path, page: str) -> str:
    """Write a page durably; a line for people that says where. Raises NoSpace, WriteFailed."""
    target = path.resolve()  # what a link points at is replaced, not the link
    with explained(target):
        write_file(target, page.encode())
    return f"report {path}"
