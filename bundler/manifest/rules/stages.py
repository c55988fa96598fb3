"""Stages: settings that another stage has, data to measure on, and what can be served afterwards."""

from __future__ import annotations

from collections.abc import Iterator

from bundler.manifest.findings import Problem, shown
from bundler.manifest.names import TRAINED
from bundler.manifest.schema import Manifest
from bundler.manifest.serving import ModelService

_PREFERENCES = {
    "beta": ("dpo", "kto"),
    "ftx": ("dpo", "kto"),
    "loss": ("dpo",),
    "label_smoothing": ("dpo",),
    "simpo_gamma": ("dpo",),
    "chosen_weight": ("kto",),
    "rejected_weight": ("kto",),
}
"""The stages that read a setting (LF 0.9.3, train/dpo/trainer.py and train/kto/trainer.py)."""

_SAMPLES = {
    "packing": ("pt", "sft"),
    "neat_packing": ("sft",),
    "mask_history": ("sft",),
    "train_on_prompt": ("sft",),
}
"""Outside of these stages LF raises, or ignores `packing` (0.9.3, hparams/parser.py; data/loader.py)."""


def preference(manifest: Manifest) -> Iterator[Problem]:
    """Settings of preferences that this stage, or this loss, does not read."""
    train = manifest.train
    if not train or "preference" not in train.model_fields_set:
        return
    for name in sorted(train.preference.model_fields_set):
        path, stages = ("train", "preference", name), _PREFERENCES[name]
        if train.stage not in stages:
            expected = f"stage {' or '.join(stages)}"
            because = f"train.stage is {train.stage}, which does not read it"
            yield Problem(path, "a setting", expected, because, concerns=(("train", "stage"),), at_key=True)
    wish, loss = train.preference, ("train", "preference", "loss")
    if train.stage == "dpo" and wish.label_smoothing and wish.loss != "sigmoid":
        path, because = ("train", "preference", "label_smoothing"), f"the loss is {wish.loss}"
        yield Problem(path, shown(wish.label_smoothing), "0, or 'loss: sigmoid'", because, concerns=(loss,))
    if train.stage == "dpo" and "simpo_gamma" in wish.model_fields_set and wish.loss != "simpo":
        path, because = ("train", "preference", "simpo_gamma"), f"the loss is {wish.loss}"
        yield Problem(path, shown(wish.simpo_gamma), "'loss: simpo' too", because, concerns=(loss,), at_key=True)


def samples(manifest: Manifest) -> Iterator[Problem]:
    """How samples are packed and masked (LF 0.9.3, hparams/parser.py and data_args.py)."""
    train = manifest.train
    if not train:
        return
    for name, stages in _SAMPLES.items():
        if getattr(train, name) and train.stage not in stages:
            expected = f"false, or stage {' or '.join(stages)}"
            because = f"train.stage is {train.stage}"
            yield Problem(("train", name), "true", expected, because, concerns=(("train", "stage"),))
    if train.mask_history and train.train_on_prompt:
        path, because = ("train", "train_on_prompt"), "'mask_history' leaves the questions out"
        yield Problem(path, "true", "one of both", because, concerns=(("train", "mask_history"),))
    if train.neat_packing and train.packing is False:
        path, because = ("train", "packing"), "'neat_packing' packs, whatever this says"
        yield Problem(path, "false", "true, or no 'neat_packing'", because, concerns=(("train", "neat_packing"),))


def evaluation(manifest: Manifest) -> Iterator[Problem]:
    """Data to measure on: held back or named, not both (LF 0.9.3, hparams/data_args.py)."""
    train = manifest.train
    if not train:
        return
    path = ("train", "val_size")
    if train.val_size is not None and train.eval_datasets:
        because = "'eval_datasets' says what to measure on"
        yield Problem(path, "both", "one of them", because, concerns=(("train", "eval_datasets"),), at_key=True)
    if train.val_size is not None and train.val_size >= 1 and train.val_size % 1:
        yield Problem(path, shown(train.val_size), "a share below 1, or a whole number of samples")
    if train.val_size is None and not train.eval_datasets:
        for name in ("eval_steps", "eval_batch_size"):
            if name in train.model_fields_set:
                because = "there is nothing to measure on"
                expected = "'val_size' or 'eval_datasets' too"
                yield Problem(("train", name), "a setting", expected, because, at_key=True)
    if train.val_size == 1 and isinstance(train.val_size, float):
        yield Problem(path, "all samples", "a share below 1", "nothing would be left to train on")


def reward_model(manifest: Manifest) -> Iterator[Problem]:
    """A reward model scores answers and gives none; and LLaMA-Factory can't go on from its checkpoints (parser.py)."""
    train = manifest.train
    if not train or train.stage != "rm":
        return
    because, concerns = "train.stage is rm, whose value head scores answers and gives none", (("train", "stage"),)
    for path, service in manifest.services_of(ModelService):
        if service.model == TRAINED:
            yield Problem((*path, "model"), f"'{TRAINED}'", "a name in 'models'", because, concerns=concerns)
    for name in ("save_steps", "save_total_limit"):
        if name in train.model_fields_set:
            because = "train.stage is rm: LLaMA-Factory can't go on from its checkpoints, so it makes none"
            yield Problem(("train", name), "a setting", "none", because, concerns=concerns, at_key=True)


RULES = (preference, samples, evaluation, reward_model)
