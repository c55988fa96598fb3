"""Evaluation: what LLaMA-Factory's batch prediction can't do."""

from __future__ import annotations

from collections.abc import Iterator

from bundler.manifest.findings import Problem, shown
from bundler.manifest.names import EVALUATIONS
from bundler.manifest.schema import Manifest


def needs_training(manifest: Manifest) -> Iterator[Problem]:
    """Base and tuned are compared; predict_with_generate is for stage sft alone (LF 0.9.3, hparams/parser.py)."""
    if not manifest.evaluate:
        return
    if not manifest.train:
        because = "the base model is compared with the one that 'train' makes"
        yield Problem(
            ("evaluate",), "an evaluation", "a section 'train' too", because, concerns=(("train",),), at_key=True
        )
    elif manifest.train.stage != "sft":
        because = f"train.stage is {manifest.train.stage}"
        yield Problem(("evaluate",), "an evaluation", "stage sft", because, concerns=(("train", "stage"),), at_key=True)


def datasets(manifest: Manifest) -> Iterator[Problem]:
    """The test split is described, and has one answer for each question."""
    for at, name in enumerate(manifest.evaluate.datasets if manifest.evaluate else ()):
        path, dataset = ("evaluate", "datasets", at), manifest.datasets.get(name)
        if dataset is None:
            expected = f"one of {', '.join(manifest.datasets) or 'none, as there are none'}"
            yield Problem(path, shown(name), expected, concerns=(("datasets", name),))
        elif dataset.ranking:
            yield Problem(path, shown(name), "a dataset without ranking", concerns=(("datasets", name, "ranking"),))


def free(manifest: Manifest) -> Iterator[Problem]:
    """A service is not called as the evaluation's jobs are."""
    for name in manifest.services if manifest.evaluate else ():
        if name in EVALUATIONS:
            because = "the section 'evaluate' has it"
            yield Problem(("services", name), "this name", "another one", because, at_key=True)


RULES = (needs_training, datasets, free)
