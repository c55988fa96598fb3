"""The loss over the steps of a training, as a PNG, where LLaMA-Factory has drawn none."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from bundler.workloads.picture import GRID, HEIGHT, INK, LINE, PALE, Picture, width
from bundler.workloads.training_log import Point

WIDE, HIGH = 960, 540
_LEFT, _RIGHT, _TOP, _BOTTOM = 110, 30, 50, 70
_LINES = 4
"""Of the grid, in each direction."""
_SMOOTH = 0.6
"""How much of the smoothed loss is what it was a point before."""


def loss_plot(points: Sequence[Point]) -> bytes:
    """A line through the losses, a smoothed one above it, axes from the least to the greatest; of one point or more."""
    picture = Picture(WIDE, HIGH)
    steps, values = [point.step for point in points], [point.loss for point in points]
    low, high = min(values), max(values)
    spread = high - low or abs(high) or 1.0
    bottom, top = (low, high) if high > low else (low - spread / 2, high + spread / 2)
    first, last = steps[0], max(steps[-1], steps[0] + 1)

    def place(step: float, loss: float) -> tuple[int, int]:
        across = (step - first) / (last - first)
        up = (loss - bottom) / (top - bottom)
        return (
            _LEFT + round(across * (WIDE - _LEFT - _RIGHT)),
            HIGH - _BOTTOM - round(up * (HIGH - _TOP - _BOTTOM)),
        )

    for part in range(_LINES + 1):
        loss = bottom + (top - bottom) * part / _LINES
        _across(picture, place(first, loss)[1], _figure(loss))
    for step in sorted({first + round((last - first) * part / _LINES) for part in range(_LINES + 1)}):
        _up(picture, place(step, bottom)[0], str(step))
    picture.line(place(first, bottom), place(first, top), INK, 2)
    picture.line(place(first, bottom), place(last, bottom), INK, 2)
    _curve(picture, [place(point.step, point.loss) for point in points], PALE)
    _curve(picture, [place(step, loss) for step, loss in zip(steps, _smoothed(values), strict=True)], LINE)
    picture.text(_LEFT, 16, f"loss  min {_figure(low)}  max {_figure(high)}  last {_figure(values[-1])}")
    picture.text((WIDE - width("steps")) // 2, HIGH - 28, "steps")
    return picture.png()


def _across(picture: Picture, y: int, label: str) -> None:
    picture.line((_LEFT, y), (WIDE - _RIGHT, y), GRID)
    picture.text(_LEFT - 12 - width(label), y - HEIGHT, label)


def _up(picture: Picture, x: int, label: str) -> None:
    picture.line((x, _TOP), (x, HIGH - _BOTTOM), GRID)
    at = min(x - width(label) // 2, WIDE - width(label) - 4)
    picture.text(at, HIGH - _BOTTOM + 12, label)


def _curve(picture: Picture, places: Sequence[tuple[int, int]], colour: int) -> None:
    if len(places) == 1:
        picture.dot(places[0][0] - 4, places[0][1] - 4, colour, 9)
    for start, end in pairwise(places):
        picture.line(start, end, colour, 2)


def _smoothed(values: Sequence[float]) -> list[float]:
    """An exponential moving average, which shows where a noisy loss goes."""
    smooth = [values[0]]
    for value in values[1:]:
        smooth.append(_SMOOTH * smooth[-1] + (1 - _SMOOTH) * value)
    return smooth


def _figure(value: float) -> str:
    """Three figures, in letters that the font has."""
    return f"{value:.3g}"
