"""`bundle facts`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from bundler.cli import options
from bundler.cli.table import table
from bundler.core.errors import BundlerError
from bundler.core.size import format_size
from bundler.engine.docker import DockerEngine
from bundler.node.facts import Facts, encode
from bundler.node.reading import read_facts


@click.command("facts")
@options.store
@options.engine
@options.output
def command(store: Path, output: str) -> None:
    """Read what this node is: GPUs, driver, engine, memory, disks. Judges nothing and changes nothing.

    \b
    bundle facts
    bundle facts -o json > node.json    # for whoever plans the bundle, or helps
    """
    facts = read_facts(engine_or_reason(), store)
    options.show(output, {"facts": encode(facts)}, as_text(facts))


def engine_or_reason() -> DockerEngine | BundlerError:
    """The engine, or why there is none: a node without one is judged all the same."""
    try:
        return DockerEngine.connect()
    except BundlerError as error:
        return error


def as_text(facts: Facts) -> str:
    """For people: a line a thing, and below what could not be read."""
    return table(["FACT", "FOUND"], list(_rows(facts)))


def _rows(facts: Facts) -> Iterator[tuple[str, str]]:
    machine = facts.machine
    yield "host", f"{facts.host}, Linux {facts.kernel}, {facts.cores} cores" + (", virtual" if machine.virtual else "")
    if machine.memory_total is not None and machine.memory_available is not None:
        yield "memory", f"{format_size(machine.memory_available)} of {format_size(machine.memory_total)} free"
    yield "driver", f"{facts.driver}, CUDA {facts.cuda}" if facts.driver else "none"
    for gpu in facts.gpus:
        free = f"{format_size(gpu.memory_free)} of {format_size(gpu.memory_total)} free"
        yield f"gpu {gpu.index}", f"{gpu.name}, compute capability {gpu.capability}, {free}"
    for xid in facts.xids:
        yield "xid", f"{xid.code} on {xid.device}, {xid.count} times since boot"
    if facts.engine:
        gpus = "gives GPUs" if facts.engine.offers_gpus else "gives no GPUs"
        yield "engine", f"{facts.engine.product} {facts.engine.version}, {facts.engine.storage}, {gpus}"
    for path, disk in facts.disks.items():
        yield "disk", f"{path}: {format_size(disk.free)} of {format_size(disk.total)} free"
    unread = {**facts.unreadable, **machine.unreadable}
    unread |= {f"gpu {gpu.index} {name}": reason for gpu in facts.gpus for name, reason in gpu.unreadable.items()}
    for name, reason in unread.items():
        yield f"{name} (not read)", reason
