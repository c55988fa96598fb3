"""Steps of a training: as transformers' own Trainer, accelerate's sampler and datasets' split counted them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bundler.planning.steps import Schedule, checkpoints, split, steps

REAL: dict[str, list[Any]] = json.loads((Path(__file__).parent.parent / "fixtures" / "steps.json").read_text())


def test_steps_and_warm_up_are_those_of_the_pinned_trainer() -> None:
    for one in REAL["steps"]:
        schedule = Schedule(one["b"], one["a"], gpus=one["w"], epochs=one["e"], warmup_ratio=0.03)
        mine = steps(one["n"], schedule)
        assert (mine.per_epoch, mine.total, mine.warmup) == (one["per_epoch"], one["total"], one["warmup"]), one


def test_the_validation_split_is_the_one_of_datasets() -> None:
    for samples, share, train, held in REAL["splits"]:
        if train is None:
            with pytest.raises(ValueError, match="leaves none"):
                split(samples, share)
        else:
            assert split(samples, share) == (train, held)
    assert split(5, 1) == (4, 1)  # a whole number; 1.0 is a share of all
    with pytest.raises(ValueError, match="leaves none"):
        split(5, 1.0)


def test_the_common_floor_rule_would_promise_another_number() -> None:
    mine = steps(100, Schedule(batch_size=3, gpus=8, epochs=3))
    assert (mine.per_epoch, mine.total, mine.floor_rule) == (5, 15, 12)


def test_a_checkpoint_is_written_at_the_end_too() -> None:
    assert [checkpoints(total, 500) for total in (1, 500, 501, 1000)] == [1, 1, 2, 2]
    schedule = Schedule(batch_size=1, epochs=1, save_steps=10)
    assert steps(35, schedule).checkpoint_bytes(100) == 400
    assert steps(35, schedule).checkpoint_bytes(100, limit=2) == 200
