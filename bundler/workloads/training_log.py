"""How far a training is: what LLaMA-Factory and transformers write while it runs, parsed at the door.

LLaMA-Factory appends a JSON object a line to trainer_log.jsonl (LF 0.9.3, train/callbacks.py, LogCallback);
transformers writes trainer_state.json into each checkpoint, and at the end (4.51, trainer_callback.py, TrainerState).
Both are read while they are written, so a line that is cut off is passed over.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

_TIMEDELTA = re.compile(r"(?:(\d+) days?, )?(\d+):(\d\d):(\d\d)")


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training stands. Loss and learning rate are the last that were logged; what is unknown is None.

    `tokens_per_second` is over all GPUs, since the beginning. `diverged` says that the last loss is no number.
    """

    step: int
    total: int
    epoch: float | None = None
    loss: float | None = None
    learning_rate: float | None = None
    tokens_per_second: float | None = None
    elapsed_seconds: int | None = None
    left_seconds: int | None = None
    diverged: bool = False


@dataclass(frozen=True, slots=True)
class Point:
    """The loss that was logged at a step."""

    step: int
    loss: float


def progress(log: bytes, state: bytes = b"") -> Progress | None:
    """Where a training stands, by its trainer_log.jsonl (or the end of it), else by a trainer_state.json.

    None where neither says a step.
    """
    lines = [line for line in _lines(log) if _whole(line.get("current_steps")) is not None]
    return _of_log(lines) if lines else _of_state(_object(state))


def losses(log: bytes, state: bytes = b"") -> tuple[Point, ...]:
    """The training losses by step. A step that was logged again, after an interruption, counts as it was last."""
    found = dict(_pairs(_lines(log), "current_steps"))
    found = found or dict(_pairs(_history(_object(state)), "step"))
    return tuple(Point(step, found[step]) for step in sorted(found))


def _of_log(lines: list[dict[str, Any]]) -> Progress:
    last = lines[-1]
    loss = _latest(lines, "loss")
    return Progress(
        step=_whole(last.get("current_steps")) or 0,
        total=_whole(last.get("total_steps")) or 0,
        epoch=_number(last.get("epoch")),
        loss=_number(loss),
        learning_rate=_number(_latest(lines, "lr") if "lr" not in last else last["lr"]),
        tokens_per_second=_number(_latest(lines, "throughput")),
        elapsed_seconds=_seconds(last.get("elapsed_time")),
        left_seconds=_seconds(last.get("remaining_time")),
        diverged=isinstance(loss, float) and not math.isfinite(loss),
    )


def _of_state(state: dict[str, Any]) -> Progress | None:
    step = _whole(state.get("global_step"))
    if step is None:
        return None
    history = list(_history(state))
    loss = _latest(history, "loss")
    return Progress(
        step=step,
        total=_whole(state.get("max_steps")) or 0,
        epoch=_number(state.get("epoch")),
        loss=_number(loss),
        learning_rate=_number(_latest(history, "learning_rate")),
        diverged=isinstance(loss, float) and not math.isfinite(loss),
    )


def _lines(log: bytes) -> Iterator[dict[str, Any]]:
    for line in log.splitlines():
        if found := _object(line):
            yield found


def _object(text: bytes) -> dict[str, Any]:
    """A JSON object; an empty one where the text is cut off, or is something else."""
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _history(state: dict[str, Any]) -> Iterator[dict[str, Any]]:
    history = state.get("log_history")
    yield from (entry for entry in history if isinstance(entry, dict)) if isinstance(history, list) else ()


def _pairs(entries: Iterable[dict[str, Any]], key: str) -> Iterator[tuple[int, float]]:
    for entry in entries:
        step, loss = _whole(entry.get(key)), _number(entry.get("loss"))
        if step is not None and loss is not None:
            yield step, loss


def _latest(entries: list[dict[str, Any]], key: str) -> Any:
    return next((entry[key] for entry in reversed(entries) if entry.get(key) is not None), None)


def _whole(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _number(value: Any) -> float | None:
    """A finite number: NaN, which Python writes into JSON, is none that a script could read again."""
    return float(value) if type(value) in (int, float) and math.isfinite(value) else None


def _seconds(text: Any) -> int | None:
    """Seconds of Python's `str(timedelta)`, which is what LLaMA-Factory writes: `1 day, 2:03:04`."""
    match = _TIMEDELTA.fullmatch(text) if isinstance(text, str) else None
    if not match:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
