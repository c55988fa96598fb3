"""`make bench`: every figure, as a ratio against its peer in the same run, with what was aimed at."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from bundler.cli.table import table
from scripts.bench import data, doors, export, fill, hub, large, load, node, paramiko_door, push, startup, verify
from scripts.bench.measure import Figure
from scripts.world.errors import WorldError
from scripts.world.place import Place

Measure = Callable[[Path], Iterator[Figure]]
ALL: tuple[Measure, ...] = (
    startup.figures,
    export.figures,
    fill.figures,
    hub.figures,
    lambda _: push.figures(),
    lambda _: paramiko_door.figures(),
    lambda _: doors.figures(),
    verify.figures,
    data.figures,
    load.figures,
    lambda _: node.figures(),
)
LARGE: tuple[Measure, ...] = (large.figures,)
NODE: tuple[Measure, ...] = (load.figures, lambda _: node.figures())
PARTS = {"large": LARGE, "node": NODE}


def main() -> int:
    """Measure and print. Exit code 1 where a goal is missed, 2 where something could not be measured.

    The argument `large` is for the 10 GB bundle alone, `node` for what a node does alone.
    """
    load_before = os.getloadavg()[0]
    print(
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    )
    figures: list[Figure] = []
    missing = 0
    for measure in PARTS.get("".join(sys.argv[1:]), ALL):
        try:
            for figure in _in_a_directory(measure):
                figures.append(figure)
                print(f"{figure.what}: {figure.value}", file=sys.stderr, flush=True)  # the whole takes ten minutes
        except WorldError as error:  # what was measured is shown all the same
            missing += 1
            print(f"error: {error}", file=sys.stderr)
    print(f"load of the machine before {load_before:.1f}, at the end {os.getloadavg()[0]:.1f}")
    rows = [(figure.what, figure.value, figure.goal, "yes" if figure.reached else "NO") for figure in figures]
    print(table(("WHAT", "MEASURED", "GOAL", "REACHED"), rows))
    return 2 if missing else 0 if all(figure.reached for figure in figures) else 1


def _in_a_directory(measure: Measure) -> Iterator[Figure]:
    """With a directory on the disk for the while."""
    with TemporaryDirectory(dir=Place.default().directory("bench")) as directory:
        yield from measure(Path(directory))


if __name__ == "__main__":
    sys.exit(main())
