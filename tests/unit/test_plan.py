"""`bundle plan`: what does not fit is refused before anything is fetched."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest
from click import UsageError
from click.testing import CliRunner

from bundler.cli.main import cli
from bundler.core.errors import CheckRefused
from bundler.core.events import Silence
from bundler.core.media_types import RAW
from bundler.manifest.loader import load
from bundler.manifest.lock import LockedFile, LockedFiles
from bundler.operations.require_fit import DoesNotFit, require_fit
from bundler.planning.shape import ShapeUnknown
from bundler.store.layout import Store

ROOT = Path(__file__).parents[2]
MANIFEST = ROOT / "manifests/qwen3-32b-l20x4.yaml"
GOLDEN = ROOT / "tests/fixtures/plans/qwen3-32b-l20x4.json"


@pytest.fixture(autouse=True)
def _no_receipts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def planned(name: str) -> tuple[dict[str, object], object]:
    config = ROOT / "tests/fixtures/configs" / name / "config.json"
    done = CliRunner().invoke(cli, ["plan", str(MANIFEST), "--config", f"base={config}", "-o", "json", "-q"])
    return json.loads(done.stdout), done.exception


def test_a_plan_that_fits_ends_well_and_one_that_does_not_is_refused() -> None:
    for name in ("qwen3-0.6b", "qwen3-8b", "qwen3-14b", "qwen3-32b"):
        document, failed = planned(name)
        assert isinstance(failed, CheckRefused) is not document["fits"]


def test_a_model_that_is_not_at_hand_says_how_to_give_its_config() -> None:
    failed = CliRunner().invoke(cli, ["plan", str(MANIFEST), "--store", "/nonexistent"]).exception
    assert isinstance(failed, ShapeUnknown)
    assert "bundle lock MANIFEST" in str(failed.hint)


def test_a_model_that_is_a_directory_needs_nothing_but_its_config(tmp_path: Path) -> None:
    written = MANIFEST.read_text()
    start, end = written.index("    from: #"), written.index("datasets:")
    local = written[:start] + f"    path: {ROOT / 'tests/fixtures/configs/qwen3-32b'}\n\n" + written[end:]
    (tmp_path / "manifest.yaml").write_text(
        local.replace("../", f"{ROOT}/").replace("data/maintenance", f"{ROOT}/manifests/data/maintenance")
    )
    done = CliRunner().invoke(cli, ["plan", str(tmp_path / "manifest.yaml"), "-o", "json", "-q"])
    from_hub, here = json.loads(GOLDEN.read_text()), json.loads(done.stdout)
    assert here["data"]["maintenance"].pop("lengths_why").startswith("there is no ")
    assert "bundle lock brings it" in from_hub["data"]["maintenance"].pop("lengths_why")
    assert next(step["bytes"] for step in here.pop("time")["steps"]) == 0  # nothing is fetched of it
    assert {**here, "time": from_hub["time"]} == from_hub


def test_a_training_that_does_not_fit_is_refused_with_what_would_make_it_fit(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.yaml"
    text = MANIFEST.read_text().replace("count: 4", "count: 1").replace("  deepspeed: z3 #", "  # ")
    text = text.replace("tensor_parallel: 4", "tensor_parallel: 1")
    manifest.write_text(
        text.replace("../", f"{ROOT}/").replace("data/maintenance", f"{ROOT}/manifests/data/maintenance")
    )
    config = ROOT / "tests/fixtures/configs/qwen3-32b/config.json"
    done = CliRunner().invoke(cli, ["plan", str(manifest), "--config", f"base={config}", "-o", "json", "-q"])
    assert isinstance(done.exception, CheckRefused)
    assert done.exception.exit_code == 13
    planned = json.loads(done.stdout)
    assert (planned["fits"], planned["train"]["verdict"]) == (False, "does not fit")
    assert any("QLoRA" in one["change"] or "nf4" in one["change"] for one in planned["train"]["advice"])


def _pinned(directory: Path) -> tuple[Path, LockedFiles, Store]:
    """A manifest of one L20 for 32B, its pinned model, and a store that has the model's config.json."""
    manifest = directory / "manifest.yaml"
    text = MANIFEST.read_text().replace("count: 4", "count: 1").replace("  deepspeed: z3 #", "  # ")
    text = text.replace("tensor_parallel: 4", "tensor_parallel: 1").replace("../", f"{ROOT}/")
    manifest.write_text(text.replace("data/maintenance", f"{ROOT}/manifests/data/maintenance"))
    store = Store.create(directory / "store")
    config = store.put((ROOT / "tests/fixtures/configs/qwen3-32b/config.json").read_bytes(), RAW)
    file = LockedFile("config.json", config.digest, config.size)
    model = LockedFiles("base", "huggingface://Qwen/Qwen3-32B", config, (file,), "1" * 40)
    return manifest, model, store


