"""The page of an evaluation: metrics of base and tuned model, and their answers side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from bundler.report.figures import ticks
from bundler.report.rendering import render
from bundler.report.svg import figure, line, rect, text
from bundler.report.verdict import Verdict

SHOWN = 500
"""So many answers are on the page; the rest is in the files of the results."""
_METRICS = {"bleu-4": "BLEU-4", "rouge-1": "ROUGE-1", "rouge-2": "ROUGE-2", "rouge-l": "ROUGE-L"}
_ROW, _BAR = 58, 14


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure in percent of both models."""

    name: str
    base: float
    tuned: float

    @property
    def change(self) -> float:
        """What the training brought, in points."""
        return self.tuned - self.base


@dataclass(frozen=True, slots=True)
class Answer:
    """A question and what was said; `base_right` and `tuned_right` where that is the expected answer, to the letter."""

    number: int
    prompt: str
    label: str
    base: str
    tuned: str
    base_right: bool
    tuned_right: bool


def evaluation_page(evaluation: Mapping[str, Any]) -> str:
    """The page of an evaluation's `-o json` document."""
    base, tuned = evaluation["metrics"]["base"], evaluation["metrics"]["tuned"]
    metrics = [Metric(words, base[key], tuned[key]) for key, words in _METRICS.items() if key in base and key in tuned]
    answers = [_answer(at, one) for at, one in enumerate(evaluation["answers"], start=1)]
    return render(
        "evaluation.html.j2",
        title=evaluation["bundle"],
        metrics=metrics,
        chart=_chart(metrics) if metrics else None,
        answers=answers[:SHOWN],
        samples=len(answers),
        base_right=sum(one.base_right for one in answers),
        tuned_right=sum(one.tuned_right for one in answers),
        verdict=_verdict(metrics),
        results=evaluation["results"],
    )


def _answer(number: int, one: Mapping[str, str]) -> Answer:
    label, base, tuned = one["label"], one["base"], one["tuned"]
    right = label.strip()
    return Answer(number, one["prompt"], label, base, tuned, base.strip() == right, tuned.strip() == right)


def _verdict(metrics: Sequence[Metric]) -> Verdict:
    if not metrics:
        return Verdict("note", "Not measured", "There are no figures that both models have.")
    better, worse = (sum(one.change * sign > 0 for one in metrics) for sign in (1, -1))
    said = "; ".join(f"{one.name} {one.base:.2f} before and {one.tuned:.2f} after" for one in metrics[-1:])
    if not worse:
        word = f"Better in {better} of {len(metrics)} figures" if better else "No difference"
        return Verdict("good" if better else "note", word, f"{said}.")
    return Verdict("warn", f"Worse in {worse} of {len(metrics)} figures", f"{said}.")


def _chart(metrics: Sequence[Metric]) -> Markup:
    said = "; ".join(f"{one.name}: base {one.base:.2f}, tuned {one.tuned:.2f}" for one in metrics)
    return figure("Base and tuned model, in percent", said, _ROW * len(metrics) + 22, _bars(metrics))


def _bars(metrics: Sequence[Metric]) -> Iterator[Markup]:
    top = max(100.0, *(max(one.base, one.tuned) for one in metrics))
    foot = _ROW * len(metrics)
    for value in ticks(top, 5):
        yield line(value / top, 0, value / top, foot, "grid")
        yield text(value / top, foot + 16, f"{value:g}", "label")
    for row, one in enumerate(metrics):
        y = row * _ROW + 20
        yield text(0, y - 6, one.name, "label strong", "start")
        for at, (value, who, colour) in enumerate(((one.base, "base", "grey"), (one.tuned, "tuned", "blue"))):
            yield rect(0, y + at * (_BAR + 2), value / top, _BAR, f"part {colour}", f"{who}: {value:.2f}")
            side, anchor = (value / top + 0.012, "start") if value / top < 0.8 else (value / top - 0.012, "end")
            kind = "label" if anchor == "start" else "letter small"
            yield text(side, y + at * (_BAR + 2) + 11, f"{who} {value:.2f}", kind, anchor)
