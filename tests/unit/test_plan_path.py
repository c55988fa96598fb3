"""`bundle plan` of the path: disks and time, and a model that can't be counted, of which all the rest is still said."""

from __future__ import annotations

import gzip
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bundler.cli.main import cli
from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.media_types import RAW
from bundler.manifest.loader import load
from bundler.manifest.lock import Hardware, Lock, LockedAgent, LockedFile, LockedFiles, LockedImage
from bundler.operations.plan import plan
from bundler.operations.plan_pinned import Pinned
from bundler.store.layout import Store
from bundler.transport import receipts
from bundler.transport.receipts import Receipt, Tally

ROOT = Path(__file__).parents[2]
MANIFEST = ROOT / "manifests/qwen3-32b-l20x4.yaml"
CONFIG = ROOT / "tests/fixtures/configs/qwen3-32b/config.json"
GB = 10**9


@pytest.fixture(autouse=True)
def _no_receipts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def run(config: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, ["plan", str(MANIFEST), "--config", f"base={config}", "-q", *words])


def planned(config: Path, *words: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(run(config, "-o", "json", *words).stdout)
    return document


def parts(document: dict[str, Any], machine: str) -> dict[str, int | None]:
    found = next(one for one in document["disk"]["machines"] if one["machine"] == machine)
    return {part["name"]: part["bytes"] for part in found["parts"]}


def blob(name: str, size: int) -> Descriptor:
    return Descriptor("x", Digest.of(name.encode()), size)


def locked() -> Lock:
    """A lock of the manifest, of which both images have one layer in common."""
    base = blob("base", 2 * GB)
    weights = LockedFile("model.safetensors", Digest.of(b"w"), 65 * GB)
    return Lock(
        1,
        "qwen3-32b-l20x4",
        "1.0",
        LockedAgent("0", blob("agent", 4_000_000)),
        Hardware(),
        images=(
            LockedImage(
                "serve",
                "docker.io/vllm/vllm-openai:v0.8.5.post1",
                blob("a", 0),
                (blob("b", 0), base, blob("serve", 5 * GB)),
            ),
            LockedImage(
                "train", "../dockerfiles/cuda12.6-torch2.6", blob("c", 0), (blob("d", 0), base, blob("train", 3 * GB))
            ),
        ),
        models=(LockedFiles("base", "hf://Qwen/Qwen3-32B", blob("m", 0), (weights,)),),
        datasets=(LockedFiles("maintenance", "here", blob("e", 0), (LockedFile("x", Digest.of(b"x"), 1000),)),),
    )


def test_what_a_lock_pins_has_its_exact_size_and_a_shared_layer_counts_once() -> None:
    result = plan(load(MANIFEST), {"base": CONFIG}, {}, Pinned.of(load(MANIFEST), locked()))
    builder, host, node = result.disk
    store = 65 * GB + 10 * GB + 2482 + 4_000_000  # the dataset as it lies here
    assert host.bytes == store
    assert builder.bytes - host.bytes == round(3 * GB * 2.9)  # the image that its engine built
    unpacked = {part.name: part.bytes for part in node.parts if "unpacked" in part.name}
    assert sum(size or 0 for size in unpacked.values()) == round(10 * GB * 2.9)
    fetched, pushed, loaded = (step.bytes for step in result.time)
    assert (fetched, pushed, loaded) == (75 * GB, store, round(10 * GB * 2.9))
    assert not any(step.without for step in result.time)


def test_a_lock_of_another_model_or_image_than_the_manifest_names_now_is_not_planned_by(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    config = store.put(CONFIG.read_bytes(), RAW)
    before = locked()
    file = LockedFile("config.json", config.digest, config.size)
    moved = replace(
        before,
        images=tuple(replace(one, source="elsewhere") for one in before.images),
        models=(replace(before.models[0], source="hf://Qwen/Qwen3-8B", files=(file,)),),
    )
    stays = replace(before, models=(replace(before.models[0], files=(file,)),))
    manifest = load(MANIFEST)
    assert Pinned.of(manifest, stays, store).configs() == {"base": store.path(config.digest)}
    assert not Pinned.of(manifest, moved, store).configs()
    assert not {"image train", "image serve", "model base"} & Pinned.of(manifest, moved, store).sizes().keys()


def test_layers_that_the_store_has_say_themselves_how_large_they_are_unpacked(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    layer = store.put(gzip.compress(b"x" * 1_000_000), "layer")
    train = LockedImage("train", "../dockerfiles/cuda12.6-torch2.6", blob("c", 0), (blob("d", 0), layer))
    pinned = Pinned.of(load(MANIFEST), replace(locked(), images=(train,)), store)
    assert plan(load(MANIFEST), {"base": CONFIG}, {}, pinned).time[-1].bytes == 1_000_000


def test_without_a_lock_an_image_is_not_guessed_and_the_sums_say_that_they_are_the_least() -> None:
    document = planned(CONFIG)
    assert parts(document, "builder")["image train"] is None
    said = run(CONFIG).stdout
    assert "node at least 133 GB" in said
    assert "not counted: image train, image serve: no lock states its size yet" in said
    assert "push at least 10 min 55 s (100 MB/s, assumed), load not known" in said


def test_the_index_beside_a_config_says_the_weights_size_before_the_shape_does(tmp_path: Path) -> None:
    shutil.copy(CONFIG, tmp_path / "config.json")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"metadata": {"total_size": 123}}))
    assert parts(planned(tmp_path / "config.json"), "node")["model base"] == 123
    assert parts(planned(CONFIG), "node")["model base"] == 65_524_246_528


