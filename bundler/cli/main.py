"""`bundle`: finds the verb's module when it is called, so that help and status start fast."""

from __future__ import annotations

import io
import os
import signal
import sys
from importlib import import_module

import click

from bundler import __version__
from bundler.cli.failure import report

VERBS: dict[str, dict[str, str]] = {
    "The three of the first day": {
        "build": "Fetch and pin all that a manifest names, into a store.",
        "push": "Send a bundle to a host over SSH: only what it lacks.",
        "up": "On a GPU node: verify, check, load, train, serve, ask.",
    },
    "On the machine with internet": {
        "plan": "Predict the GPU memory that a manifest takes.",
        "lock": "Resolve a manifest to digests, and say what moved.",
        "rehearse": "Run a bundle here as the node will, before it travels.",
        "export": "Write a bundle to disks and sticks, as plain tars.",
        "schema": "Print the manifest's JSON schema.",
    },
    "On the node": {
        "import": "Take volumes into a store, in any order.",
        "facts": "Read what this node is, and judge nothing.",
        "check": "Say whether this node can run a bundle.",
        "status": "Show what runs.",
        "logs": "Show what a job or a service says.",
        "evaluate": "Compare base and tuned model on a test split.",
        "fetch-results": "Make a bundle of what a training left.",
        "down": "Stop a release; results and store stay.",
        "rollback": "Go back to the release before, with its results.",
        "unit": "Write a systemd unit: services come back after boot.",
    },
    "Anywhere": {
        "config": "Show the settings, and where each came from.",
        "list": "List the bundles of a store.",
        "receipts": "List what hosts have been sent, and verified.",
        "inspect": "Show what a bundle holds, and where it came from.",
        "diff": "Say what changed between two bundles.",
        "verify": "Read every byte of a bundle again, or of all.",
        "sbom": "Print a bill of materials: packages, models, licences.",
        "gc": "Delete blobs that no bundle needs.",
    },
}


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return [verb for verbs in VERBS.values() for verb in verbs]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = import_module(f"bundler.cli.{cmd_name.replace('-', '_')}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        for title, verbs in VERBS.items():
            with formatter.section(title):
                formatter.write_dl(list(verbs.items()))


@click.command(
    cls=_Verbs,
    epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 in part, 10 manifest, 11 locked, 12 integrity, "
    "13 refused by a check, 14 network, 15 no space, 130 interrupted.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", prog_name="bundle", message="%(prog)s %(version)s")
def cli() -> None:
    """Carries LLM fine-tuning and serving across an air gap.

    \b
    bundle build manifests/demo.yaml             # with internet: pin, fetch, check
    bundle push demo root@host:/data/bundles     # to the other side
    /data/bundles/bundle up demo                 # there: train, serve, answer
    """


def _interrupt(*_: object) -> None:
    """A termination signal ends a run as Ctrl-C does: cleanly, and what is done is kept."""
    raise KeyboardInterrupt


def main() -> None:
    """The entry point of `bundle`, of `python -m bundler`, and of the agent."""
    # What a container or another user is to read must not depend on this user's umask; secrets are never written.
    os.umask(0o022)
    for stream in (sys.stdout, sys.stderr):  # what can't be said in this locale is escaped, and fails nothing
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = cli.main(standalone_mode=False)
    except (click.exceptions.Exit, click.ClickException, Exception, KeyboardInterrupt) as error:  # noqa: BLE001
        code = report(error)
    sys.exit(code if isinstance(code, int) else 0)
