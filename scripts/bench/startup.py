"""How long the command takes before it does anything."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from bundler.store.layout import Store
from scripts.bench.measure import Contender, Figure, medians

GOAL = 0.150


def figures(directory: Path) -> Iterator[Figure]:
    """`bundle --help`, and `bundle status` of a store that has no release yet, as installed."""
    bundle = str(Path(sys.executable).with_name("bundle"))
    store = Store.create(directory / "store").root
    contenders = [
        Contender("bundle --help", (bundle, "--help")),
        Contender("bundle status", (bundle, "status", "--store", str(store))),
    ]
    for name, seconds in medians(contenders, 15).items():
        yield Figure(name, f"{seconds * 1000:.0f} ms", f"<= {GOAL * 1000:.0f} ms", seconds <= GOAL)
