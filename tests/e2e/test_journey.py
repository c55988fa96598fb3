"""The main job, for real: from a manifest to a chat answer given behind the gap. The tests run in their order.

A real registry, a real sshd, two real engines (the second in a network namespace with no route out), real
LLaMA-Factory training, a real vLLM server. Only the hub is a stand-in.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bundler.core.digest import Digest
from bundler.core.media_types import INDEXES, LOCK, MANIFESTS
from bundler.store.closure import closure
from bundler.store.contents import read_lock
from bundler.store.layout import Store
from scripts.world import steps
from scripts.world.engine import Engine
from scripts.world.hub import Hub
from scripts.world.node import Node
from scripts.world.parts import World
from scripts.world.registry import Registry
from scripts.world.sshd import SshServer
from tests.commandline import Bundle, refusal
from tests.damage import flipped
from tests.demo import agent_on, demo_manifest
from tests.far_host import eventually
from tests.on_a_node import machine_outside

pytestmark = pytest.mark.timeout(1500)
DOCUMENTS = {LOCK, *INDEXES, *MANIFESTS}
ANSWER = "The code of the blue pump is BUNDLE-OK-BP."


@dataclass
class Journey:
    """Where everything is, and the command on either side of the gap."""

    manifest: Path
    builder: Store
    host: Path
    node: Node
    online: Bundle
    push: tuple[str, ...]

    @property
    def behind(self) -> Bundle:
        return agent_on(self.node, self.host)

    @property
    def release(self) -> Path:
        return self.host / "releases" / "demo"


@pytest.fixture(scope="module")
def journey(
    world: World,
    registry: Registry,
    hub: Hub,
    sshd: SshServer,
    online_engine: Engine,
    node: Node,
    pumps: Path,
) -> Iterator[Journey]:
    for _ in steps.prepare(world):
        pass
    # beside the engines' data, where there is room; hard links need nothing more
    home = world.place.directory("journey")
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    manifest = home / "demo.yaml"
    manifest.write_text(demo_manifest(world, registry, pumps))
    environment = {
        "DOCKER_HOST": online_engine.host,
        "HF_ENDPOINT": hub.endpoint,
        "XDG_STATE_HOME": str(home / "state"),
    }
    host = home / "host" / "bundles"
    push = ("push", "demo", f"{sshd.alias}:{host}", "--store", str(home / "builder"), "--ssh-config", str(sshd.config))
    made = Journey(manifest, Store(home / "builder"), host, node, Bundle(environment), push)
    yield made
    if (host / "bundle").is_file() and not os.environ.get("BUNDLE_KEEP_WORLD"):
        made.behind("down", "demo", check=False)


def test_01_build_pins_everything_and_stores_it(journey: Journey) -> None:
    built = journey.online("build", journey.manifest, "--store", journey.builder.root, "-o", "json").json
    assert built["bundle"] == "demo:1.0"
    entry = journey.builder.find("demo")
    assert str(entry.root.digest) == built["root"]
    assert journey.builder.missing(member.blob for member in closure(journey.builder, entry.root)) == ()
    assert list(journey.builder.partial.iterdir()) == []


def test_02_a_second_build_fetches_nothing_and_locked_agrees(journey: Journey) -> None:
    root = journey.builder.find("demo").root
    again = journey.online("build", journey.manifest, "--store", journey.builder.root, "--locked", "-o", "json").json
    assert again["fetched"] == {"blobs": 0, "bytes": 0}
    assert again["root"] == str(root.digest)


def test_03_skopeo_reads_the_images_out_of_the_store(journey: Journey) -> None:
    lock = json.loads((journey.manifest.with_suffix(".lock.json")).read_text())
    for image in lock["images"]:
        where = f"oci:{journey.builder.root}:demo:1.0/{image['name']}"
        found = json.loads(subprocess.run(["skopeo", "inspect", where], capture_output=True, check=True).stdout)
        # an image in Docker's own form is found under its OCI form: another manifest, the same blobs
        if image["manifest"]["mediaType"] == "application/vnd.oci.image.manifest.v1+json":
            assert found["Digest"] == image["manifest"]["digest"]
        assert found["Layers"] == [blob["digest"] for blob in image["blobs"][1:]]


def test_04_an_image_built_here_shares_its_bases_layers_under_the_registrys_digests(
    journey: Journey, registry: Registry
) -> None:
    with urllib.request.urlopen(_manifest(registry, "base-py311", "bookworm")) as answer:
        base = [layer["digest"] for layer in json.loads(answer.read())["layers"]]
    images = {i["name"]: i for i in json.loads(journey.manifest.with_suffix(".lock.json").read_text())["images"]}
    assert [blob["digest"] for blob in images["train"]["blobs"][1:]][: len(base)] == base
    assert [blob["digest"] for blob in images["serve"]["blobs"][1:]][: len(base)] == base


def _manifest(registry: Registry, repository: str, tag: str) -> urllib.request.Request:
    accept = "application/vnd.docker.distribution.manifest.v2+json"
    return urllib.request.Request(
        f"http://{registry.address}/v2/{repository}/manifests/{tag}", headers={"Accept": accept}
    )


def test_05_push_carries_it_to_the_host_with_the_same_root(journey: Journey) -> None:
    pushed = journey.online(*journey.push, "-o", "json").json
    assert pushed["sent"]["blobs"] > 20
    there = Store.open(journey.host)
    assert there.find("demo").root == journey.builder.find("demo").root
    sums = "".join(f"{path.name}  {path}\n" for path in there.blobs.iterdir())
    checked = subprocess.run(["sha256sum", "-c", "--quiet"], input=sums, text=True, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stdout
    assert os.access(journey.host / "bundle", os.X_OK)


def test_06_a_second_push_sends_nothing(journey: Journey) -> None:
    assert journey.online(*journey.push, "-o", "json").json["sent"] == {"blobs": 0, "bytes": 0}


def test_07_by_tarballs_the_same_bundle_arrives_and_needs_nothing_installed(journey: Journey) -> None:
    media = journey.host.parent / "media"
    shutil.rmtree(media, ignore_errors=True)
    media.mkdir()
    written = journey.online(
        "export", "demo", media, "--volume-size", "400MB", "--store", journey.builder.root, "-o", "json"
    ).json
    volumes = sorted(path.name for path in media.glob("*.tar"))
    assert len(volumes) > 2
    assert written["root"] == str(journey.builder.find("demo").root.digest)
    checked = subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=media, check=False)
    assert checked.returncode == 0
    subprocess.run(["tar", "-xf", volumes[0], "bundle"], cwd=media, check=True)
    agent = replace(journey.behind, program=("/usr/bin/python3", "-S", str(media / "bundle")))
    taken = media / "store"
    agent("import", *(media / name for name in reversed(volumes)), "--store", taken)
    assert Store.open(taken).find("demo").root == journey.builder.find("demo").root
    agent("verify", "demo", "--store", taken)
    shutil.rmtree(media)


def test_08_the_node_has_no_route_out(journey: Journey, registry: Registry) -> None:
    assert journey.node.run("ip", "route", "show", "table", "all", check=False).stdout.count("default") == 0
    assert [line.split()[1] for line in journey.node.run("ip", "-o", "link").stdout.splitlines()] == ["lo:", "docker0:"]
    pulled = journey.node.engine.docker("pull", f"{registry.address}/base-py311:bookworm", check=False)
    assert pulled.returncode != 0


def test_09_a_taken_port_is_refused_before_any_work(journey: Journey) -> None:
    code = "import socket,sys;s=socket.create_server(('127.0.0.1',8000));print('on',flush=True);sys.stdin.read()"
    holder = subprocess.Popen(
        journey.node.argv("/usr/bin/python3", "-c", code), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout
        assert holder.stdout.readline() == b"on\n"
        outcome = journey.behind("up", "demo", check=False)
    finally:
        holder.communicate()
    assert outcome.code == 13
    assert "port 8000" in refusal(outcome)
    assert f"process {holder.pid}" in outcome.err
    assert journey.node.engine.docker("ps", "-aq").stdout == ""


def test_10_a_training_that_is_killed_is_told_as_that(journey: Journey) -> None:
    """A power cut, as near to one as can be had: nothing ends in order, and what was written last is half there."""
    behind, newest = journey.behind, journey.release / "results" / "train" / "checkpoint-100"
    command, environment = [*behind.prefix, *behind.program, "up", "demo"], {**os.environ, **behind.environment}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as up:
        eventually(lambda: up.poll() is not None or (newest / "trainer_state.json").is_file(), "checkpoint-100", 400)
        journey.node.engine.docker("kill", "bundle-demo--train")
        _, said = up.communicate()
    assert up.returncode
    assert "the job train of demo failed: killed" in said
    assert "load: 2 loaded" in said
    weights = newest / "adapter_model.safetensors"
    os.truncate(weights, weights.stat().st_size // 2)


def test_10b_up_goes_on_from_the_checkpoint_before_the_one_cut_short_merges_serves_and_answers(
    journey: Journey,
) -> None:
    """Of the trainer's own log, which it goes on with: no step up to 50 is there twice, each from 51 to 100 is."""
    outcome = journey.behind("up", "demo", "-o", "json")
    assert "train: checkpoint-100 is not gone on from, and is now incomplete-checkpoint-100: adapter_m" in outcome.err
    log = (journey.release / "results" / "train" / "trainer_log.jsonl").read_text().splitlines()
    steps_logged = [json.loads(line)["current_steps"] for line in log]
    assert [steps_logged.count(step) for step in (1, 50, 51, 100)] == [1, 1, 2, 2]
    assert steps_logged[-1] == 150
    up = outcome.json
    assert up["answer"]["text"].strip() == ANSWER
    assert up["root"] == str(journey.builder.find("demo").root.digest)
    assert [(job["name"], job["ran"]) for job in up["jobs"]] == [("train", True), ("merge", True)]


