"""The way of the data, machine by machine: what it takes of each disk, and how long each stretch lasts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from bundler.report.figures import duration, on_axis, short, size, ticks
from bundler.report.parts import Part, in_a_row, shared, words
from bundler.report.svg import figure, line, rect, text

_ROW, _BAR = 46, 20
"""Height of a machine or a step with its name over its bar, and of the bar."""
_LETTER = 0.045
BASES = {"measured": "blue", "stated": "cyan", "assumed": "grey"}
"""How a rate is known, and the colour of it."""
_ROUND = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
"""Steps of a time axis that people count in, in seconds."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine of the path and what lies on its disk. `unknown` has each reason not to count, and what of."""

    name: str
    bytes: int
    parts: tuple[Part, ...]
    unknown: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def size(self) -> str:
        """All that was counted, for people."""
        return f"{'at least ' if self.unknown else ''}{size(self.bytes)}"


@dataclass(frozen=True, slots=True)
class Disk:
    """All machines on one scale."""

    chart: Markup
    machines: tuple[Machine, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """A stretch of the path: when it begins and how long it lasts, in seconds. `without` was not counted."""

    name: str
    begins: float
    seconds: float
    bytes: int
    rate: float
    basis: str
    colour: str
    without: tuple[str, ...]

    @property
    def duration(self) -> str:
        """How long it lasts, for people."""
        if self.without and not self.bytes:
            return "not known"
        return f"{'at least ' if self.without else ''}{duration(self.seconds)}"


@dataclass(frozen=True, slots=True)
class Time:
    """All steps, one after the other."""

    chart: Markup
    steps: tuple[Step, ...]
    total: float

    @property
    def without(self) -> tuple[str, ...]:
        """What was counted in none or not all of the steps."""
        return tuple(dict.fromkeys(name for step in self.steps for name in step.without))

    @property
    def duration(self) -> str:
        """All of it, for people."""
        return f"{'at least ' if self.without else ''}{duration(self.total)}"


def disk(found: Mapping[str, Any] | None) -> Disk | None:
    """Of the member `disk` of a plan; None where it says nothing."""
    if not found or not found.get("machines"):
        return None
    looks = shared(part["name"] for machine in found["machines"] for part in machine["parts"] if part["bytes"])
    machines = tuple(
        Machine(
            words(one["machine"]),
            one["bytes"],
            tuple(Part(words(p["name"]), p["bytes"], *looks[p["name"]]) for p in one["parts"] if p["bytes"]),
            _unknown(one["parts"]),
        )
        for one in found["machines"]
    )
    said = "; ".join(f"{one.name} {one.size}" for one in machines)
    height = _ROW * len(machines) + 22
    return Disk(figure("Disk of each machine", said, height, _machines(machines)), machines)


def _unknown(found: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    reasons: dict[str, list[str]] = {}
    for part in found:
        if part["bytes"] is None:
            reasons.setdefault(part.get("why") or "", []).append(words(part["name"]))
    return tuple((why, tuple(names)) for why, names in reasons.items())


def _machines(machines: Sequence[Machine]) -> Iterator[Markup]:
    top = 1.02 * (max(max(one.bytes, sum(part.bytes for part in one.parts)) for one in machines) or 1)
    foot = _ROW * len(machines)
    for value in ticks(top):
        yield line(value / top, 0, value / top, foot, "grid")
        yield text(value / top, foot + 16, on_axis(size(value)) if value else "0", "label")
    for row, one in enumerate(machines):
        y = row * _ROW + 20
        yield text(0, y - 6, short(one.name), "label strong", "start")
        yield text(1, y - 6, one.size, "label strong", "end")
        yield from in_a_row(one.parts, top, y, _BAR, _LETTER)


def time(found: Mapping[str, Any] | None) -> Time | None:
    """Of the member `time` of a plan; None where it says nothing."""
    if not found or not found.get("steps"):
        return None
    steps, begins = [], 0.0
    for one in found["steps"]:
        basis = one["basis"]
        rate, colour = one.get("bytes_per_second") or 0.0, BASES.get(basis, "grey")
        moved = one.get("bytes") or 0
        without = tuple(one.get("without") or ())
        steps.append(Step(words(one["step"]), begins, one["seconds"], moved, rate, basis, colour, without))
        begins += one["seconds"]
    said = "; ".join(f"{one.name} {one.duration} ({one.basis})" for one in steps)
    chart = figure("Time along the path", said, _ROW * len(steps) + 22, _steps(steps, begins))
    return Time(chart, tuple(steps), begins)


def _steps(steps: Sequence[Step], total: float) -> Iterator[Markup]:
    top, foot = 1.02 * total or 1.0, _ROW * len(steps)
    apart = next((one for one in _ROUND if top / one <= 5), _ROUND[-1] * max(1, round(top / 5 / _ROUND[-1])))
    for number in range(int(top / apart) + 1):
        at = number * apart / top
        yield line(at, 0, at, foot, "grid")
        yield text(at, foot + 16, on_axis(duration(number * apart)) if number else "0", "label")
    for row, one in enumerate(steps):
        y = row * _ROW + 20
        left, width = one.begins / top, max(one.seconds / top, 0.004)
        yield rect(left, y, width, _BAR, f"part {one.colour}", f"{one.name}: {one.duration}, {one.basis}")
        side, anchor = (left, "start") if left < 0.6 else (min(left + width, 1.0), "end")
        yield text(side, y - 6, f"{short(one.name)} {one.duration}", "label strong", anchor)
