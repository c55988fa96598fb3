"""Options that several verbs have, and the paths that they default to."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import click

from bundler.cli import session
from bundler.core import hint
from bundler.core.size import parse_size
from bundler.engine import endpoint

Function = TypeVar("Function", bound=Callable[..., Any])

DOCUMENT = 1
"""The version of every `-o json` document."""


class _Size(click.ParamType):  # type: ignore[type-arg] # generic from click 8.2 on only
    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return value if isinstance(value, int) else parse_size(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class _Rate(_Size):
    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        rate = super().convert(value.removesuffix("/s") if isinstance(value, str) else value, param, ctx)
        if rate < _SLOWEST:
            self.fail(f"{value} is too slow to be meant: 16KiB/s at least", param, ctx)
        return rate


SIZE = _Size()
"""An option's value like `48GiB` or `500MB`, in bytes."""

RATE = _Rate()
"""An option's value like `50MiB/s`, in bytes a second."""
_SLOWEST = 16 << 10


def default_store() -> Path:
    """Where bundles are without --store: beside the agent that runs, else where the settings say, else in this
    user's data directory. The agent reads no settings: it carries no YAML."""
    beside = Path(sys.argv[0]).resolve().parent
    if (beside / "oci-layout").is_file():
        return beside
    if find_spec("yaml") is not None:
        from bundler.manifest.settings import load_settings

        return load_settings().store or builtin_store()
    return builtin_store()


def builtin_store() -> Path:
    """Where bundles are when no one says anything."""
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share")
    return data / "bundle" / "store"


store = click.option(
    "--store",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="BUNDLE_STORE",
    default=default_store,
    show_default="the agent's own directory, else the settings', else ~/.local/share/bundle/store",
    help="The store: a directory that is an OCI image layout.",
)


def default_engine() -> str:
    """Which engine is meant without --engine: what the settings say, else the one that answers."""
    if find_spec("yaml") is None:
        return "auto"
    from bundler.manifest.settings import load_settings

    return load_settings().engine


def _choose_engine(ctx: click.Context, param: click.Parameter, value: str) -> None:
    endpoint.choose(value)
    if param.name and ctx.get_parameter_source(param.name) is click.core.ParameterSource.COMMANDLINE:
        hint.remember_engine(value)


engine = click.option(
    "--engine",
    type=click.Choice(endpoint.KINDS),
    envvar=endpoint.VARIABLE,
    default=default_engine,
    show_default="the settings', else auto: the one that answers, Docker first",
    expose_value=False,
    callback=_choose_engine,
    help="The container engine. DOCKER_HOST and CONTAINER_HOST say where it listens.",
)
"""Chosen for the whole process: operations connect to the engine where they need it."""

output = click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", help="What goes to stdout."
)


accept = click.option(
    "--accept",
    "accepted",
    multiple=True,
    type=click.Choice(["data", "model", "memory"]),
    help="Go on though this check refuses: data (what the training makes of the datasets), model (files that it "
    "lacks), memory (of the GPUs).",
)


def network(function: Function) -> Function:
    """Options on how registries and hubs are reached; the function gets `settings`."""

    @click.option(
        "--mirror",
        "mirrors",
        multiple=True,
        metavar="PREFIX=MIRROR",
        help="Ask a mirror first: docker.io=mirror.example. Several are asked in order.",
    )
    @click.option("--streams", type=int, help="Connections at once.  [default: 4]")
    @functools.wraps(function)
    def wrapped(mirrors: tuple[str, ...], streams: int | None, **arguments: Any) -> Any:
        from bundler.manifest.settings import Flags, load_settings

        return function(settings=load_settings(Flags(mirrors, streams)), **arguments)

    return wrapped  # type: ignore[return-value]


def running(verb: str) -> Callable[[Function], Function]:
    """Options on how a verb tells of its work; the function gets `events`, where its operation sends them."""

    def decorate(function: Function) -> Function:
        @click.option("-v", "--verbose", count=True, help="Say more: builders' and jobs' output, tracebacks.")
        @click.option("-q", "--quiet", is_flag=True, help="Say nothing but results, warnings and errors.")
        @click.option(
            "--progress",
            type=click.Choice(["auto", "tty", "plain", "quiet"]),
            default="auto",
            envvar="BUNDLE_PROGRESS",
            help="How progress is shown on stderr.",
        )
        @click.option("--events", "event_format", type=click.Choice(["json"]), help="Progress as JSON lines on stderr.")
        @click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", envvar="BUNDLE_COLOR")
        @functools.wraps(function)
        def wrapped(
            verbose: int, quiet: bool, progress: str, event_format: str | None, color: str, **arguments: Any
        ) -> Any:
            events = session.begin(
                verb, verbosity=verbose, quiet=quiet, progress=progress, events=event_format, color=color
            )
            try:
                return function(events=events, **arguments)
            finally:
                session.end()

        return wrapped  # type: ignore[return-value]

    return decorate


def show(output: str, document: dict[str, Any], text: str) -> None:
    """A verb's result on stdout: sentences for people, or one versioned document."""
    if output == "json":
        click.echo(json.dumps({"format": DOCUMENT, **document}, indent=2, sort_keys=True, ensure_ascii=False))
    elif text:
        click.echo(text)
