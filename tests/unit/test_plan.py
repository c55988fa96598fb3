"""`bundle plan`: what does not fit is refused before anything is fetched."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from bundler.cli.main import cli
from bundler.core.errors import CheckRefused
from bundler.planning.shape import ShapeUnknown

ROOT = Path(__file__).parents[2]
MANIFEST = ROOT / "manifests/qwen3-32b-l20x4.yaml"
GOLDEN = ROOT / "tests/fixtures/plans/qwen3-32b-l20x4.json"


def planned(name: str) -> tuple[dict[str, object], object]:
    config = ROOT / "tests/fixtures/configs" / name / "config.json"
    done = CliRunner().invoke(cli, ["plan", str(MANIFEST), "--config", f"base={config}", "-o", "json", "-q"])
    return json.loads(done.stdout), done.exception


def test_the_plan_of_a_32b_on_four_l20_is_what_was_looked_at() -> None:
    document, _ = planned("qwen3-32b")
    assert document == json.loads(GOLDEN.read_text())


def test_a_plan_that_fits_ends_well_and_one_that_does_not_is_refused() -> None:
    for name in ("qwen3-0.6b", "qwen3-8b", "qwen3-14b", "qwen3-32b"):
        document, failed = planned(name)
        assert isinstance(failed, CheckRefused) is not document["fits"]


def test_a_model_that_is_not_at_hand_says_how_to_give_its_config() -> None:
    failed = CliRunner().invoke(cli, ["plan", str(MANIFEST)]).exception
    assert isinstance(failed, ShapeUnknown)
    assert failed.hint == "bundle plan MANIFEST --config base=config.json"


def test_a_model_that_is_a_directory_needs_nothing_but_its_config(tmp_path: Path) -> None:
    written = MANIFEST.read_text()
    start, end = written.index("    from: #"), written.index("datasets:")
    local = written[:start] + f"    path: {ROOT / 'tests/fixtures/configs/qwen3-32b'}\n\n" + written[end:]
    (tmp_path / "manifest.yaml").write_text(
        local.replace("../", f"{ROOT}/").replace("data/maintenance", f"{ROOT}/manifests/data/maintenance")
    )
    done = CliRunner().invoke(cli, ["plan", str(tmp_path / "manifest.yaml"), "-o", "json", "-q"])
    assert json.loads(done.stdout) == json.loads(GOLDEN.read_text())
