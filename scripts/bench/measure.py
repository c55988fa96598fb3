"""Medians of commands that take turns, so that what else the machine does meets all of them alike."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Contender:
    """A command to time; `before` makes room for it each time, untimed."""

    name: str
    command: Sequence[str]
    before: Callable[[], object] = lambda: None


def medians(
    contenders: Sequence[Contender], rounds: int, environment: Mapping[str, str] | None = None
) -> dict[str, float]:
    """Seconds of each, the median of so many rounds. Raises CalledProcessError where one fails."""
    taken: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for _ in range(rounds):
        for contender in contenders:
            contender.before()
            began = time.perf_counter()
            subprocess.run(
                contender.command,
                env={**os.environ, **(environment or {})},
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            taken[contender.name].append(time.perf_counter() - began)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


@dataclass(frozen=True)
class Figure:
    """A line of the report: what, how much, against what, and the goal."""

    what: str
    value: str
    goal: str
    reached: bool
