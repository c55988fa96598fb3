"""What `bundle plan` says of the path: the disk of each machine, and how long the bundle is under way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import click

from bundler.cli import options
from bundler.core.size import format_duration, format_size
from bundler.operations.plan import PlanResult
from bundler.planning.disk import Machine, unknown
from bundler.planning.duration import Duration, StepName


class _StepRate(click.ParamType):  # type: ignore[type-arg] # generic from click 8.2 on only
    name = "step=rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[StepName, int]:
        if isinstance(value, tuple):
            return value[0], value[1]
        step, _, rate = str(value).partition("=")
        if step not in get_args(StepName):
            self.fail(f"{value!r} does not read STEP=RATE with a step of {', '.join(get_args(StepName))}", param, ctx)
        return step, options.RATE.convert(rate, param, ctx)  # type: ignore[return-value]


STEP_RATE = _StepRate()
"""An option's value like `push=100MB/s`: a step of the path, and bytes a second."""


def document(result: PlanResult) -> dict[str, object]:
    """Disk and time as data."""
    return {
        "disk": {"machines": [_machine(machine) for machine in result.disk]},
        "time": {"steps": [_step(step) for step in result.time]},
    }


def _machine(machine: Machine) -> dict[str, object]:
    parts = [
        {"name": part.name, "bytes": part.bytes, **({"why": part.why} if part.bytes is None else {})}
        for part in machine.parts
    ]
    return {"machine": machine.machine, "bytes": machine.bytes, "parts": parts}


def _step(step: Duration) -> dict[str, object]:
    return {
        "step": step.step,
        "seconds": round(step.seconds, 1),
        "bytes": step.bytes,
        "bytes_per_second": float(step.rate.bytes_per_second),
        "basis": step.rate.basis,
        **({"without": list(step.without)} if step.without else {}),
    }


def lines(result: PlanResult) -> Iterator[str]:
    """Disk and time for people."""
    sums = (f"{one.machine} {_least(unknown(one.parts))}{format_size(one.bytes)}" for one in result.disk)
    yield f"disk: {', '.join(sums)}"
    node, loaded = result.disk[-1], result.time[-1].without
    yield from (f"    {part.name}: {format_size(part.bytes)}" for part in node.parts if part.bytes)
    reasons: dict[str, list[str]] = {}
    for part in node.parts:
        if part.bytes is None and part.name not in loaded:
            reasons.setdefault(part.why, []).append(part.name)
    yield from (f"    not counted: {', '.join(names)}: {why}" for why, names in reasons.items())
    yield f"time: {', '.join(_took(step) for step in result.time)}"
    if missing := dict.fromkeys(name for step in result.time[:-1] for name in step.without):
        yield f"    without {', '.join(missing)}"


def _took(step: Duration) -> str:
    if not step.bytes and step.without:
        return f"{step.step} not known"
    rate = f"{format_size(step.rate.bytes_per_second)}/s, {step.rate.basis}"
    return f"{step.step} {_least(step.without)}{format_duration(step.seconds)} ({rate})"


def _least(without: tuple[str, ...]) -> str:
    return "at least " if without else ""
