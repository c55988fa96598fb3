"""The plan of every manifest that we ship: UPDATE_GOLDEN=1 writes them anew. Read a difference as what users are told.

The configs in tests/fixtures/configs are those of the models' hubs, as far as shapes go.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bundler.cli.main import cli
from scripts.world.tiny import qwen3, repository
from scripts.world.tiny.qwen3 import Qwen3Shape

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests/fixtures/plans"
CONFIGS = ROOT / "tests/fixtures/configs"
MANIFESTS = sorted((ROOT / "manifests").glob("*.yaml"))
MODELS = {
    "qwen3-14b-dpo-l20x4": "qwen3-14b",
    "qwen3-14b-t10x4": "qwen3-14b",
    "qwen3-32b-l20x4": "qwen3-32b",
    "qwen3-8b-blackwell": "qwen3-8b",
    "sglang-easy-dataset": "qwen3-8b",
}


def _demo(directory: Path) -> tuple[Path, Path]:
    """The demo's manifest with its data and its model's config, which `make demo` would write."""
    repository.write_dataset(directory / "data/pumps.json")
    config = directory / "config.json"
    config.write_text(json.dumps(qwen3.config(Qwen3Shape(vocabulary=384), bos=0, eos=1)))
    text = (ROOT / "manifests/demo.yaml").read_text().replace("../.world", str(directory))
    manifest = directory / "demo.yaml"
    manifest.write_text(text.replace("../dockerfiles", str(ROOT / "dockerfiles")))
    return manifest, config


def _planned(path: Path, directory: Path) -> dict[str, Any]:
    manifest, config = path, CONFIGS / MODELS.get(path.stem, "") / "config.json"
    if path.stem == "demo":
        manifest, config = _demo(directory)
    command = ["plan", str(manifest), "--config", f"base={config}", "--store", str(directory / "store")]
    done = CliRunner().invoke(cli, [*command, "-o", "json", "-q"])
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_the_plan_of_a_shipped_manifest_changes_only_on_purpose(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))  # a receipt of this machine would give another rate
    golden = GOLDEN / f"{path.stem}.json"
    document = _planned(path, tmp_path)
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    assert document == json.loads(golden.read_text())


def test_every_shipped_manifest_is_planned_to_fit_the_gpus_that_it_names() -> None:
    plans = {path.stem: json.loads(path.read_text()) for path in GOLDEN.glob("*.json")}
    assert plans.keys() == {path.stem for path in MANIFESTS}
    assert [name for name, plan in plans.items() if plan["fits"] is not True] == []
    assert [name for name, plan in plans.items() if plan["gpus"] and not (plan["train"] or plan["serve"])] == []
