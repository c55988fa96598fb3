"""The way of the data, machine by machine: what it takes of each disk, and how long each stretch lasts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from bundler.report.figures import duration, on_axis, short, size, ticks
from bundler.report.parts import Part, shared, words
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
    """A machine of the path and what lies on its disk."""

    name: str
    bytes: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Disk:
    """All machines on one scale."""

    chart: Markup
    machines: tuple[Machine, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """A stretch of the path: when it begins and how long it lasts, in seconds."""

    name: str
    begins: float
    seconds: float
    bytes: int
    rate: float
    basis: str
    colour: str


@dataclass(frozen=True, slots=True)
class Time:
    """All steps, one after the other."""

    chart: Markup
    steps: tuple[Step, ...]
    total: float


def disk(found: Mapping[str, Any] | None) -> Disk | None:
    """Of the member `disk` of a plan; None where it says nothing."""
    if not found or not found.get("machines"):
        return None
    looks = shared(part["name"] for machine in found["machines"] for part in machine["parts"])
    machines = tuple(
        Machine(
            words(one["machine"]),
            one["bytes"],
            tuple(Part(words(p["name"]), p["bytes"], *looks[p["name"]]) for p in one["parts"] if p["bytes"]),
        )
        for one in found["machines"]
    )
    said = "; ".join(f"{one.name} {size(one.bytes)}" for one in machines)
    height = _ROW * len(machines) + 22
    return Disk(figure("Disk of each machine", said, height, _machines(machines)), machines)


def _machines(machines: Sequence[Machine]) -> Iterator[Markup]:
    top = 1.02 * (max(max(one.bytes, sum(part.bytes for part in one.parts)) for one in machines) or 1)
    foot = _ROW * len(machines)
    for value in ticks(top):
        yield line(value / top, 0, value / top, foot, "grid")
        yield text(value / top, foot + 16, on_axis(size(value)) if value else "0", "label")
    for row, one in enumerate(machines):
        y = row * _ROW + 20
        yield text(0, y - 6, short(one.name), "label strong", "start")
        yield text(1, y - 6, size(one.bytes), "label strong", "end")
        at = 0
        for part in one.parts:
            width = part.bytes / top
            yield rect(at / top, y, width, _BAR, f"part {part.colour}", f"{part.name}: {size(part.bytes)}")
            if width >= _LETTER:
                yield text(at / top + width / 2, y + 14.5, part.letter, "letter", "middle")
            at += part.bytes


def time(found: Mapping[str, Any] | None) -> Time | None:
    """Of the member `time` of a plan; None where it says nothing."""
    if not found or not found.get("steps"):
        return None
    steps, begins = [], 0.0
    for one in found["steps"]:
        basis = one["basis"]
        rate, colour = one.get("bytes_per_second") or 0.0, BASES.get(basis, "grey")
        moved = one.get("bytes") or 0
        steps.append(Step(words(one["step"]), begins, one["seconds"], moved, rate, basis, colour))
        begins += one["seconds"]
    said = "; ".join(f"{one.name} {duration(one.seconds)} ({one.basis})" for one in steps)
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
        yield rect(left, y, width, _BAR, f"part {one.colour}", f"{one.name}: {duration(one.seconds)}, {one.basis}")
        side, anchor = (left, "start") if left < 0.6 else (min(left + width, 1.0), "end")
        yield text(side, y - 6, f"{short(one.name)} {duration(one.seconds)}", "label strong", anchor)