def test_11_the_answer_came_from_the_merged_model(journey: Journey) -> None:
    """What vLLM has mounted is the merge's output, and its weights are not the base model's."""
    inspected = json.loads(journey.node.engine.docker("inspect", "bundle-demo--serve").stdout)[0]
    merged = journey.release / "results" / "merge"
    assert [(m["Source"], m["Destination"], m["RW"]) for m in inspected["Mounts"]] == [
        (str(merged), "/bundle/model", False)
    ]
    base = {path.name: Digest.of_file(path) for path in (journey.release / "models" / "base").glob("*.safetensors")}
    tuned = {path.name: Digest.of_file(path) for path in merged.glob("*.safetensors")}
    assert base
    assert tuned
    assert not set(base.values()) & set(tuned.values())


def test_12_the_base_model_is_mounted_from_the_stores_own_blobs(journey: Journey) -> None:
    for path in (journey.release / "models" / "base").iterdir():
        assert path.samefile(Store(journey.host).path(Digest.of_file(path)))


@pytest.fixture
def outside(journey: Journey) -> Iterator[str]:
    with machine_outside(journey.node) as address:
        yield address


def test_13_no_container_gets_a_network_out_even_where_the_node_has_one(journey: Journey, outside: str) -> None:
    code = (
        f"import socket\ns=socket.socket();s.settimeout(3)\n"
        f"try: s.connect(({outside!r}, 9)); print('out')\nexcept OSError: print('shut')"
    )
    assert journey.node.run("/usr/bin/python3", "-c", code).stdout.strip() == "out"
    for name in ("bundle-demo--serve", "bundle-demo--serve--proxy"):
        inside = journey.node.engine.docker("exec", name, "python3", "-c", code).stdout.strip()
        assert inside == "shut", name


