"""How `bundle up --dry-run` tells its plan."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

from bundler.core.records import to_json
from bundler.core.size import format_size
from bundler.operations.up_plan import UpPlan
from bundler.workloads.container import ContainerSpec


def as_json(plan: UpPlan) -> dict[str, Any]:
    """The document of `-o json`."""
    return {
        "bundle": str(plan.release.name),
        "root": str(plan.release.root),
        "directory": str(plan.release.directory),
        "hardware": to_json(plan.lock.hardware),
        "workloads": [
            {
                "name": one.workload.name,
                "kind": one.workload.kind,
                "needs": list(one.needs),
                "done": one.workload.name in plan.done,
                "containers": [to_json(spec) for spec in one.specs],
            }
            for one in plan.planned
        ],
        "question": to_json(plan.question) if plan.question else None,
    }


def as_text(plan: UpPlan) -> str:
    """The graph, then each container."""
    names = ["check", *(one.workload.name for one in plan.planned), *(["ask"] if plan.question else [])]
    lines = [f"{plan.release.name}: {' -> '.join(names)}", *_check(plan)]
    for one in plan.planned:
        workload = one.workload
        state = "  (done before: left alone)" if workload.name in plan.done else ""
        when = "beside" if workload.is_early else "after"
        needs = f", {when} {', '.join(one.needs)}" if one.needs else ""
        lines += ["", f"{workload.name}: {workload.kind}{needs}{state}"]
        for spec in one.specs:
            lines += _container(spec, by_heart=spec is one.proxy)
    if plan.question:
        question = plan.question
        lines += ["", f"ask: {question.model} of {question.service}, up to {question.max_tokens} tokens",
                  f"  {question.text}"]  # fmt: skip
    return "\n".join(lines)


def _check(plan: UpPlan) -> Iterator[str]:
    hardware = plan.lock.hardware
    gpus = f"{hardware.gpus} x {hardware.model or 'GPU'}" if hardware.gpus else "no GPU"
    memory = f" of {format_size(hardware.memory)}" if hardware.memory else ""
    driver = f", driver {hardware.driver} or newer" if hardware.driver else ""
    yield ""
    yield f"check: {gpus}{memory}{driver}; {plan.release.command('check')}"


def _container(spec: ContainerSpec, *, by_heart: bool) -> Iterator[str]:
    yield f"  container {spec.name}"
    yield f"    image    {spec.image}"
    command = (*spec.command[:2], "...", *spec.command[3:]) if by_heart else spec.command
    yield f"    command  {_command(command)}"
    network = "none" if spec.network == "none" else f"{spec.network} (internal)"
    if spec.reaches:
        network = f"{spec.network}, A WAY OUT: to {spec.reaches} and nowhere else"
    yield f"    network  {network}{f' and {spec.edge}' if spec.edge else ''}"
    if spec.published:
        yield f"    port     {spec.published.bind}:{spec.published.port}"
    shm = format_size(spec.shm)
    yield f"    user     {spec.user}, no capabilities, no new privileges, read-only root, /dev/shm {shm}"
    if spec.gpus:
        yield f"    gpus     {spec.gpus}, memlock unlimited"
    for bind in spec.binds:
        yield f"    {'reads ' if bind.read_only else 'writes'}   {bind.source} at {bind.target}"
    for name, value in spec.environment.items():
        yield f"    env      {name}={value}"


def _command(command: tuple[str, ...]) -> str:
    """On one line; a program in an argument as JSON writes it, which shows its ends of lines."""
    return " ".join(json.dumps(word) if "\n" in word else shlex.quote(word) for word in command)
