"""Judges a manifest's datasets as the pinned LLaMA-Factory would treat them, before anything is fetched."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from bundler.core.errors import CheckRefused
from bundler.core.events import Events, StepEnded, StepStarted, Warned
from bundler.manifest.artifacts import Dataset, LocalDataset
from bundler.manifest.schema import Manifest
from bundler.planning.datasets.description import Columns, Description, Stage, Tags
from bundler.planning.datasets.judge import judge
from bundler.planning.datasets.verdict import DatasetVerdict

CHECK = "data"
"""The name by which `--accept` lets unusable datasets pass."""
_SHOWN = 3


class DataRefused(CheckRefused):
    """Datasets that the training would die of, or of which it would drop every record."""

    def __init__(self, path: Path, unusable: Mapping[str, DatasetVerdict]) -> None:
        lines = [f"dataset {name}: {verdict.failure or 'no record is kept'}" for name, verdict in unusable.items()]
        super().__init__(
            "the training would end before its first step",
            because="\n".join(lines),
            hint=f"bundle lock {shlex.quote(str(path))}   # once mended; as they are: --accept {CHECK}",
        )


def judge_datasets(manifest: Manifest, events: Events) -> Mapping[str, DatasetVerdict]:
    """A verdict for each dataset of this machine that the training reads. Tells of records that would be dropped.

    Datasets at URLs are not read here. Raises OSError where a file can't be read.
    """
    train = manifest.train
    if not train:
        return {}
    names = dict.fromkeys((*train.datasets, *(train.eval_datasets or ())))
    local = {name: manifest.datasets[name] for name in names}
    version = tuple(int(part) for part in str(train.llamafactory).split(".")[:3] if part.isdigit())
    verdicts = {}
    for name, dataset in local.items():
        if isinstance(dataset, LocalDataset) and dataset.path.resolved.exists():
            events.emit(StepStarted(CHECK))
            verdict = judge(dataset.path.resolved, describe(dataset), stage=cast(Stage, train.stage), version=version)
            verdicts[name] = verdict
            events.emit(StepEnded(CHECK, f"{name}: {said(verdict)}"))
            for line in warnings(name, verdict):
                events.emit(Warned(line))
    return verdicts


def require_usable(path: Path, verdicts: Mapping[str, DatasetVerdict], accepted: Sequence[str]) -> None:
    """Raises DataRefused where a dataset is not usable, unless `data` is accepted."""
    unusable = {name: verdict for name, verdict in verdicts.items() if not verdict.usable}
    if unusable and CHECK not in accepted:
        raise DataRefused(path, unusable)


def describe(dataset: Dataset) -> Description:
    """How a manifest's dataset reads, in the terms of the judge."""

    def members(of: type, section: Any) -> dict[str, Any]:
        return {name: getattr(section, name) for name in of.__slots__}  # type: ignore[attr-defined]

    return Description(
        dataset.formatting,
        dataset.ranking,
        Columns(**members(Columns, dataset.columns)),
        Tags(**members(Tags, dataset.tags)),
    )


def said(verdict: DatasetVerdict) -> str:
    """A verdict in a few words."""
    if verdict.unread:
        return f"not judged: {verdict.unread}"
    if verdict.failure:
        return f"{verdict.records} records; would fail"
    return f"{verdict.kept} of {verdict.records} records kept"


def warnings(name: str, verdict: DatasetVerdict) -> Iterator[str]:
    """What a person should look at, though the training would run."""
    if verdict.usable and verdict.dropped_count:
        yield f"dataset {name}: {verdict.dropped_count} of {verdict.records} records would be dropped silently"
        for one in verdict.dropped[:_SHOWN]:
            yield f"dataset {name}: {one.place}: {one.reason}"
    for note in verdict.notes:
        yield f"dataset {name}: {note}"
