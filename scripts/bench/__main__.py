"""`make bench`: every figure, as a ratio against its peer in the same run, with what was aimed at."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from bundler.cli.table import table
from scripts.bench import export, fill, hub, push, startup, verify
from scripts.bench.measure import Figure
from scripts.world.errors import WorldError
from scripts.world.place import Place


def main() -> int:
    """Measure and print. Exit code 1 where a goal is missed."""
    print(
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    )
    try:
        figures = list(_figures())
    except WorldError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    rows = [(figure.what, figure.value, figure.goal, "yes" if figure.reached else "NO") for figure in figures]
    print(table(("WHAT", "MEASURED", "GOAL", "REACHED"), rows))
    return 0 if all(figure.reached for figure in figures) else 1


def _figures() -> Iterator[Figure]:
    yield from startup.figures()
    yield from export.figures()
    with TemporaryDirectory(dir=Place.default().directory("bench")) as directory:
        yield from fill.figures(Path(directory))
    with TemporaryDirectory(dir=Place.default().directory("bench")) as directory:
        yield from hub.figures(Path(directory))
    yield from push.figures()
    yield from verify.figures()


if __name__ == "__main__":
    sys.exit(main())
