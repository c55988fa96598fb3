"""DPO, KTO, reward models: a plan that forgets the second model, or its logits, ends out of memory behind the gap."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from manifest_cases import manifest
from planning_cases import shape_of

from bundler.operations.plan_settings import is_measured, training_setting
from bundler.planning import TrainingSetting, advise, train_memory

EIGHT = shape_of("qwen3-8b")
COPY = EIGHT.parameters * 2
"""Bytes of the model in 16 bits."""
DPO = TrainingSetting("full", 1, 512, stage="dpo", reference=True)


def setting(tmp_path: Path, changes: dict[str, Any]) -> TrainingSetting:
    made = manifest(tmp_path, changes)
    assert made.train
    return training_setting(made.train, made.target)


@pytest.mark.parametrize(
    ("stage", "loss", "reference"),
    [("dpo", "sigmoid", True), ("dpo", "ipo", True), ("dpo", "orpo", False), ("dpo", "simpo", False)],
)
def test_a_loss_that_compares_with_the_model_as_it_was_is_planned_with_it(
    stage: str, loss: str, reference: bool, tmp_path: Path
) -> None:
    """create_ref_model of LLaMA-Factory 0.9.3, and use_ref_model for which losses."""
    changes = {
        "train.stage": stage,
        "train.preference.loss": loss,
        "datasets.pumps.ranking": True,
        "datasets.pumps.columns": {"chosen": "chosen", "rejected": "rejected"},
    }
    made = setting(tmp_path, changes)
    assert (made.stage, made.reference, made.tokens) == (stage, reference, 2 * made.batch * made.cutoff_len)


@pytest.mark.parametrize("method", ["full", "freeze"])
def test_a_second_model_is_held_where_the_weights_themselves_change(method: Any) -> None:
    one = train_memory(EIGHT, replace(DPO, method=method, reference=False))
    two = train_memory(EIGHT, replace(DPO, method=method))
    assert two.breakdown["weights"] - one.breakdown["weights"] == COPY
    assert two.peak_bytes >= one.peak_bytes + COPY


@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_an_adapter_needs_no_second_model_the_first_one_serves_without_it(method: Any) -> None:
    one, two = (train_memory(EIGHT, replace(DPO, method=method, reference=on)) for on in (False, True))
    assert two.breakdown["weights"] == one.breakdown["weights"]
    assert two.peak_bytes - one.peak_bytes == 8 * DPO.tokens * EIGHT.vocab  # the first one's logits wait


def test_zero_3_alone_shares_the_second_model_out_and_offload_puts_it_into_the_host() -> None:
    def extra(**changes: Any) -> tuple[int, int]:
        two = train_memory(EIGHT, replace(DPO, world=8, **changes))
        one = train_memory(EIGHT, replace(DPO, world=8, reference=False, **changes))
        return two.breakdown["weights"] - one.breakdown["weights"], two.host_bytes - one.host_bytes

    assert extra(sharding="none") == extra(sharding="z2") == extra(sharding="z2", offload=True) == (COPY, 0)
    assert extra(sharding="z3") == (COPY // 8, 0)
    assert extra(sharding="z3", offload=True) == (0, COPY // 8)


def test_liger_saves_no_logits_in_stages_whose_loss_it_does_not_know() -> None:
    """LLaMA-Factory asks it for whole logits there, so it is no advice against their size."""
    wide = replace(DPO, method="lora", cutoff_len=4096)
    bare, liger = (train_memory(EIGHT, replace(wide, liger=on)).breakdown["logits_and_loss"] for on in (False, True))
    assert liger == bare == 20 * wide.tokens * EIGHT.vocab
    assert train_memory(EIGHT, replace(wide, liger=True, stage="sft")).breakdown["logits_and_loss"] < bare / 4


def test_a_reward_model_s_loss_goes_back_through_no_logits() -> None:
    plan = train_memory(EIGHT, TrainingSetting("lora", 1, 2048, stage="rm"))
    assert plan.moment == "end of forward"


def test_a_kto_sample_is_one_sequence_with_gradients(tmp_path: Path) -> None:
    changes = {"train.stage": "kto", "datasets.pumps.columns": {"kto_tag": "label"}}
    made = setting(tmp_path, changes)
    assert (made.tokens, made.reference) == (made.batch * made.cutoff_len, True)


def test_advice_of_lora_gives_the_second_model_up() -> None:
    found = advise(EIGHT, DPO, 40 * 10**9)
    assert any("method: lora" in one.change and not one.setting.second_model for one in found)


def test_what_was_measured_were_no_preferences(tmp_path: Path) -> None:
    train = manifest(tmp_path, {}).train
    assert train
    assert is_measured(train, TrainingSetting())
    assert not is_measured(train, TrainingSetting(stage="dpo"))
