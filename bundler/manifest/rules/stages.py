"""Stages: settings that another stage has, data to measure on, and what can be served afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from bundler.manifest.findings import Problem, shown
from bundler.manifest.methods import SwanLab
from bundler.manifest.names import TRAINED
from bundler.manifest.schema import Manifest
from bundler.manifest.serving import ModelService
from bundler.manifest.version import Version

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

_SWANLAB_SINCE = Version("0.9.2")
_SYNC_SINCE = Version("0.6.3")
"""The oldest SDK whose `swanlab sync` was seen (its wheel)."""

_SERVERS = (
    (Version("2.6.2"), None, Version("0.7.4"), None),
    (Version("1.3"), Version("2.6"), Version("0.6.0"), Version("0.7.4")),
)
"""Self-hosted SwanLab from, below; the SDKs that it takes from, below (SwanLab's self-hosted documentation)."""


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


def swanlab(manifest: Manifest) -> Iterator[Problem]:
    """SwanLab came with LLaMA-Factory 0.9.2; a self-hosted server takes certain SDKs."""
    train = manifest.train
    wish = train.swanlab if train else None
    if not train or not wish:
        return
    path = ("train", "swanlab")
    if train.llamafactory < _SWANLAB_SINCE:
        found, expected = str(train.llamafactory), f"{_SWANLAB_SINCE} or newer, for 'swanlab'"
        yield Problem(("train", "llamafactory"), found, expected, concerns=(path,))
    yield from _reached(wish)
    if wish.mode == "local":
        if wish.server:
            because = "mode local has no server"
            yield Problem(
                (*path, "server"), str(wish.server), "'mode: offline' or 'mode: cloud' too", because, at_key=True
            )
        return
    if wish.mode == "offline" and wish.sdk and wish.sdk < _SYNC_SINCE:
        because = "what it writes offline can't be uploaded by `swanlab sync`"
        yield Problem((*path, "sdk"), str(wish.sdk), f"{_SYNC_SINCE} or newer", because)
    if not wish.server:
        return
    if not wish.sdk:
        because = f"a server {wish.server} takes certain SDKs alone"
        yield Problem((*path, "server"), str(wish.server), "'sdk' too", because, at_key=True)
        return
    row = next((row for row in _SERVERS if _within(wish.server, row[0], row[1])), None)
    if row is None:
        yield Problem((*path, "server"), str(wish.server), "1.3 to 2.5, or 2.6.2 and newer", "no SDK is known for it")
    elif not _within(wish.sdk, row[2], row[3]):
        expected = f"{row[2]} or newer" if row[3] is None else f"{row[2]} or newer, below {row[3]}"
        because = f"the server is {wish.server}"
        yield Problem((*path, "sdk"), str(wish.sdk), expected, because, concerns=((*path, "server"),))


def _reached(wish: SwanLab) -> Iterator[Problem]:
    """What mode cloud needs, and the others have no use for: never SwanLab's own cloud, which a node can't reach."""
    path = ("train", "swanlab")
    for name, value, text in (
        ("host", wish.host, "'host' too: your own server"),
        ("api_key_file", wish.api_key_file, "'api_key_file' too: a file on the node"),
    ):
        if wish.mode == "cloud" and value is None:
            yield Problem((*path, "mode"), "cloud", text, concerns=((*path, name),))
        elif wish.mode != "cloud" and value is not None:
            because = f"mode {wish.mode} reaches no server"
            yield Problem((*path, name), value, "'mode: cloud' too", because, at_key=True)
    if not wish.host:
        return
    parts = urlsplit(wish.host)
    if parts.scheme != "http" or parts.path not in ("", "/") or parts.query or parts.fragment:
        because = "the training reaches it under another name, which no certificate has"
        yield Problem((*path, "host"), wish.host, "http://NAME:PORT", because)


def _within(version: Version, since: Version, below: Version | None) -> bool:
    return version >= since and (below is None or version < below)


RULES = (preference, samples, evaluation, reward_model, swanlab)
