"""`bundle status`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bundler.cli import options
from bundler.cli.table import columns, table
from bundler.core import hint
from bundler.core.records import to_json
from bundler.core.size import format_duration, format_size
from bundler.node.gpu_load import GpuLoad
from bundler.operations.status import NodeStatus, ReleaseStatus, WorkloadStatus, node_status
from bundler.workloads.training_log import Progress

if TYPE_CHECKING:
    from bundler.core.events import Events

_EVERY = 2.0
_CLEAR = "\033[H\033[J"
"""The cursor goes home, and what is below is erased (ECMA-48, CUP and ED)."""


@click.command("status")
@click.option(
    "--watch",
    is_flag=False,
    flag_value=_EVERY,
    type=click.FloatRange(min=0.5),
    metavar="[SECONDS]",
    help=f"Show it again and again, until Ctrl-C; every {_EVERY:.0f} s when nothing is said.",
)
@options.store
@options.engine
@options.output
@options.running("status")
def command(watch: float | None, store: Path, output: str, events: Events) -> None:  # noqa: ARG001 - every verb has events
    """Show what runs on this node, of the bundles in this store: services, training, GPUs.

    \b
    bundle status
    bundle status --watch
    bundle status --watch 10
    bundle status -o json
    """
    if watch and output == "json":
        raise click.UsageError("--watch draws for people; a script asks again itself: bundle status -o json")
    if not (store / "oci-layout").is_file():
        from bundler.store.layout import NotAStore

        raise NotAStore(store)
    if watch:
        _watch(store, watch)
        return
    found = node_status(store)
    options.show(output, document(found), text(found, store))


def _watch(store: Path, every: float) -> None:
    try:
        while True:
            drawn = text(node_status(store), store)
            click.echo(f"{_CLEAR}{drawn}" if sys.stdout.isatty() else f"{drawn}\n")
            time.sleep(every)
    except KeyboardInterrupt:  # the way in which watching ends
        click.echo()


def document(found: NodeStatus) -> dict[str, object]:
    """The `-o json` document; what is unknown is left out."""
    releases = [
        {"bundle": release.bundle, "root": release.root, "workloads": [to_json(w) for w in release.workloads]}
        for release in found.releases
    ]
    return {"releases": releases, "gpus": [to_json(gpu) for gpu in found.gpus]}


def text(found: NodeStatus, store: Path) -> str:
    """For people: a table for each release, then the GPUs."""
    if not found.releases:
        return f"no release in {store}: {hint.bundle('up', 'NAME', store=store)} makes one"
    gpus = ["\n".join(columns([_gpu(gpu) for gpu in found.gpus]))] if found.gpus else []
    return "\n\n".join([*map(_release, found.releases), *gpus])


def _release(release: ReleaseStatus) -> str:
    rows = [(workload.name, workload.kind, workload.state, _detail(workload)) for workload in release.workloads]
    return f"{release.bundle}  {release.root[:19]}\n{table(['WORKLOAD', 'KIND', 'STATE', ''], rows)}"


def _detail(workload: WorkloadStatus) -> str:
    parts = [workload.detail, workload.health]
    if workload.training:
        parts.append(training(workload.training, running=workload.state == "running"))
    return ", ".join(part for part in parts if part)


def training(found: Progress, *, running: bool) -> str:
    """How far a training is, in a line."""
    share = f" ({100 * found.step / found.total:.0f} %)" if found.total else ""
    parts = [f"step {found.step}/{found.total or '?'}{share}"]
    if found.diverged:
        parts.append("loss is not a number: it has diverged")
    elif found.loss is not None:
        parts.append(f"loss {found.loss:.4g}")
    if found.tokens_per_second:
        parts.append(f"{found.tokens_per_second:,.0f} tokens/s")
    if running and found.left_seconds is not None:
        parts.append(f"{format_duration(found.left_seconds)} left")
    return ", ".join(parts)


def _gpu(gpu: GpuLoad) -> tuple[str, ...]:
    busy = "" if gpu.utilisation is None else f"{gpu.utilisation} % busy"
    return f"GPU {gpu.index}", gpu.name, f"{format_size(gpu.memory_used)} of {format_size(gpu.memory_total)}", busy
