"""Datasets: what LLaMA-Factory would refuse or drop, as far as their descriptions show it."""

from __future__ import annotations

from collections.abc import Iterator

from bundler.manifest.artifacts import Dataset
from bundler.manifest.findings import Problem
from bundler.manifest.schema import Manifest
from bundler.manifest.version import Version

_OPENAI_SINCE = Version("0.9.4")
"""LF 0.9.3, data/converter.py: `formatting: openai` raises; 0.9.4 has it."""

_RANKED = ("rm", "dpo")


def formatting(manifest: Manifest) -> Iterator[Problem]:
    """A formatting that the image's version can read, when it trains and when `bundle evaluate` asks."""
    asked = manifest.evaluate.datasets if manifest.evaluate else ()
    asked_of = ((name, manifest.datasets[name]) for name in asked if name in manifest.datasets)
    for name, dataset in dict((*_trained_on(manifest), *asked_of)).items():
        if dataset.formatting == "openai" and manifest.train and manifest.train.llamafactory < _OPENAI_SINCE:
            because = f"the image has LLaMA-Factory {manifest.train.llamafactory}, openai came with {_OPENAI_SINCE}"
            path, concerns = ("datasets", name, "formatting"), (("train", "llamafactory"),)
            yield Problem(path, "'openai'", "sharegpt or alpaca", because, concerns=concerns)


def ranking(manifest: Manifest) -> Iterator[Problem]:
    """Stages rm and dpo take datasets with a ranking, all others those without (LF 0.9.3, data/loader.py)."""
    for name, dataset in _trained_on(manifest):
        stage = manifest.train.stage if manifest.train else "sft"
        wanted = stage in _RANKED
        path, concerns = ("datasets", name, "ranking"), (("train", "stage"),)
        if dataset.ranking != wanted:
            found, expected = ("true", "false") if dataset.ranking else ("false", "true")
            yield Problem(path, found, expected, f"train.stage is {stage}", concerns=concerns)


def columns(manifest: Manifest) -> Iterator[Problem]:
    """Columns that a stage can't do without (LF 0.9.3, data/converter.py)."""
    for name, dataset in _trained_on(manifest):
        needed = _needed(dataset, manifest.train.stage if manifest.train else "sft")
        for column in needed:
            if getattr(dataset.columns, column) is None:
                because = f"formatting {dataset.formatting}, stage {manifest.train.stage if manifest.train else ''}"
                yield Problem(
                    ("datasets", name, "columns", column),
                    "nothing",
                    "the name of a column",
                    because,
                    concerns=(("train", "stage"),),
                )


def text(manifest: Manifest) -> Iterator[Problem]:
    """Pre-training takes the text of one column, and silently leaves out all else.

    Of a conversation it would train on the first message alone, of a question with its answer on the question
    (LF 0.9.3, data/processor/pretrain.py).
    """
    if not manifest.train or manifest.train.stage != "pt":
        return
    because, concerns = "train.stage is pt, which trains on one text a record", (("train", "stage"),)
    for name, dataset in _trained_on(manifest):
        if dataset.formatting != "alpaca":
            expected, found = "alpaca, with 'columns: {prompt: ...}' naming the text", f"'{dataset.formatting}'"
            yield Problem(("datasets", name, "formatting"), found, expected, because, concerns=concerns)
        elif dataset.columns.response is not None:
            expected, found = "null: an answer would be left out", f"the column '{dataset.columns.response}'"
            yield Problem(("datasets", name, "columns", "response"), found, expected, because, concerns=concerns)


def measured(manifest: Manifest) -> Iterator[Problem]:
    """What is trained on says nothing of what was learned."""
    train = manifest.train
    for at, name in enumerate(train.eval_datasets or () if train else ()):
        if train and name in train.datasets:
            path, because = ("train", "eval_datasets", at), "'train.datasets' has it too"
            yield Problem(path, f"'{name}'", "data that is not trained on", because, concerns=(("train", "datasets"),))


def _needed(dataset: Dataset, stage: str) -> tuple[str, ...]:
    text = ("prompt",) if dataset.formatting == "alpaca" else ("messages",)
    if stage == "kto":
        return (*text, "kto_tag")
    return (*text, "chosen", "rejected") if dataset.ranking and stage in _RANKED else text


def _trained_on(manifest: Manifest) -> Iterator[tuple[str, Dataset]]:
    """Datasets to train on and to measure on: LLaMA-Factory reads both in the same way."""
    train = manifest.train
    for name in dict.fromkeys((*train.datasets, *(train.eval_datasets or ())) if train else ()):
        if name in manifest.datasets:
            yield name, manifest.datasets[name]


RULES = (formatting, ranking, columns, text, measured)
