"""Services for real: an adapter served without a merge, over its model, behind a key, by vLLM and by its own trainer;
LLaMA Board; the training's curves while it runs.

The images are those of the journey, built by the same steps; the store lies on the node itself.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bundler.manifest.schema import Target
from bundler.manifest.serving import VllmService
from bundler.workloads import vllm
from scripts.world import steps
from scripts.world.engine import Engine
from scripts.world.hub import Hub
from scripts.world.node import Node
from scripts.world.parts import World
from scripts.world.registry import Registry
from tests.commandline import Bundle, refusal
from tests.demo import agent_on, demo_manifest
from tests.far_host import eventually

pytestmark = pytest.mark.timeout(1500)
KEY = "a-key-that-only-the-node-knows"
ASK = """
import json, sys, urllib.error, urllib.request
url, key, model, text = sys.argv[1:]
body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 40, "temperature": 0}
headers = {"Content-Type": "application/json", "Authorization": "Bearer " + key}
request = urllib.request.Request(url + "/v1/chat/completions", json.dumps(body).encode(), headers)
try:
    print(json.load(urllib.request.urlopen(request))["choices"][0]["message"]["content"])
except urllib.error.HTTPError as error:
    print(error.code)
"""
GET = """
import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1], timeout=30).read().decode())
"""
LOSS = "/api/v1/experiment/1/tag/train%2Floss"
SERVICES = """services:
  api:
    image: train
    llamafactory_api: "0.9.5"
    model: base
    adapter: train
    name: tuned-in-the-trainer
    template: qwen3_nothink
    port: 8001
    api_key_file: {key}
  board: {{image: train, llamaboard: "0.9.5"}}
  curves: {{image: train, swanlab: "0.6.4"}}
