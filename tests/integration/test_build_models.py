"""`bundle build` of models from hubs and URLs, as a user runs it: nothing moves, leaks, or is fetched twice."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from pathlib import Path

import pytest
from hubs import REPO, WEIGHTS
from scripted_server import ScriptedServer

from scripts.world.hub import Fault, Hub, ModelScope
from tests.commandline import Bundle, refusal

TOKENS = {"HF_TOKEN": "hf_canary44d1", "MODELSCOPE_API_TOKEN": "ms-canary44d1"}
BOTH = f"""
name: both
version: "1"
models:
  base:
    from: [modelscope: {REPO}, huggingface: {REPO}]
"""
pytestmark = pytest.mark.usefixtures("ms", "hf")


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "both.yaml"
    path.write_text(BOTH)
    return path


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return Bundle({"XDG_STATE_HOME": str(tmp_path / "state"), "BUNDLE_STORE": str(tmp_path / "store")})


def test_a_model_of_both_hubs_is_built_and_nothing_has_moved_when_one_is_away(bundle: Bundle, manifest: Path) -> None:
    bundle("build", manifest)
    again = bundle("build", manifest, "--locked", HF_ENDPOINT="http://127.0.0.1:9")
    assert "unchanged" in again.out
    assert "is passed over" in again.err
    bundle("verify", "both")


def test_a_moved_branch_is_refused_by_locked_and_named_by_lock(
    bundle: Bundle, manifest: Path, ms_files: Path, hf_files: Path
) -> None:
    bundle("build", manifest)
    for files in (ms_files, hf_files):
        (files / "model.safetensors").write_bytes(WEIGHTS[::-1])
    assert "model base: model.safetensors" in refusal(bundle("build", manifest, "--locked", check=False))
    assert "model base: model.safetensors" in bundle("lock", manifest).out


def test_no_token_is_left_anywhere(bundle: Bundle, manifest: Path, tmp_path: Path, ms: ModelScope, hf: Hub) -> None:
    for hub, name in ((ms, "MODELSCOPE_API_TOKEN"), (hf, "HF_TOKEN")):
        hub.access.members.add(TOKENS[name])
        hub.access.private.add(REPO)
        hub.faults.add(Fault("model.safetensors", times=-1, status=403))
    said = [bundle("build", manifest, "-vv", check=False, **TOKENS)]
    assert said[0].code == 14, said[0].err
    ms.faults.clear()
    said.append(bundle("build", manifest, "-vv", **TOKENS))
    said.append(bundle("build", manifest, "--events", "json", "-o", "json", **TOKENS))
    texts = [text.encode() for outcome in said for text in (outcome.out, outcome.err)]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".log" for path in files)
    for content in (*texts, *(path.read_bytes() for path in files)):
        assert b"canary44d1" not in content


def test_a_model_that_the_gpus_can_t_hold_is_refused_before_weights_or_images_are_asked_for(
    bundle: Bundle, manifest: Path, ms_files: Path, hf_files: Path, ms: ModelScope
) -> None:
    """ModelScope states a SHA-256 for config.json too, so nothing else would have brought it by then."""
    config = (Path(__file__).parents[1] / "fixtures/configs/qwen3-32b/config.json").read_bytes()
    for files in (ms_files, hf_files):
        (files / "config.json").write_bytes(config)
        (files / "tokenizer.json").write_text("{}")
    manifest.write_text(f"""{BOTH}
target: {{gpu: L20, count: 1}}
images: {{serve: {{registry: "127.0.0.1:9/vllm/vllm-openai:v0.8.5.post1"}}}}
serve: {{image: serve, vllm: "0.8.5.post1", model: base, name: big}}
""")
    for verb in ("build", "lock"):
        outcome = bundle(verb, manifest, check=False)
        assert outcome.code == 13
        said = refusal(outcome)
        assert "does not fit 1 GPUs of 48.0 GB" in said
        assert "--accept memory" in said
    assert ms.faults.count() == 1, "config.json, once"
    assert (
        bundle("build", manifest, "--accept", "memory", check=False).code == 14
    )  # the registry is what is missing now


def test_a_model_without_its_tokenizer_is_refused_before_weights_or_images_are_asked_for(
    bundle: Bundle, manifest: Path, ms: ModelScope
) -> None:
    manifest.write_text(f"""{BOTH}