def test_a_build_is_refused_before_the_weights_are_fetched_and_says_what_would_fit(tmp_path: Path) -> None:
    manifest, pinned, store = _pinned(tmp_path)
    wanted = load(manifest)
    with pytest.raises(DoesNotFit) as refused:
        require_fit(wanted, manifest, [pinned], store, Silence(), ())
    assert refused.value.exit_code == 13
    assert "it would fit with" in str(refused.value.because)
    command, _, rest = str(refused.value.hint).partition("   # ")
    assert "--accept memory" in rest
    again = CliRunner().invoke(cli, shlex.split(command)[1:])
    assert "train: does not fit" in again.stdout
    require_fit(wanted, manifest, [pinned], store, Silence(), ("memory",))


def test_the_plan_says_what_becomes_of_the_data_and_how_many_steps_it_takes() -> None:
    document, _ = planned("qwen3-32b")
    data, train = document["data"], document["train"]
    assert isinstance(data, dict)
    assert isinstance(train, dict)
    assert (data["maintenance"]["records"], data["maintenance"]["kept"]) == (10, 10)
    assert (train["steps"]["effective_batch"], train["steps"]["total"]) == (32, 3)


QWEN3_8B = json.loads((ROOT / "tests/fixtures/configs/qwen3-8b/config.json").read_text())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0"),
        ({"num_hidden_layers": 10**12}, "num_hidden_layers is 1000000000000"),
        ({"hidden_size": -5120}, "hidden_size is -5120"),
        ({"hidden_size": 4096.5}, "hidden_size is 4096.5"),
        ({"vocab_size": None}, "vocab_size is not there"),
        ({"model_type": "qwen3_moe", "num_experts": 128}, "num_experts_per_tok is not there"),
        ({"model_type": "qwen3_moe", "mlp_only_layers": 3}, "mlp_only_layers is 3"),
    ],
)
def test_a_config_that_no_model_has_is_refused_and_its_key_named(
    changed: dict[str, object], said: str, tmp_path: Path
) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(QWEN3_8B | changed))
    failed = CliRunner().invoke(cli, ["plan", str(MANIFEST), "--config", f"base={config}", "-q"]).exception
    assert isinstance(failed, ShapeUnknown)
    assert failed.because is not None
    assert said in failed.because
    assert failed.hint


@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 100_000, '{"hidden_size": Infinity}'])
def test_a_file_that_is_no_config_is_refused_by_name(text: str, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(text)
    failed = CliRunner().invoke(cli, ["plan", str(MANIFEST), "--config", f"base={config}", "-q"]).exception
    assert isinstance(failed, ShapeUnknown)
    assert str(config) in str(failed)


def test_a_pipe_given_as_a_config_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    os.mkfifo(config)
    failed = CliRunner().invoke(cli, ["plan", str(MANIFEST), "--config", f"base={config}", "-q"]).exception
    assert isinstance(failed, ShapeUnknown)
    assert failed.because == "it is not a file"


def test_a_config_of_a_model_that_the_manifest_lacks_is_not_passed_over() -> None:
    done = CliRunner().invoke(cli, ["plan", str(MANIFEST), "--config", "bse=config.json", "-q"], standalone_mode=False)
    assert isinstance(done.exception, UsageError)
    assert "no model 'bse'; it has: base" in str(done.exception)