"""
QUESTION = "What is the code of the blue pump number 7?"
ANSWER = "The code of the blue pump is BUNDLE-OK-BP."


@dataclass
class Place:
    """The store, the file with the key, and the command on the node."""

    store: Path
    key: Path
    node: Node
    online: Bundle

    @property
    def behind(self) -> Bundle:
        return agent_on(self.node, self.store)

    def ask(self, port: int, key: str, model: str) -> str:
        """The answer of a service on the node, or the status of its refusal."""
        url = f"http://127.0.0.1:{port}"
        return self.node.run("/usr/bin/python3", "-c", ASK, url, key, model, QUESTION).stdout.strip()

    def get(self, port: int, path: str) -> str:
        """What a page of the node says to a GET; nothing where nobody answers."""
        got = self.node.run("/usr/bin/python3", "-c", GET, f"http://127.0.0.1:{port}{path}", check=False)
        return got.stdout

    def points(self) -> int:
        """How many points the training has noted so far."""
        log = self.results / "train" / "trainer_log.jsonl"
        return len(log.read_text().splitlines()) if log.is_file() else 0

    @property
    def results(self) -> Path:
        return self.store / "releases" / "adapted" / "results"


@pytest.fixture(scope="module")
def place(
    world: World, registry: Registry, hub: Hub, online_engine: Engine, node: Node, pumps: Path
) -> Iterator[Place]:
    for _ in steps.prepare(world):
        pass
    home = world.place.directory("services")
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    key = home / "serve.key"
    text = demo_manifest(world, registry, pumps).replace("name: demo\n", "name: adapted\n")
    text = text.replace("  model: train\n", f"  model: base\n  adapter: train\n  api_key_file: {key}\n")
    text = text.replace("  logging_steps: 1\n", "  logging_steps: 5\n  swanlab: {mode: local, sdk: '0.6.4'}\n")
    text = text.replace("ask:", f"{SERVICES.format(key=key)}\nask:")
    (home / "adapted.yaml").write_text(text)
    environment = {"DOCKER_HOST": online_engine.host, "HF_ENDPOINT": hub.endpoint, "XDG_STATE_HOME": str(home / "log")}
    made = Place(home / "store", key, node, Bundle(environment))
    made.online("build", home / "adapted.yaml", "--store", made.store)
    yield made
    if not os.environ.get("BUNDLE_KEEP_WORLD"):
        made.behind("down", "adapted", check=False)


def test_1_a_dry_run_tells_each_container_without_an_engine(place: Place) -> None:
    nowhere = {"DOCKER_HOST": "unix:///nowhere"}
    told = place.online("up", "adapted", "--dry-run", "--store", place.store, **nowhere).out
    assert told.startswith("adapted:1.0: check -> board -> train -> curves -> serve -> api -> ask\n")
    document = place.online("up", "adapted", "--dry-run", "-o", "json", "--store", place.store, **nowhere).json
    assert [one["name"] for one in document["workloads"]] == ["board", "train", "curves", "serve", "api"]
    assert not (place.store / "releases").exists()


def test_2_a_key_that_the_service_could_not_read_is_told_with_the_command_that_mends_it(place: Place) -> None:
    outcome = place.behind("up", "adapted", check=False)
    assert "the API key of the service serve can't be read" in refusal(outcome)
    place.key.write_text(f"{KEY}\n")
    place.key.chmod(0o600)
    outcome = place.behind("up", "adapted", check=False)
    assert f"chown 1000:1000 {place.key}" in refusal(outcome)
    assert "mode 600" in outcome.err


def test_3_the_curves_are_seen_while_the_training_runs_and_the_adapter_answers_without_a_merge(place: Place) -> None:
    """The training is held still in the middle, so that there is no doubt that it has not ended."""
    os.chown(place.key, 1000, 1000)
    train, docker = "bundle-adapted--train", place.node.engine.docker
    behind = place.behind
    command = [*behind.prefix, *behind.program, "up", "adapted", "-o", "json"]
    environment = {**os.environ, **behind.environment}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as up:
        eventually(lambda: up.poll() is not None or place.points() > 2, "the first points of the training", 400)
        assert up.poll() is None, up.communicate()
        docker("pause", train)
        try:
            eventually(lambda: '"index"' in place.get(5092, LOSS), "the curve on the dashboard", 180)
            assert docker("inspect", "--format", "{{.State.Paused}}", train).stdout.strip() == "true"
            assert "LLaMA Factory" in place.get(7860, "/")  # it waits for no training
        finally:
            docker("unpause", train)
        out, said = up.communicate()
    assert up.returncode == 0, said
    told = json.loads(out)
    assert [job["name"] for job in told["jobs"]] == ["train"]
    assert all(service["started"] for service in told["services"])
    assert told["answer"]["text"].strip() == ANSWER
    assert place.ask(8000, KEY, "tiny-qwen3-tuned") == ANSWER
    assert place.ask(8000, KEY, "base") != ANSWER


def test_3a_after_the_training_its_last_point_is_on_the_dashboard(place: Place) -> None:
    steps_trained = 150
    eventually(lambda: f'"index":{steps_trained},' in place.get(5092, LOSS), "the last step on the dashboard", 60)


def test_3b_llamafactorys_own_api_answers_as_trained_and_to_the_key_alone(place: Place) -> None:
    assert place.ask(8001, KEY, "tuned-in-the-trainer") == ANSWER
    assert place.ask(8001, "another", "tuned-in-the-trainer") == "401"


def test_3c_llama_board_shows_the_bundles_data_and_tells_nobody_outside(place: Place) -> None:
    config = json.loads(place.get(7860, "/config"))
    assert config["analytics_enabled"] is False
    assert config["title"].startswith("LLaMA Factory")
    assert "public URL" not in place.node.engine.docker("logs", "bundle-adapted--board").stdout
    shown = place.behind("status", "-o", "json").json
    assert KEY not in json.dumps(shown)


def test_4_without_the_key_nobody_is_answered(place: Place) -> None:
    assert place.ask(8000, "another", "tiny-qwen3-tuned") == "401"


def test_5_the_key_is_nowhere_but_in_its_file_and_the_servers_memory(place: Place) -> None:
    docker = place.node.engine.docker
    for name in docker("ps", "-a", "--format", "{{.Names}}").stdout.split():
        told = (docker("inspect", name).stdout, docker("top", name, "-eo", "pid,args").stdout)
        logs = docker("logs", name)
        assert not [one for one in (*told, logs.stdout, logs.stderr) if KEY in one], name
    kept = [path for path in (place.store / "releases").rglob("*") if path.is_file() and path.stat().st_size < 1 << 20]
    assert kept
    assert not [path for path in kept if KEY.encode() in path.read_bytes()]
    listed = json.dumps(place.behind("status", "-o", "json").json)
    assert KEY not in listed


def test_6_vllms_own_parser_takes_every_flag_that_a_manifest_has_a_key_for(place: Place) -> None:
    """It names what it does not know: the one flag that no vLLM has, and nothing of ours."""
    document = {
        "image": "serve", "vllm": "0.32.0", "model": "base", "adapter": "train", "name": "tuned", "dtype": "half",
        "tensor_parallel": 2, "pipeline_parallel": 2, "quantization": "fp8", "max_model_len": 512, "max_num_seqs": 4,
        "reasoning_parser": "qwen3", "enforce_eager": True, "extra": {"enable-prefix-caching": False},
    }  # fmt: skip
    service, target = VllmService.model_validate(document), Target(gpu="L20", count=4)
    program, *arguments = vllm.serve("serve", service, target, "models/base", rank=24).command
    run = ("run", "--rm", "--network", "none", "-e", "HOME=/tmp", "--entrypoint", program, "adapted/serve:1.0")
    said = place.node.engine.docker(*run, *arguments, "--no-such-flag", check=False).stderr
    assert "error: unrecognized arguments: --no-such-flag\n" in said
