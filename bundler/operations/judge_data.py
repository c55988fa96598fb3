"""Judges a manifest's datasets as the pinned LLaMA-Factory would treat them, before anything is fetched."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from bundler.core.errors import CheckRefused
from bundler.core.events import Events, StepEnded, StepStarted, Warned
from bundler.manifest.artifacts import AnyDataset, Dataset, LocalDataset
from bundler.manifest.schema import Manifest
from bundler.manifest.training import Train
from bundler.operations.plan_pinned import Pinned
from bundler.operations.token_lengths import Counting, cutoff, much_truncated, packed_exactly, packs
from bundler.planning.datasets.description import Columns, Description, Stage, Tags
from bundler.planning.datasets.judge import judge
from bundler.planning.datasets.verdict import DatasetVerdict
from bundler.planning.steps import split

CHECK = "data"
"""The name by which `--accept` lets unusable datasets pass."""
_SHOWN = 3
_CHOOSING = frozenset({"max_samples", "mix_strategy", "interleave_probs", "streaming"})
"""Keys of `extra` by which LLaMA-Factory takes other than all records."""


class DataRefused(CheckRefused):
    """Datasets that the training would die of, or of which it would drop every record."""

    def __init__(self, path: Path, problems: Sequence[str]) -> None:
        super().__init__(
            "the training would end before its first step",
            because="\n".join(problems),
            hint=f"bundle lock {shlex.quote(str(path))}   # once mended; as they are: --accept {CHECK}",
        )


def judge_datasets(
    manifest: Manifest, events: Events, *, counting: Counting | None = None, pinned: Pinned | None = None
) -> Mapping[str, DatasetVerdict]:
    """A verdict for each dataset that the training reads. Tells of records that would be dropped.

    With `counting` their lengths are in it. Datasets at URLs are read where `pinned`'s store has them, and left out
    without it. Raises OSError where a file can't be read.
    """
    train = manifest.train
    if not train:
        return {}
    names = dict.fromkeys((*train.datasets, *(train.eval_datasets or ())))
    version = tuple(int(part) for part in str(train.llamafactory).split(".")[:3] if part.isdigit())
    verdicts: dict[str, DatasetVerdict] = {}
    for name in names:
        dataset = manifest.datasets[name]
        if pinned is None and not isinstance(dataset, LocalDataset):
            continue
        events.emit(StepStarted(CHECK))
        tested = name not in train.datasets  # those come first, so that what is tested with can be looked up in them
        trained = [verdicts[one].prints for one in train.datasets if tested and one in verdicts]
        with _files(name, dataset, pinned) as path:
            if isinstance(path, Path):
                watch = counting.watch(path) if counting else None
                verdict = judge(
                    path,
                    describe(dataset),
                    stage=cast(Stage, train.stage),
                    version=version,
                    watch=watch,
                    others=[prints for prints in trained if prints],
                )
            else:
                watch, verdict = None, DatasetVerdict(unread=path)
        verdicts[name] = counting.counted(verdict, watch) if counting else verdict
        events.emit(StepEnded(CHECK, f"{name}: {said(verdict)}"))
        for line in warnings(name, verdicts[name]):
            events.emit(Warned(line))
    return verdicts


@contextmanager
def _files(name: str, dataset: AnyDataset, pinned: Pinned | None) -> Iterator[Path | str]:
    """The dataset's file or folder, for the while; or why it can't be read."""
    if isinstance(dataset, LocalDataset):
        path = dataset.path.resolved
        yield path if path.exists() else f"there is no {path} yet, and lock asks for it"
        return
    blob = pinned.dataset_file(name, dataset.file_name) if pinned else None
    if blob is None:
        yield "it lies at a URL, and the store has not got it yet: bundle build fetches it"
        return
    with TemporaryDirectory(prefix="bundle-") as place:
        link = Path(place) / dataset.file_name  # its type is told by its name, which a blob has not
        link.symlink_to(blob.resolve())
        yield link


def require_usable(
    manifest: Manifest, path: Path, verdicts: Mapping[str, DatasetVerdict], accepted: Sequence[str]
) -> None:
    """Raises DataRefused where a dataset is not usable or nothing is left to train on, unless `data` is accepted."""
    unusable = {name: verdict for name, verdict in verdicts.items() if not verdict.usable}
    problems = [f"dataset {name}: {verdict.failure or 'no record is kept'}" for name, verdict in unusable.items()]
    if manifest.train and (held := all_held_back(manifest.train, verdicts)):
        problems.append(held)
    if problems and CHECK not in accepted:
        raise DataRefused(path, problems)


@dataclass(frozen=True, slots=True)
class Samples:
    """What LLaMA-Factory makes of all datasets, before it holds some back: records, or sequences of packed ones.

    `exact` says whether the trainer will count as many.
    """

    count: int
    packed: bool = False
    exact: bool = True


def samples(train: Train, verdicts: Mapping[str, DatasetVerdict]) -> Samples | None:
    """None where it is not known how many records are kept, or chosen, or how many tokens those to be packed have."""
    judged = [verdicts.get(name) for name in train.datasets]
    known = [verdict for verdict in judged if verdict and verdict.usable and not verdict.unread]
    if _CHOOSING & train.extra.keys() or not known or len(known) != len(judged):
        return None
    if not packs(train):
        return Samples(sum(verdict.kept for verdict in known))
    made = [_packed(verdict) for verdict in known]
    counts = [count for count in made if count is not None]
    exact = packed_exactly(train, known)
    return Samples(sum(counts), packed=True, exact=exact) if len(counts) == len(made) else None


def _packed(verdict: DatasetVerdict) -> int | None:
    """Of all its records, where a part was counted."""
    lengths = verdict.lengths
    if lengths is None or lengths.packed is None:
        return None
    return round(lengths.packed * verdict.kept / lengths.records)


def all_held_back(train: Train, verdicts: Mapping[str, DatasetVerdict]) -> str | None:
    """Says it where `val_size` holds back all samples, of which LLaMA-Factory would die, or packing makes none."""
    found = samples(train, verdicts)
    if found is None or not found.exact:
        return None
    if found.packed and not found.count:
        return (
            f"all records together do not fill one sequence of {cutoff(train)} tokens (cutoff_len), and LLaMA-Factory "
            "leaves out what does not"
        )
    try:
        split(found.count, train.val_size or 0.0)
    except ValueError as error:
        return f"val_size: {error}"
    return None


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
    if long := much_truncated(name, verdict):
        yield long
