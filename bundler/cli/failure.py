"""How a failure is told: what happened, why, and the command that mends it; a traceback only with -v."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

import click

from bundler.cli import session
from bundler.core.durable import refused
from bundler.core.errors import BundlerError, Interrupted, UsageInvalid


class LibraryMissing(UsageInvalid):
    """The agent, or an installation that is not whole, was asked for a verb that it lacks a library for."""

    def __init__(self, library: str) -> None:
        super().__init__(
            f"the Python library {library} is not there, and this verb needs it",
            because="the program of a store brings what the verbs of a node need, and no more",
            hint="pip install .   # in a checkout of bundle, on the machine with internet; then the same command there",
        )


def report(error: BaseException) -> int:
    """Tell the user of a failure. Returns the exit code of its class."""
    session.end()
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        error = Interrupted(
            "interrupted", because="what was done is kept", hint="run the same command again: it goes on from here"
        )
    if isinstance(error, BrokenPipeError):  # whoever read our output has enough: `bundle logs x y | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if isinstance(error, ModuleNotFoundError) and error.name and error.name.partition(".")[0] != "bundler":
        error = LibraryMissing(error.name)
    if isinstance(error, OSError):
        error = refused(error, Path(error.filename or "."))
    trace = "".join(traceback.format_exception(error))
    log = session.write_log(trace)
    if session.verbosity() > 0:
        click.echo(trace, err=True)
    click.echo(_told(error), err=True)
    if log:
        click.echo(f"log:  {log}", err=True)
    return error.exit_code if isinstance(error, BundlerError) else 1


def _told(error: BaseException) -> str:
    if not isinstance(error, BundlerError):
        return (
            f"{_red('error:')} {type(error).__name__}: {error}\n"
            "  this is a fault in bundle itself: the log below has the details\n\n"
            "hint: run it again with -v, and send the log to whoever maintains bundle for you"
        )
    lines = [f"{_red('error:')} {error.what}"]
    if error.because:
        lines.append(f"  {error.because}")
    if error.hint:
        lines += ["", f"hint: {error.hint}"]
    return "\n".join(lines)


def _red(text: str) -> str:
    return click.style(text, fg="red", bold=True) if session.coloured(sys.stderr) else text