def test_14_containers_can_not_change_the_model_or_gain_rights(journey: Journey) -> None:
    found = json.loads(journey.node.engine.docker("inspect", "bundle-demo--serve").stdout)[0]
    host = found["HostConfig"]
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert found["Config"]["User"] == "1000:1000"
    assert host["RestartPolicy"]["Name"] == "unless-stopped"


def test_15_up_again_changes_nothing_and_says_so(journey: Journey) -> None:
    before = _containers(journey)
    again = journey.behind("up", "demo")
    assert "was up already: nothing changed" in again.out
    assert ANSWER in again.out
    assert _containers(journey) == before


def _containers(journey: Journey) -> list[str]:
    names = journey.node.engine.docker("ps", "-aq", "--no-trunc").stdout.split()
    return sorted(
        journey.node.engine.docker("inspect", "-f", "{{.Id}} {{.State.StartedAt}} {{.RestartCount}}", name).stdout
        for name in names
    )


def test_16_status_and_logs_show_what_happened(journey: Journey) -> None:
    status = journey.behind("status", "-o", "json").json["releases"][0]
    assert {w["name"]: w["state"] for w in status["workloads"]} == {"train": "done", "merge": "done", "serve": "up"}
    assert "train_loss" in journey.behind("logs", "demo", "train").out
    assert "/health" in journey.behind("logs", "demo", "serve").out


