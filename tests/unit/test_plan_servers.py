"""Servers of a plan: each is planned, and what the ones before it take is not there for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bundler.cli.main import cli
from bundler.core.errors import CheckRefused
from bundler.operations.plan import PlanResult, plan
from bundler.operations.require_fit import predictions
from bundler.planning import ServingPlan
from tests.unit.manifest_cases import REMOVED, changed, manifest, write

CONFIGS = Path(__file__).parents[1] / "fixtures" / "configs"
GB = 10**9
VLLM = {"image": "serve", "vllm": "0.8.5.post1", "model": "base", "name": "second", "port": 8001}
SGLANG = {"image": "serve", "sglang": "0.4.6.post5", "model": "base", "name": "third", "port": 8002}
API = {
    "image": "train", "llamafactory_api": "0.9.3", "model": "base", "name": "fourth", "template": "qwen3", "port": 8003,
}  # fmt: skip
ALONE = {"train": REMOVED, "serve": REMOVED, "ask": REMOVED}


def planned(tmp_path: Path, services: dict[str, Any], model: str = "qwen3-8b", **more: Any) -> PlanResult:
    wanted = manifest(tmp_path, {**ALONE, "services": services, **more})
    return plan(wanted, {"base": CONFIGS / model / "config.json"}, {})


def test_every_server_under_services_is_planned_and_a_dashboard_is_none(tmp_path: Path) -> None:
    board = {"image": "train", "llamaboard": "0.9.3"}
    for name, one in {"judge": VLLM, "chat": SGLANG, "api": API}.items():
        result = planned(tmp_path, {name: one, "board": board})
        assert result.servers.keys() == {name}
        assert result.servers[name].fits
        assert [one.workload for one in predictions(result)] == [name]


def test_an_api_that_holds_a_whole_model_no_gpu_can_hold_is_told_before_the_gap(tmp_path: Path) -> None:
    api = planned(tmp_path, {"api": API}, "qwen3-32b").servers["api"]
    assert api.per_gpu.breakdown["weights"] > 48 * GB
    assert not api.fits
    assert "in all" in api.problems[0]
    quantized = planned(tmp_path, {"api": API | {"extra": {"quantization_bit": 4}}}, "qwen3-32b").servers["api"]
    assert quantized.fits


def test_sglang_beside_vllm_has_the_cache_that_its_share_of_the_rest_leaves(tmp_path: Path) -> None:
    half = VLLM | {"gpu_memory_utilization": 0.5}
    alone = planned(tmp_path, {"b": SGLANG | {"mem_fraction_static": 0.5}}).servers["b"]
    both = planned(tmp_path, {"a": half, "b": SGLANG | {"mem_fraction_static": 0.5}})
    assert isinstance(alone.per_gpu, ServingPlan)
    assert alone.fits
    assert both.servers["b"].beside == {"a": 24 * GB}
    assert "weights leave no KV cache" in both.servers["b"].problems[0]
    assert not both.fits


def test_vllm_after_a_server_without_a_share_is_told_what_is_left(tmp_path: Path) -> None:
    most = VLLM | {"gpu_memory_utilization": 0.8}
    result = planned(tmp_path, {"api": API, "judge": most})
    (problem,) = result.servers["judge"].problems
    assert problem.startswith("gpu_memory_utilization 0.8 asks for 38.4 GB of a GPU that has ")
    assert problem.endswith("left beside api")
    assert planned(tmp_path, {"judge": most}).fits


@pytest.mark.parametrize("extra", [{"quantization": "marlin-of-tomorrow"}])
def test_a_server_whose_quantization_is_not_counted_is_not_planned_by_its_name(
    extra: dict[str, str], tmp_path: Path
) -> None:
    result = planned(tmp_path, {"chat": SGLANG | {"extra": extra}})
    assert not result.servers
    assert result.not_planned.keys() == {"services.chat"}


def told(tmp_path: Path, services: dict[str, Any], *options: str) -> tuple[str, BaseException | None]:
    path = write(tmp_path, changed({**ALONE, "services": services, "datasets": REMOVED}))
    command = ["plan", str(path), "--config", f"base={CONFIGS}/qwen3-8b/config.json", "--store", str(tmp_path)]
    done = CliRunner().invoke(cli, [*command, "-q", *options])
    return done.stdout, done.exception


def test_the_plan_says_of_each_server_and_of_all_together_what_they_take(tmp_path: Path) -> None:
    services = {"judge": VLLM | {"gpu_memory_utilization": 0.8}, "api": API}
    said, failed = told(tmp_path, services)
    assert isinstance(failed, CheckRefused)
    assert "judge: fits: weights" in said
    assert "api: does not fit: weights" in said
    assert "of the first GPU's 48.0 GB: too much (judge 38.4 GB, api " in said
    document = json.loads(told(tmp_path, services, "-o", "json")[0])
    assert document["services"]["judge"]["verdict"] == "fits"
    assert document["services"]["api"]["beside"] == {"judge": int(48 * GB * 0.8)}
    assert document["together"]["verdict"] == "does not fit"
    assert sum(document["together"]["servers"].values()) == document["together"]["bytes"]


def test_the_page_shows_a_bar_for_each_server_and_one_for_all(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    told(tmp_path, {"judge": VLLM | {"gpu_memory_utilization": 0.8}, "api": API}, "--html", str(page))
    written = page.read_text()
    for title in ("judge: memory of one GPU", "api: memory of one GPU", "Servers together: memory of the first GPU"):
        assert title in written
    assert "api can&#39;t start: it takes about" in written
