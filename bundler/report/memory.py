"""The memory of one GPU as a bar: its parts in a row against the GPU's size, with the prediction's interval over it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from bundler.report.figures import on_axis, per_cent, size, ticks
from bundler.report.parts import Part, in_a_row, parts, shared
from bundler.report.svg import dot, element, figure, line, rect, text

_ORDER = (
    "weights",
    "adapter",
    "gradients",
    "optimizer_states",
    "activations",
    "kv_cache",
)
_LAST = ("workspace", "communication", "outside_torch", "cuda_context", "nccl", "fragmentation")
_TOP, _BAR = 40, 34
"""Where the bar begins under the labels and the interval, and its height, in pixels."""
_LETTER = 0.035
"""A part of this share of the chart has room for its letter."""


@dataclass(frozen=True, slots=True)
class Interval:
    """What torch's own count of a peak may turn out to be."""

    low: int
    peak: int
    high: int


@dataclass(frozen=True, slots=True)
class MemoryBar:
    """One GPU's memory: the chart, and the same as rows of a table."""

    chart: Markup
    parts: tuple[Part, ...]
    total: int
    interval: Interval | None


def training_bar(per_gpu: Mapping[str, Any], gpu_bytes: int) -> MemoryBar:
    """Of `train.per_gpu` of a plan."""
    return _bar("Training: memory of one GPU", _ordered(per_gpu["breakdown"]), gpu_bytes, _interval(per_gpu))


def serving_bar(per_gpu: Mapping[str, Any], gpu_bytes: int, title: str) -> MemoryBar:
    """Of `serve.per_gpu` of a plan, or of one of `services`, with the budget that the server is given."""
    shown = _ordered(per_gpu["breakdown"])
    return _bar(title, shown, gpu_bytes, _interval(per_gpu), budget=per_gpu["budget_bytes"])


def evaluation_bar(per_gpu: Mapping[str, Any], gpu_bytes: int, title: str) -> MemoryBar:
    """Of `evaluate.per_gpu` of a plan, or of a server that holds the whole model as an evaluation does."""
    return _bar(title, _ordered(per_gpu["breakdown"]), gpu_bytes, _interval(per_gpu))


def together_bar(servers: Mapping[str, int], gpu_bytes: int) -> MemoryBar:
    """Of `together.servers` of a plan: what each server takes of the GPU that all share."""
    named = tuple(Part(name, taken, letter, colour) for (name, (letter, colour)), taken
                  in zip(shared(servers).items(), servers.values(), strict=True))  # fmt: skip
    return _bar("Servers together: memory of the first GPU", named, gpu_bytes, None)


def small_bar(part: int, whole: int, tip: str) -> Markup:
    """A bar without words, for a row of a table."""
    top = max(part, whole, 1)
    inside = [
        rect(0, 0, whole / top, 12, "track"),
        rect(0, 0, part / top, 12, "part blue" if part <= whole else "part orange"),
        line(whole / top, 0, whole / top, 12, "limit"),
    ]
    attributes: dict[str, object] = {"class": "chart small", "role": "img", "width": "100%", "height": "12"}
    return element("svg", attributes, element("title", {}, tip), *inside)


def _interval(per_gpu: Mapping[str, Any]) -> Interval | None:
    if not all(per_gpu.get(name) for name in ("low_bytes", "peak_bytes", "high_bytes")):
        return None
    return Interval(per_gpu["low_bytes"], per_gpu["peak_bytes"], per_gpu["high_bytes"])


def _ordered(breakdown: Mapping[str, int]) -> tuple[Part, ...]:
    """What stays first, what comes and goes after it, what is outside torch's count last."""
    middle = [name for name in breakdown if name not in (*_ORDER, *_LAST)]
    return parts({name: breakdown[name] for name in (*_ORDER, *middle, *_LAST) if name in breakdown})


def _bar(title: str, shown: Sequence[Part], gpu_bytes: int, interval: Interval | None, *, budget: int = 0) -> MemoryBar:
    total = sum(part.bytes for part in shown)
    said = [f"{part.letter} {part.name} {size(part.bytes)}" for part in shown]
    described = f"{size(total)} of {size(gpu_bytes)}, {per_cent(total / gpu_bytes)}: {'; '.join(said)}."
    if interval:
        described += f" Peak {size(interval.peak)}, between {size(interval.low)} and {size(interval.high)}."
    top = 1.02 * max(gpu_bytes, total, budget, interval.high if interval else 0)
    drawn = [
        rect(0, _TOP, gpu_bytes / top, _BAR, "track"),
        *in_a_row(shown, top, _TOP, _BAR, _LETTER),
        *_limits(gpu_bytes, total, budget, top),
        *(_whisker(interval, top) if interval else ()),
        *_axis(top),
    ]
    return MemoryBar(figure(title, described, _TOP + _BAR + 24, drawn), tuple(shown), total, interval)


def _limits(gpu_bytes: int, total: int, budget: int, top: float) -> Iterator[Markup]:
    """Where the GPU ends, what goes beyond it, and what a server may take."""
    end, foot = gpu_bytes / top, _TOP + _BAR
    if total > gpu_bytes:
        yield rect(end, _TOP, (total - gpu_bytes) / top, _BAR, "beyond", f"{size(total - gpu_bytes)} too much")
    if 0 < budget < gpu_bytes:
        yield line(budget / top, _TOP - 4, budget / top, foot + 4, "budget")
    yield line(end, _TOP - 22, end, foot + 4, "limit")
    yield text(end - 0.012, 13, f"GPU {size(gpu_bytes)}", "label strong", "end")


def _whisker(interval: Interval, top: float) -> Iterator[Markup]:
    low, peak, high = (value / top for value in (interval.low, interval.peak, interval.high))
    y = _TOP - 11
    yield line(low, y, high, y, "whisker")
    yield line(low, y - 5, low, y + 5, "whisker")
    yield line(high, y - 5, high, y + 5, "whisker")
    yield dot(peak, y, 4, "peak")


def _axis(top: float) -> Iterator[Markup]:
    foot = _TOP + _BAR
    for value in ticks(top):
        yield line(value / top, foot, value / top, foot + 5, "tick")
        yield text(value / top, foot + 19, on_axis(size(value)) if value else "0", "label")
