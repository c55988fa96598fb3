"""`bundle unit`."""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import sys
from pathlib import Path

import click

from bundler.cli import options
from bundler.core.durable import explained, write_file
from bundler.core.events import Events
from bundler.engine import endpoint
from bundler.operations.standing import standing
from bundler.operations.unit import DIRECTORY, Boot, render
from bundler.operations.verify import AGENT_FILE
from bundler.store.layout import Store


@click.command("unit")
@click.argument("bundle", required=False)
@click.option(
    "--write", "path", type=click.Path(path_type=Path), help="A file, or a directory for bundle-NAME.service."
)
@click.option("--accept", "accepted", multiple=True, metavar="CHECK", help="At boot, go on though this check blocks.")
@options.store
@options.engine
@options.output
@options.running("unit")
def command(
    bundle: str | None,
    path: Path | None,
    accepted: tuple[str, ...],
    store: Path,
    output: str,
    events: Events,  # noqa: ARG001
) -> None:
    """Write a systemd unit that brings a release up again after boot, at the version that was up last.

    \b
    bundle unit demo
    bundle unit demo --write /etc/systemd/system
    """
    opened = Store.open(store)
    release = standing(opened, bundle)
    root = opened.root.resolve()
    user = pwd.getpwuid(os.geteuid()).pw_name if os.geteuid() else ""
    hosts = {name: value for name in ("DOCKER_HOST", "CONTAINER_HOST") if (value := os.environ.get(name))}
    kind, client = endpoint.chosen(), endpoint.client()
    boot = Boot(
        release.name.name,
        root,
        _program(root),
        hosts,
        user,
        accepted,
        # the one that was found is said too, or a Docker that is installed later would be asked
        {"auto": "" if client == "docker" else client}.get(kind, kind),
        "podman.socket" if client == "podman" else "docker.service",
    )
    text = render(boot)
    document = {"name": boot.unit, "text": text, "path": str(path) if path else None}
    if path is None:
        return options.show(output, document, text.rstrip())
    target = path / boot.unit if path.is_dir() else path
    with explained(target):
        write_file(target, text.encode())
    enable = f"systemctl daemon-reload && systemctl enable --now {shlex.quote(target.name)}"
    if target.parent != Path(DIRECTORY):
        enable = f"{shlex.join(('install', '-m', '644', str(target), f'{DIRECTORY}/{boot.unit}'))} && {enable}"
    return options.show(output, {**document, "path": str(target)}, f"wrote {target}\n  {enable}")


def _program(store: Path) -> tuple[str, ...]:
    """The store's agent; else this program, by whole paths, as systemd wants it."""
    if (store / AGENT_FILE).is_file():
        return (str(store / AGENT_FILE),)
    called = shutil.which(sys.argv[0])
    if called and Path(called).name == "bundle":
        return (str(Path(called).absolute()),)
    return (sys.executable, "-m", "bundler")
