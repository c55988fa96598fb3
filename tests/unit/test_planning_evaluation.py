"""`bundle evaluate` holds the whole model on each GPU: what is trained over four may not fit one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from bundler.cli.main import cli
from bundler.core.events import Silence
from bundler.core.media_types import RAW
from bundler.manifest.loader import load
from bundler.manifest.lock import LockedFile, LockedFiles
from bundler.operations.require_fit import DoesNotFit, require_fit
from bundler.planning import DecoderShape, TrainingSetting
from bundler.planning.evaluation_memory import evaluate_memory
from bundler.store.layout import Store

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "tests/fixtures/configs"
shapes = st.sampled_from(sorted(path.name for path in CONFIGS.iterdir())).map(
    lambda name: DecoderShape.parse(json.loads((CONFIGS / name / "config.json").read_text()))
)
settings = st.builds(
    TrainingSetting,
    method=st.sampled_from(["full", "freeze", "lora", "qlora"]),
    cutoff_len=st.integers(16, 16384),
    dtype=st.sampled_from(["bf16", "fp16", "fp32"]),
    sharding=st.sampled_from(["none", "z3"]),
    world=st.sampled_from([1, 4]),
)


def manifest(directory: Path) -> Path:
    """The 32B on four L20, with an evaluation."""
    text = (ROOT / "manifests/qwen3-32b-l20x4.yaml").read_text().replace("../", f"{ROOT}/")
    text = text.replace("data/maintenance", f"{ROOT}/manifests/data/maintenance")
    path = directory / "manifest.yaml"
    path.write_text(text + "\nevaluate: {datasets: [maintenance], batch_size: 4}\n")
    return path


@pytest.mark.parametrize(("model", "verdict", "code"), [("qwen3-32b", "does not fit", 13), ("qwen3-14b", "fits", 0)])
def test_a_model_that_one_gpu_can_t_hold_whole_is_refused_where_it_is_to_be_evaluated(
    model: str, verdict: str, code: int, tmp_path: Path
) -> None:
    config = CONFIGS / model / "config.json"
    done = CliRunner().invoke(cli, ["plan", str(manifest(tmp_path)), "--config", f"base={config}", "-q", "-o", "json"])
    document = json.loads(done.stdout)
    assert document["train"]["verdict"] == document["serve"]["verdict"] == "fits"
    assert (document["evaluate"]["verdict"], document["fits"]) == (verdict, verdict == "fits")
    assert getattr(done.exception, "exit_code", 0) == code


def test_a_build_says_that_it_is_the_evaluation_which_does_not_fit(tmp_path: Path) -> None:
    path, store = manifest(tmp_path), Store.create(tmp_path / "store")
    config = store.put((CONFIGS / "qwen3-32b/config.json").read_bytes(), RAW)
    model = LockedFiles("base", "hub", config, (LockedFile("config.json", config.digest, config.size),))
    with pytest.raises(DoesNotFit) as refused:
        require_fit(load(path), path, [model], store, Silence(), ())
    assert refused.value.because == "the evaluation holds the whole model on each: about 81.2 GB, by formula"


@given(shapes, settings, st.integers(1, 64), st.integers(1, 4096))
def test_an_evaluation_takes_its_weights_and_more_for_more_questions_or_longer_answers(
    shape: DecoderShape, setting: TrainingSetting, batch: int, answer: int
) -> None:
    plan = evaluate_memory(shape, setting, batch, answer)
    assert plan.peak_bytes > plan.breakdown["weights"] > 0
    assert plan.low_bytes <= plan.peak_bytes <= plan.high_bytes <= plan.device_bytes
    assert sum(plan.breakdown.values()) == plan.device_bytes
    assert evaluate_memory(shape, setting, batch + 1, answer).peak_bytes > plan.peak_bytes
    assert evaluate_memory(shape, setting, batch, answer + 1).peak_bytes > plan.peak_bytes
    alone = evaluate_memory(shape, replace(setting, sharding="none"), batch, answer)
    assert alone == plan, "no ZeRO shares the model out here"
