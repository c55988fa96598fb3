"""Counts a training's records in tokens: by which tokenizer, by which template, and how many of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

from bundler.manifest.artifacts import LocalModel
from bundler.manifest.schema import Manifest
from bundler.manifest.training import Train
from bundler.operations.plan_pinned import Pinned
from bundler.planning.datasets.description import Stage
from bundler.planning.datasets.encode import BATCH
from bundler.planning.datasets.files import listed
from bundler.planning.datasets.lengths import MANY
from bundler.planning.datasets.packing import Packing, Way
from bundler.planning.datasets.template import template
from bundler.planning.datasets.tokens import BUDGET, ModelTokenizer, NoTokenizer, TokenWatch
from bundler.planning.datasets.verdict import DatasetVerdict, Raises

TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"


@dataclass(frozen=True, slots=True)
class Counting:
    """What all datasets of a training are counted with; without a tokenizer `why` says why there is none."""

    train: Train
    name: str = ""
    tokenizer: ModelTokenizer | None = None
    why: str | None = None

    @classmethod
    def of(cls, manifest: Manifest, given: Mapping[str, Path], pinned: Pinned) -> Counting | None:
        """For a manifest's training, None without one. `given` are tokenizer.json files by the model's name; else it
        is taken from the model's directory, or from the store where a lock pins it.
        """
        if not (train := manifest.train):
            return None
        model = manifest.models[train.model]
        name = f"{train.model}/{TOKENIZER}"
        if train.model in given:
            path = given[train.model]
            name = str(path)
        elif isinstance(model, LocalModel):
            path = model.path.resolved / TOKENIZER
        else:
            found = pinned.model_file(train.model, TOKENIZER)
            if not found:
                why = f"bundle lock brings it, or give --tokenizer {train.model}=FILE"
                return cls(train, why=f"no {TOKENIZER} of model {train.model} is at hand: {why}")
            path = found
        beside = pinned.model_file(train.model, TOKENIZER_CONFIG)
        config = path.with_name(TOKENIZER_CONFIG) if name == str(path) or isinstance(model, LocalModel) else beside
        form = template(train.template, str(train.llamafactory), train.extra)
        try:
            return cls(train, name, ModelTokenizer(path, config, form), None if form.known else _text_alone(train))
        except NoTokenizer as error:
            return cls(train, why=str(error))

    def watch(self, path: Path) -> TokenWatch | None:
        """A counter for a dataset's file or folder; of a large one it takes an evenly spaced part of the records."""
        if not self.tokenizer:
            return None
        try:
            sizes = [file.stat().st_size for file in listed(path)]
        except Raises:
            sizes = []  # the judge will say what is wrong with it
        stage = cast(Stage, self.train.stage)
        packed = packs(self.train)
        packing = partial(Packing, way(self.train), cutoff(self.train), batch(self.train)) if packed else None
        stride = -(-sum(sizes) // BUDGET) or 1
        return TokenWatch(self.tokenizer, stage, stride=stride, packed=packed, packing=packing, files=len(sizes))

    def counted(self, verdict: DatasetVerdict, watch: TokenWatch | None) -> DatasetVerdict:
        """The verdict with its records' lengths, or why there are none."""
        if verdict.unread or not verdict.usable or watch is None:
            why = self.why or "the dataset is not judged" if verdict.unread else self.why or "no record is trained on"
            return replace(verdict, lengths_why=why)
        return replace(verdict, lengths=watch.lengths(self.name, cutoff(self.train)), lengths_why=self.why)


def packs(train: Train) -> bool:
    """Whether several records are put into one sequence: by default in stage pt alone (0.9.3, hparams/parser.py)."""
    return train.neat_packing or (train.stage == "pt" if train.packing is None else train.packing)


def way(train: Train) -> Way:
    """How a training packs, if it does."""
    return "blocks" if train.stage == "pt" else "knapsack"


def batch(train: Train) -> int:
    """Records that are packed together."""
    said = train.extra.get("preprocessing_batch_size")
    return said if type(said) is int and said > 0 else BATCH


def packed_exactly(train: Train, verdicts: Sequence[DatasetVerdict]) -> bool:
    """Whether the sequences of packed records were counted as the trainer packs them: of whole batches, all of whose
    records are known to the token. A batch of two datasets or of what several processes share, or a record that is
    truncated to about the length of a sequence, may make one more or less; so may, where there are several batches,
    one that is dropped, and files of a folder, whose order is the file system's (0.9.3, data/loader.py, listdir).
    """
    if len(verdicts) != 1 or (train.extra.get("preprocessing_num_workers") or 1) != 1:
        return False
    (one,) = verdicts
    if one.lengths is None or one.lengths.sampled or one.lengths_why or one.lengths.truncated:
        return False
    return one.records <= batch(train) or (not one.dropped_count and one.lengths.files == 1)


def cutoff(train: Train) -> int:
    """Tokens after which a record is truncated: one fewer where packing is asked for (0.9.3, hparams/data_args.py)."""
    return train.cutoff_len - 1 if train.packing or train.neat_packing else train.cutoff_len


def much_truncated(name: str, verdict: DatasetVerdict) -> str | None:
    """Says it where more than a few records lose their ends."""
    lengths = verdict.lengths
    if lengths is None or lengths.truncated_share <= MANY:
        return None
    return (
        f"dataset {name}: {lengths.truncated} of {lengths.records} records are longer than {lengths.cutoff_len} tokens "
        f"and lose the rest; half are up to {lengths.median} long, 95 % up to {lengths.p95}, the longest "
        f"{lengths.longest[0].tokens}"
    )


def _text_alone(train: Train) -> str:
    return (
        f"template {train.template!r} of LLaMA-Factory {train.llamafactory} is not known here: the text is counted "
        "alone, without what the template puts around it"
    )