images: {{serve: {{registry: "127.0.0.1:9/vllm/vllm-openai:v0.8.5.post1"}}}}
serve: {{image: serve, vllm: "0.8.5.post1", model: base, name: big}}
""")
    for verb in ("build", "lock"):
        outcome = bundle(verb, manifest, check=False)
        assert outcome.code == 13
        assert "model base: it has no tokenizer" in refusal(outcome)
        assert "--accept model" in refusal(outcome)
    assert ms.faults.count() == 0
    assert bundle("build", manifest, "--accept", "model", check=False).code == 14  # now the registry is missing


def test_models_and_datasets_by_url_are_built(bundle: Bundle, tmp_path: Path) -> None:
    data = b'[{"instruction": "a", "input": "", "output": "b"}]'
    with ScriptedServer() as server:
        server.files = {"/model.safetensors": WEIGHTS, "/pumps.json": data}
        path = tmp_path / "urls.yaml"
        path.write_text(f"""
name: urls
version: "1"
models:
  base:
    files:
      model.safetensors: {{url: "{server.url}/model.safetensors", sha256: {hashlib.sha256(WEIGHTS).hexdigest()}}}
datasets:
  pumps: {{url: "{server.url}/pumps.json", sha256: {hashlib.sha256(data).hexdigest()}}}
""")
        bundle("build", path)
        assert "unchanged" in bundle("build", path, "--locked").out
    bundle("verify", "urls")


def test_what_a_cache_holds_is_told_and_not_fetched(bundle: Bundle, manifest: Path, ms: ModelScope) -> None:
    from modelscope.hub.snapshot_download import snapshot_download

    snapshot_download(REPO)
    ms.faults.clear()
    built = bundle("build", manifest, "-o", "json", "--progress", "plain")
    assert "4 files linked from the local caches" in built.err
    assert built.json["fetched"]["blobs"] == 0
    assert built.json["linked"]["files"] == 4
    assert ms.faults.count() == 0


def test_a_password_in_a_url_is_refused_and_repeated_nowhere(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "url.yaml"
    url = "https://user:canary44d1@example.org/d.json"
    path.write_text(f"name: url\nversion: '1'\ndatasets: {{d: {{url: '{url}', sha256: {'a' * 64}}}}}\n")
    outcome = bundle("build", path, "-vv", check=False)
    assert outcome.code == 10
    path.unlink()
    kept = [file.read_text() for file in tmp_path.rglob("*.log")]
    assert kept
    assert all("canary44d1" not in text for text in (outcome.out, outcome.err, *kept))


def test_a_build_that_is_killed_while_it_takes_files_from_a_cache_ends_well_the_next_time(
    bundle: Bundle, manifest: Path, tmp_path: Path, ms_files: Path, hf_files: Path
) -> None:
    from modelscope.hub.snapshot_download import snapshot_download

    for files in (ms_files, hf_files):
        with (files / "model.safetensors").open("r+b") as weights:
            weights.truncate(256 << 20)
    snapshot_download(REPO)
    partial = tmp_path / "store" / "partial"
    command = [*bundle.program, "build", manifest]
    with subprocess.Popen(command, env={**os.environ, **bundle.environment}, stderr=subprocess.DEVNULL) as build:
        while build.poll() is None and not list(partial.glob("ingest-*")):
            time.sleep(0.001)
        build.kill()
    bundle("build", manifest)
    bundle("verify", "both")
    assert list(partial.iterdir()) == []
