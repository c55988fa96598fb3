"""`bundle push`."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bundler.cli import options
from bundler.cli.ask_secret import on_terminal
from bundler.cli.table import table
from bundler.core.events import Events
from bundler.core.records import to_json
from bundler.core.size import format_duration, format_size
from bundler.store.layout import BundleEntry, Store

if TYPE_CHECKING:
    from bundler.operations.push_plan import PushPlan


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
@click.option(
    "--client",
    type=click.Choice(["auto", "openssh", "paramiko"]),
    default="auto",
    help="What logs in: OpenSSH; paramiko where there is none, or where the host wants a password.",
)
@click.option(
    "--password-file",
    type=click.Path(path_type=Path, allow_dash=True, exists=True),
    help="The password is its first line; - is stdin. Without it, a terminal is asked.",
)
@click.option("--streams", type=click.IntRange(1, 16), help="Connections at once.")
@click.option(
    "--door",
    type=click.Choice(["auto", "exec", "sftp"]),
    default="auto",
    help="How to get in: a shell, which hashes what arrives, or SFTP alone.  [default: a shell where there is one]",
)
@click.option("--recheck", is_flag=True, help="Hash what is there already, and send again what is damaged.")
@click.option("--limit", type=options.RATE, help="Send no more than this in a second: 50MiB/s.")
@click.option("--dry-run", is_flag=True, help="Show what would be sent and how long it takes; change nothing there.")
@click.option(
    "--accept-new-host-key",
    "accept_new",
    is_flag=True,
    help="Take the key of a host that is not known yet, and remember it. Never one that has changed.",
)
@options.store
@options.output
@options.running("push")
def command(
    bundle: str,
    destination: str,
    port: int | None,
    identity: Path | None,
    ssh_config: Path | None,
    client: str,
    password_file: Path | None,
    streams: int | None,
    door: str,
    recheck: bool,
    limit: int | None,
    dry_run: bool,
    accept_new: bool,
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
    bundle push demo root@10.0.0.5:/data/bundles --limit 50MiB/s --dry-run
    bundle push demo root@10.0.0.5:/data/bundles --password-file ~/.intranet-password
    """
    from bundler.operations.login import Ask, from_file, logged_in, read_password_file
    from bundler.operations.push import push
    from bundler.operations.push_plan import plan_push
    from bundler.transport.destination import Destination
    from bundler.transport.doors import open_door
    from bundler.transport.keyring import Keyring
    from bundler.transport.limit import Limit

    opened = Store.open(store)
    entry = opened.find(bundle)
    target = Destination.parse(destination, port=port or 0, identity=identity, config=ssh_config, accept_new=accept_new)
    ceiling = Limit(limit) if limit else None
    ask: Ask = on_terminal
    if password_file:
        piped = str(password_file) == "-"
        ask = from_file(sys.stdin.readline() if piped else read_password_file(password_file), on_terminal)
        client = "paramiko" if client == "auto" else client
    way = logged_in(
        target,
        lambda login: open_door(login, events, door=door, streams=streams, limit=ceiling),
        Keyring(),
        ask,
        client=client,
    )
    with closing(way) as remote:
        if dry_run:
            show_plan(entry, plan_push(opened, entry, remote, events, limit=limit), output)
            return
        result = push(opened, entry, remote, events, recheck=recheck)
    sent = f"{result.sent.blobs} blobs sent ({format_size(result.sent.bytes)})"
    unverified = "" if result.verified else "  the host hashed nothing: `bundle up` there does, before it uses any\n"
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
            "verified": result.verified,
            "seconds": round(result.seconds, 2),
            "receipt": str(result.receipt),
        },
        f"{entry.name} is on {result.host} in {result.directory}: {sent}, {present}, "
        f"{format_duration(result.seconds)}\n"
        f"  root {entry.root.digest}\n"
        f"{unverified}"
        f"  receipt {result.receipt}\n"
        f"  there: {result.directory}/bundle up {entry.name}",
    )


def show_plan(bundle: BundleEntry, plan: PushPlan, output: str) -> None:
    """What a push would send: a table, the largest first."""
    sizes = [(parcel.label, format_size(parcel.size), format_size(parcel.bytes)) for parcel in plan.parcels]
    there = f"{plan.present.blobs} blobs are there ({format_size(plan.present.bytes)})"
    lines = [table(("TO SEND", "SIZE", "BYTES"), sizes)] if sizes else []
    lines.append(f"{bundle.name} to {plan.host}:{plan.directory}: {_amount(plan)}; {there}")
    if plan.free is not None:
        lines.append(f"  {format_size(plan.free)} free there; nothing was sent or changed")
    document = {
        "bundle": str(bundle.name),
        "root": str(bundle.root.digest),
        "dry_run": True,
        "host": plan.host,
        "directory": plan.directory,
        "to_send": [to_json(parcel) for parcel in plan.parcels],
        "bytes": plan.bytes,
        "present": to_json(plan.present),
        "free": plan.free,
        "rate": to_json(plan.rate) if plan.rate else None,
        "seconds": None if plan.seconds is None else round(plan.seconds, 2),
    }
    options.show(output, document, "\n".join(lines))


def _amount(plan: PushPlan) -> str:
    if not plan.parcels:
        return "nothing to send"
    amount = f"{len(plan.parcels)} blobs, {format_size(plan.bytes)} to send"
    if plan.rate is None or plan.seconds is None:
        return f"{amount}; how fast the way is can't be told before the first push"
    speed = f"{format_size(plan.rate.bytes_per_second)}/s ({plan.rate.source})"
    return f"{amount}, about {format_duration(plan.seconds)} at {speed}"
