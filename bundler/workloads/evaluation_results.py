"""What LLaMA-Factory's batch prediction leaves, parsed at the door: metrics, and answers side by side.

predict_results.json has `predict_bleu-4`, `predict_rouge-1`, ... in percent; generated_predictions.jsonl has prompt,
predict and label of each sample, in the dataset's order (LF 0.9.3, train/sft/workflow.py, metric.py, trainer.py).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

from bundler.core.errors import IntegrityFailed

METRICS, PREDICTIONS = "predict_results.json", "generated_predictions.jsonl"
_PREFIX = "predict_"


@dataclass(frozen=True, slots=True)
class SideBySide:
    """A question, the answer that the dataset has, and those of the two models."""

    prompt: str
    label: str
    base: str
    tuned: str


class UnreadableEvaluation(IntegrityFailed):
    """Files of an evaluation that are not as LLaMA-Factory writes them."""


def metrics(raw: bytes, what: str) -> Mapping[str, float]:
    """The figures by name, without their prefix; `what` names the file in errors. Raises UnreadableEvaluation."""
    try:
        found = json.loads(raw)
        items = [(str(key).removeprefix(_PREFIX), value) for key, value in found.items()]
    except (ValueError, AttributeError, RecursionError) as error:
        raise UnreadableEvaluation(f"{what} can't be read", because=str(error)) from error
    return {key: float(value) for key, value in items if type(value) in (int, float) and math.isfinite(value)}


def side_by_side(base: bytes, tuned: bytes, what: str) -> tuple[SideBySide, ...]:
    """Both models' answers to the same questions. Raises UnreadableEvaluation where they are not the same."""
    ours, theirs = _predictions(base, what), _predictions(tuned, what)
    if [(prompt, label) for prompt, label, _ in ours] != [(prompt, label) for prompt, label, _ in theirs]:
        raise UnreadableEvaluation(f"{what}: base and tuned model were asked different questions")
    return tuple(
        SideBySide(prompt, label, before, after)
        for (prompt, label, before), (_, _, after) in zip(ours, theirs, strict=True)
    )


def _predictions(raw: bytes, what: str) -> list[tuple[str, str, str]]:
    try:
        lines = [json.loads(line) for line in raw.splitlines() if line.strip()]
        return [(str(line["prompt"]), str(line["label"]), str(line["predict"])) for line in lines]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise UnreadableEvaluation(f"{what} can't be read", because=f"{type(error).__name__}: {error}") from error