def test_16b_the_tuned_model_is_measured_against_the_base_model(journey: Journey) -> None:
    found = journey.behind("evaluate", "demo", "-o", "json").json
    assert [job["ran"] for job in found["jobs"]] == [True, True]
    assert len(found["answers"]) == 4
    assert found["metrics"]["tuned"]["bleu-4"] > found["metrics"]["base"]["bleu-4"] + 30
    report = journey.host.parent / "report.html"
    again = journey.behind("evaluate", "demo", "-o", "json", "--html", report).json
    assert [job["ran"] for job in again["jobs"]] == [False, False]
    assert report.read_text().count("<article") == 4


def test_16c_the_results_come_back_as_a_bundle(journey: Journey) -> None:
    results = journey.host.parent / "results"
    shutil.rmtree(results, ignore_errors=True)
    fetched = journey.behind("fetch-results", "demo", results, "--merged", "-o", "json").json
    assert sorted(fetched["artifacts"]) == ["merged", "records", "trained"]
    journey.online("verify", "demo-results", "--store", results)
    lock = read_lock(Store.open(results), Store.open(results).find("demo-results"))
    records = {file.path for file in lock.datasets[0].files}
    assert records >= {"train/training_loss.png", "train/train.log", "evaluate-tuned/generated_predictions.jsonl"}
    shutil.rmtree(results)


def test_17_a_container_that_was_killed_is_brought_back_without_training_again(journey: Journey) -> None:
    journey.node.engine.docker("rm", "-f", "bundle-demo--serve")
    up = journey.behind("up", "demo", "-o", "json").json
    assert [job["ran"] for job in up["jobs"]] == [False, False]
    assert up["services"][0]["started"] is True
    assert up["answer"]["text"].strip() == ANSWER


def test_18_a_byte_flipped_in_any_blob_on_the_host_is_refused_by_name(journey: Journey) -> None:
    """The root; the lock; every other document; every blob that those name: what is damaged hides what is below it."""
    there = Store(journey.host)
    root, *members = closure(there, there.find("demo").root)
    documents = {member.blob.digest for member in members if member.blob.media_type in DOCUMENTS}
    below = [member for member in members if member.blob.digest not in documents and member.blob.size]
    named = [member for member in members if member.blob.digest in documents]
    lock = [member for member in named if member.blob.media_type == LOCK]
    others = [member for member in named if member not in lock]
    assert (len(lock), len(others) >= 4, len(below) > 15) == (1, True, True)
    for damaged in ([root], lock, others, below):
        with ExitStack() as damage:
            for member in damaged:
                damage.enter_context(flipped(there.path(member.blob.digest)))
            outcome = journey.behind("up", "demo", check=False)
            told = journey.behind("verify", "demo", "-o", "json", check=False).out + refusal(outcome)
        assert outcome.code == 12, outcome.err
        assert refusal(outcome)
        assert [member.label for member in damaged if member.blob.digest.hex not in told] == []
    assert journey.behind("verify", "demo").code == 0


def test_19_a_changed_file_of_the_bundle_sends_only_itself(journey: Journey, pumps: Path) -> None:
    """An edited dataset: a new lock, the same images and model; push sends the file and the documents about it."""
    edited = journey.manifest.with_name("edited.json")
    records = json.loads(pumps.read_text())
    edited.write_text(json.dumps(records[:-1]))
    manifest = journey.manifest.with_name("edited.yaml")
    manifest.write_text(journey.manifest.read_text().replace(str(pumps), str(edited)))
    shutil.copy(journey.manifest.with_suffix(".lock.json"), manifest.with_suffix(".lock.json"))
    locked = journey.online("build", manifest, "--store", journey.builder.root, "--locked", check=False)
    assert locked.code == 10
    assert "dataset pumps" in refusal(locked)
    journey.online("build", manifest, "--store", journey.builder.root)
    sent = journey.online(*journey.push, "-o", "json").json["sent"]
    documents = manifest.with_suffix(".lock.json").stat().st_size
    assert sent["blobs"] == 4, "the file, its manifest, the lock, the root"
    assert sent["bytes"] < edited.stat().st_size + documents + 8192


def test_20_down_leaves_no_container_and_keeps_the_results(journey: Journey) -> None:
    journey.behind("down", "demo")
    assert journey.node.engine.docker("ps", "-aq").stdout == ""
    networks = journey.node.engine.docker("network", "ls", "--format", "{{.Name}}").stdout.split()
    assert sorted(networks) == ["bridge", "host", "none"]
    assert list((journey.release / "results" / "merge").glob("*.safetensors"))
    with pytest.raises(OSError, match="refused"), socket.create_connection(("127.0.0.1", 8000), timeout=1):
        pass
