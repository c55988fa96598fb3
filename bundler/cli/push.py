"""`bundle push`."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import click

from bundler.cli import options
from bundler.cli.ask_secret import on_terminal
from bundler.core import hint
from bundler.core.events import Events
from bundler.core.records import to_json
from bundler.store.layout import Store


@click.command("push")
@click.argument("bundle")
@click.argument("destinations", metavar="[USER@]HOST:/DIR...", nargs=-1)
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
    type=click.Choice(["auto", "exec", "sftp", "scp"]),
    default="auto",
    help="How to get in: a shell, which hashes what arrives; SFTP; scp.  [default: a shell where there is one]",
)
@click.option("--recheck", is_flag=True, help="Hash what is there already, and send again what is damaged.")
@click.option("--limit", type=options.RATE, help="No more than this a second, of all hosts: 50MiB/s.")
@click.option("--via", metavar="[USER@]HOST:/DIR", help="Push there first; that host feeds the others, with its keys.")
@click.option("--forward-agent", is_flag=True, help="With --via: lend that host this machine's ssh agent.")
@click.option(
    "--accept-new-host-key", "accept_new", is_flag=True, help="Take a key that is not known; never a changed one."
)
@click.option("--dry-run", is_flag=True, help="Show what would be sent and how long it takes; change nothing there.")
@click.option("--relayed", is_flag=True, hidden=True, help="Tell the bundle that started this one.")
@options.store
@options.output
@options.running("push")
def command(
    bundle: str,
    destinations: tuple[str, ...],
    port: int | None,
    identity: Path | None,
    ssh_config: Path | None,
    client: str,
    password_file: Path | None,
    streams: int | None,
    door: str,
    recheck: bool,
    limit: int | None,
    via: str | None,
    forward_agent: bool,
    accept_new: bool,
    dry_run: bool,
    relayed: bool,
    store: Path,
    output: str,
    events: Events,
) -> None:
    """Send a bundle to hosts over SSH: only what each lacks, hashed there, listed there last. Run again, it goes on.

    A host needs sshd, and a shell with coreutils, or SFTP, or scp. Its key must be known: it is never accepted unasked.

    \b
    bundle push demo root@10.0.0.5:/data/bundles
    bundle push demo gpu-host:/data/bundles            # an alias of ~/.ssh/config
    bundle push demo ssh://root@10.0.0.5:2222/data/bundles --identity ~/.ssh/id_ed25519
    bundle push demo root@10.0.0.5:/data/bundles --password-file ~/.intranet-password
    bundle push demo a:/data b:/data --limit 50MiB/s   # both at once
    bundle push demo --via a:/data b:/data c:/data     # a feeds b and c
    bundle push demo gpu-host:/data/bundles --dry-run
    """
    from bundler.cli import push_report
    from bundler.operations import several_hosts
    from bundler.operations.login import Ask, Login, from_file, read_password_file
    from bundler.operations.push import push
    from bundler.operations.push_plan import plan_push
    from bundler.operations.push_report import Failure, Pushed, PushedInPart, Report
    from bundler.operations.push_via import Onward, push_on
    from bundler.transport.destination import Destination
    from bundler.transport.doors import AnyDoor, open_door
    from bundler.transport.keyring import Keyring
    from bundler.transport.limit import Limit

    if not destinations:
        raise click.UsageError("name a host: bundle push NAME HOST:/DIR")
    if via and dry_run:
        raise click.UsageError("--dry-run looks from here: name all hosts without --via")
    if forward_agent and not via:
        raise click.UsageError("--forward-agent goes with --via")
    opened = Store.open(store)
    entry = opened.find(bundle)
    near = (via,) if via else destinations
    targets = [
        Destination.parse(text, port=port or 0, identity=identity, config=ssh_config, accept_new=accept_new)
        for text in near
    ]
    beyond = [Destination.parse(text) for text in destinations] if via else []
    several_hosts.distinct([*targets, *beyond])
    ceiling = Limit(limit) if limit else None
    ask: Ask = on_terminal
    if password_file:
        piped = str(password_file) == "-"
        ask = from_file(sys.stdin.readline() if piped else read_password_file(password_file), on_terminal)
        client = "paramiko" if client == "auto" else client
    keyring = Keyring()
    make = partial(open_door, streams=streams, limit=ceiling)
    logins = [Login(target, make, keyring, ask, events, client=client, door=door) for target in targets]
    remotes = [(target, AnyDoor(login.first(), login.otherwise)) for target, login in zip(targets, logins, strict=True)]
    with ExitStack() as stack:
        for _, remote in remotes:
            stack.enter_context(closing(remote))
        if dry_run:
            looked = several_hosts.each(
                remotes, lambda _, remote: plan_push(opened, entry, remote, events, limit=limit)
            )
            plans = [one.result for one in looked if one.result]
            if plans:
                options.show(output, push_report.plans_document(entry, plans), push_report.plans_text(entry, plans))
            for one in looked:
                one.done()  # the first host that could not be looked at
            return
        if len(near) == 1 and not relayed:
            [(_, remote)] = remotes
            result = push(opened, entry, remote, events, recheck=recheck)
            if not via:
                options.show(output, push_report.one_document(entry, result), push_report.one_text(entry, result))
                return
            words = _words(limit=limit, streams=streams, recheck=recheck, accept_new=accept_new)
            onward = Onward(destinations, words)
            feeder = logins[0].client(forward_agent=forward_agent)
            pushes = (Pushed.of(via, result), *push_on(feeder, remote.place, entry, onward, events))
        else:
            outcomes = several_hosts.each(
                remotes,
                lambda target, remote: push(
                    opened, entry, remote, several_hosts.OfHost(events, target), recheck=recheck
                ),
            )
            pushes = tuple(
                Pushed(text, failure=Failure.of(one.failure)) if one.failure else Pushed.of(text, one.done())
                for text, one in zip(destinations, outcomes, strict=True)
            )
    report = Report(str(entry.name), entry.root.digest, pushes)
    if relayed:
        click.echo(json.dumps({"format": options.DOCUMENT, **to_json(report)}))
    else:
        options.show(output, to_json(report), push_report.text(report))
    if report.failed:
        words = _words(limit=limit, streams=streams, recheck=recheck, accept_new=accept_new)
        reach = [*(("--via", via) if via else ()), *(("--port", port) if port else ())]
        reach += [
            *(("--identity", identity) if identity else ()),
            *(("--ssh-config", ssh_config) if ssh_config else ()),
        ]
        reach += ["--forward-agent"] if forward_agent else []
        reach += ["--door", door] if door != "auto" else []
        reach += ["--password-file", password_file] if password_file else []
        reach += ["--client", client] if client != "auto" and not password_file else []
        rest = [pushed.destination for pushed in report.failed]
        raise PushedInPart(report, hint.bundle("push", str(entry.name), *rest, *words, *reach, store=store))


def _words(*, limit: int | None, streams: int | None, recheck: bool, accept_new: bool) -> tuple[str, ...]:
    """The options of this run that another one takes over."""
    words = [
        *(("--limit", str(limit)) if limit else ()),
        *(("--streams", str(streams)) if streams else ()),
        *(("--recheck",) if recheck else ()),
        *(("--accept-new-host-key",) if accept_new else ()),
    ]
    return tuple(words)