def test_a_stated_rate_goes_before_a_measured_one_and_that_before_an_assumed_one() -> None:
    def push(*words: str) -> tuple[float, str]:
        step = next(one for one in planned(CONFIG, *words)["time"]["steps"] if one["step"] == "push")
        return step["bytes_per_second"], step["basis"]

    assert push() == (100e6, "assumed")
    for rate, when in ((50, "2026-01-01T00:00:00Z"), (70, "2026-01-02T00:00:00Z"), (0, "2026-01-03T00:00:00Z")):
        root = Digest.of(b"root")
        receipts.write(Receipt(1, "root@host", "/data", when, "demo:1", root, Tally(1, 1), Tally(0, 0), rate=rate))
    assert push() == (70.0, "measured"), "the last push that sent enough to tell"
    assert push("--rate", "push=12MB/s") == (12e6, "stated")


@pytest.mark.parametrize("rate", ["push", "push=", "fetch=12MB/s", "push=fast", "push=1"])
def test_a_rate_that_says_nothing_is_refused(rate: str) -> None:
    done = run(CONFIG, "--rate", rate)
    assert done.exit_code == 2
    assert "--rate" in done.output


@pytest.mark.parametrize("kind", ["qwen2_5_vl", "deepseek_v3"])
def test_of_a_model_that_is_not_counted_data_disk_and_steps_are_still_said(kind: str, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"model_type": kind}))
    document = planned(config)
    assert document["train"] is document["serve"] is None
    assert [one["severity"] for one in document["findings"]] == ["warn", "warn"]
    assert set(document["not_planned"]) == {"train", "serve"}
    assert document["data"]["maintenance"]["kept"] == 10
    assert document["steps"]["total"] == 3
    assert parts(document, "node")["checkpoints"] is None
    done = run(config)
    assert done.exit_code == 0
    assert f"train: not planned: model base: its type '{kind}' is none of llama" in done.stdout


def test_a_quantization_that_is_not_counted_leaves_the_service_unplanned_and_a_known_one_makes_it_small(
    tmp_path: Path,
) -> None:
    manifest = tmp_path / "serve.yaml"
    manifest.write_text(
        'name: serve\nversion: "1"\ntarget: {gpu: L20}\nimages: {serve: {registry: "vllm/vllm-openai:v0.8.5.post1"}}\n'
        'models: {base: {huggingface: a/b}}\nserve: {image: serve, vllm: "0.8.5.post1", model: base, name: b}\n'
    )

    def served(method: str) -> dict[str, Any]:
        config = tmp_path / "config.json"
        quantized = {"quantization_config": {"quant_method": method}}
        config.write_text(json.dumps(json.loads(CONFIG.read_text()) | quantized))
        command = ["plan", str(manifest), "--config", f"base={config}", "-q", "-o", "json"]
        document: dict[str, Any] = json.loads(CliRunner().invoke(cli, command).stdout)
        return document

    assert served("awq")["serve"]["per_gpu"]["breakdown"]["weights"] < 20 * GB
    assert served("awq")["fits"] is True
    assert "its quantization 'mxfp4' is not counted" in served("mxfp4")["not_planned"]["serve"]
