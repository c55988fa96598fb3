"""`train.extra` is judged by the pinned LLaMA-Factory's own arguments, before the gap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from manifest_cases import changed, findings, manifest, write

from bundler.manifest.tables import TABLES, trainer_arguments

GOLDEN = Path(__file__).parents[1] / "golden/workloads"


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"neftune_noise_alfa": 5}, "did you mean 'neftune_noise_alpha'"),
        ({"eval_delai": 1}, "did you mean 'eval_delay'"),
        ({"per_device_eval_batch_sise": 1}, "an argument of LLaMA-Factory 0.9.3"),
        ({"shift_attn": "false"}, "found the text 'false', expected true or false, without quotes"),
        ({"weight_decay": "none"}, "expected a number, without quotes"),
        ({"dataloader_num_workers": 1.5}, "expected a whole number"),
        ({"badam_mode": "layers"}, "expected one of layer, ratio"),
        ({"shift_attn": 1}, "expected true or false"),
    ],
)
def test_what_the_trainer_would_refuse_or_misread_is_refused_at_lock(
    extra: dict[str, Any], words: str, tmp_path: Path
) -> None:
    (found,) = findings(write(tmp_path, changed({"train.extra": extra})))
    assert found.path == f"train.extra.{next(iter(extra))}"
    assert words in str(found)


@pytest.mark.parametrize(
    "changes",
    [
        {"train.extra": {"bf16": "yes"}},
        {"train.extra": {"stage": 3}},
        {"train.extra": {"lora_rank": "8"}},
        {"train.extra": {"api_key": "x"}},
        {"serve.extra": {"port": None}},
        {"serve.extra": {"hf-token": None}},
        {"serve.extra": {"my-token": 1}},
        {"services.other": {"image": "serve", "sglang": "0.4.6.post5", "model": "base", "name": "x",
                            "mem_fraction_static": 0.1, "extra": {"port": None}}},
    ],
)  # fmt: skip
def test_an_argument_that_has_no_place_there_is_told_once(changes: dict[str, Any], tmp_path: Path) -> None:
    (found,) = findings(write(tmp_path, changed(changes)))
    assert ".extra." in found.path


@pytest.mark.parametrize(
    "extra",
    [
        {"neftune_noise_alpha": 5},
        {"shift_attn": True, "weight_decay": 0, "dataloader_num_workers": 2},
        {"badam_mode": "ratio"},
        {"logging_strategy": "no"},
        {"lr_scheduler_kwargs": {"min_lr_rate": 0.1}},
        {"additional_target": ["embed_tokens", "lm_head"]},
        {"interleave_probs": [1.0], "mix_strategy": "interleave_under"},
    ],
)
def test_what_the_trainer_takes_passes(extra: dict[str, Any], tmp_path: Path) -> None:
    assert manifest(tmp_path, {"train.extra": extra}).train


def test_a_version_without_a_table_is_not_judged(tmp_path: Path) -> None:
    changes = {"train.llamafactory": "0.9.4", "train.extra": {"neftune_noise_alfa": 5}}
    assert "neftune_noise_alpha" in str(findings(write(tmp_path, changed(changes)))[0])
    assert trainer_arguments("0.9.9") == {}


def test_all_that_we_render_ourselves_is_in_the_tables_of_the_versions_that_it_is_rendered_for() -> None:
    judged = 0
    for golden in GOLDEN.glob("*.txt"):
        table = trainer_arguments("0.9.5" if golden.stem == "demo" else "0.9.3")
        for section in golden.read_text().split("\n## ")[1:]:
            title, _, body = section.partition("\n")
            for name, value in yaml.safe_load(body.split("\n\n")[0]).items() if title == "train.yaml" else ():
                assert table[name].takes(value), (golden.name, name, value)
                judged += 1
    assert judged > 50


@pytest.mark.parametrize("table", sorted(TABLES.glob("llamafactory-*.json")), ids=lambda path: path.stem)
def test_a_table_names_what_every_training_has(table: Path) -> None:
    arguments = trainer_arguments(table.stem.removeprefix("llamafactory-"))
    assert {"stage", "model_name_or_path", "output_dir", "dataset", "lora_rank", "deepspeed"} <= set(arguments)
    assert arguments["stage"].choices[:2] == ("pt", "sft")
    assert not arguments["stage"].takes("SFT")
