"""The verdict on a training: a guess is no reason to refuse what may well run, and a measurement is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from manifest_cases import REMOVED, manifest
from planning_cases import CONFIGS

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.events import Event, Warned
from bundler.core.media_types import RAW
from bundler.manifest.lock import LockedFile, LockedFiles
from bundler.manifest.schema import Manifest
from bundler.operations.plan import TrainPlan, plan
from bundler.operations.require_fit import DoesNotFit, require_fit
from bundler.store.layout import Store

CONFIG = CONFIGS / "qwen3-8b/config.json"


def training(directory: Path, memory: int, count: int, changes: dict[str, Any]) -> tuple[Manifest, TrainPlan]:
    """A manifest of LoRA alone on GPUs of this memory, and the plan of its training."""
    target = {"gpu": "made-here", "memory": memory, "capability": "8.9", "count": count}
    base = {"models.base": {"huggingface": "Qwen/Qwen3-8B"}, "serve": REMOVED, "ask": REMOVED, "target": target}
    made = manifest(directory, {**base, **changes})
    found = plan(made, {"base": CONFIG}, {}).train
    assert found
    return made, found


def least(found: TrainPlan) -> int:
    """Bytes of the low end, with what is outside torch."""
    return found.per_gpu.low_bytes + found.per_gpu.breakdown["cuda_context"] + found.per_gpu.breakdown["nccl"]


@pytest.mark.parametrize(("count", "between"), [(1, "does not fit"), (4, "tight")])
def test_between_the_ends_of_the_interval_only_what_was_measured_does_not_fit(
    count: int, between: str, tmp_path: Path
) -> None:
    """LoRA was measured on one GPU and on two; for four the interval is a guess."""
    _, wide = training(tmp_path, 80 * 10**9, count, {})
    assert (wide.verdict, wide.measured) == ("fits", count == 1)
    assert training(tmp_path, least(wide) + 10**6, count, {})[1].verdict == between
    assert training(tmp_path, least(wide) - 10**6, count, {})[1].verdict == "does not fit"


def test_unsloth_is_not_held_to_activations_that_it_does_not_keep(tmp_path: Path) -> None:
    long = {"train.cutoff_len": 32768, "train.unsloth": True}
    assert training(tmp_path, 24 * 10**9, 1, long)[1].verdict == "tight"
    assert training(tmp_path, 24 * 10**9, 1, long | {"train.unsloth": False})[1].verdict == "does not fit"
    assert training(tmp_path, 16 * 10**9, 1, long)[1].verdict == "does not fit"  # the weights alone are more


def test_a_lock_warns_of_what_is_tight_and_refuses_what_does_not_fit(tmp_path: Path) -> None:
    heard: list[Event] = []

    class Heard:
        def emit(self, event: Event) -> None:
            heard.append(event)

    store = Store.create(tmp_path / "store")
    config = store.put(CONFIG.read_bytes(), RAW)
    blob = Descriptor("x", Digest.of(b""), 0)
    model = LockedFiles("base", "hub", blob, (LockedFile("config.json", config.digest, config.size),))
    tight, found = training(tmp_path, 24 * 10**9, 1, {"train.cutoff_len": 32768, "train.unsloth": True})
    (predicted,) = require_fit(tight, tmp_path / "bundle.yaml", [model], store, Heard(), ())
    assert predicted.basis == "formula"
    (warned,) = heard
    assert isinstance(warned, Warned)
    assert warned.text.startswith("the training may not fit: it takes about ")
    too_much, found = training(tmp_path, 10 * 10**9, 1, {})
    assert found.measured
    with pytest.raises(DoesNotFit):
        require_fit(too_much, tmp_path / "bundle.yaml", [model], store, Heard(), ())
