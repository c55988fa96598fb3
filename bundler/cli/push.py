"""`bundle push`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from bundler.cli import options
from bundler.core.events import Events
from bundler.core.records import to_json
from bundler.core.size import format_duration, format_size
from bundler.store.layout import Store


@click.command("push")
@click.argument("bundle")
@click.argument("destination", metavar="[USER@]HOST:/DIR")
@click.option("--port", type=click.IntRange(1, 65535), help="The SSH port, where ~/.ssh/config does not say it.")
@click.option("--identity", type=click.Path(path_type=Path, exists=True), help="The key to log in with.")
@click.option(
    "--ssh-config",
    type=click.Path(path_type=Path, exists=True),
    envvar="BUNDLE_SSH_CONFIG",
    help="In the place of ~/.ssh/config.",
)
@click.option("--streams", type=click.IntRange(1, 16), help="Connections at once.")
@click.option("--recheck", is_flag=True, help="Hash on the host what is there already, and send again what is damaged.")
@options.store
@options.output
@options.running("push")
def command(
    bundle: str,
    destination: str,
    port: int | None,
    identity: Path | None,
    ssh_config: Path | None,
    streams: int | None,
    recheck: bool,
    store: Path,
    output: str,
    events: Events,
) -> None:
    """Send a bundle to a host over SSH: only what it lacks, hashed there, listed there last. Run again, it goes on.

    The host needs sshd, a shell and coreutils. Its key must be known: it is never accepted unasked.

    \b
    bundle push demo root@10.0.0.5:/data/bundles
    bundle push demo gpu-host:/data/bundles            # an alias of ~/.ssh/config
    bundle push demo ssh://root@10.0.0.5:2222/data/bundles --identity ~/.ssh/id_ed25519
    """
    from bundler.operations.push import push
    from bundler.transport.destination import Destination
    from bundler.transport.openssh_client import OpenSshClient
    from bundler.transport.shell_store import STREAMS, ShellStore

    opened = Store.open(store)
    entry = opened.find(bundle)
    target = Destination.parse(destination, port=port or 0, identity=identity, config=ssh_config)
    with closing(ShellStore(OpenSshClient(target), streams=streams or STREAMS)) as remote:
        result = push(opened, entry, remote, events, recheck=recheck)
    sent = f"{result.sent.blobs} blobs sent ({format_size(result.sent.bytes)})"
    present = f"{result.present.blobs} were there ({format_size(result.present.bytes)})"
    options.show(
        output,
        {
            "bundle": str(entry.name),
            "root": str(entry.root.digest),
            "host": result.host,
            "directory": result.directory,
            "sent": to_json(result.sent),
            "present": to_json(result.present),
            "moved": result.moved,
            "seconds": round(result.seconds, 2),
            "receipt": str(result.receipt),
        },
        f"{entry.name} is on {result.host} in {result.directory}: {sent}, {present}, "
        f"{format_duration(result.seconds)}\n"
        f"  root {entry.root.digest}\n"
        f"  receipt {result.receipt}\n"
        f"  there: {result.directory}/bundle up {entry.name}",
    )
