"""What goes wrong gets one message: what happened, why, the command that mends it. And nothing is half-written."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bundler.store.layout import Store
from scripts.world.hub import Hub
from scripts.world.registry import Registry
from scripts.world.sshd import SshServer
from scripts.world.tiny.repository import REPOSITORY
from tests.bundles import make_bundle
from tests.commandline import Bundle, refusal

MANIFEST = """\
name: small
version: "1"
images: {images}
models: {models}
datasets: {datasets}
"""


@pytest.fixture
def bundle(tmp_path: Path, hub: Hub) -> Bundle:
    """The command, with a state directory and a hub of this test's."""
    return Bundle({"XDG_STATE_HOME": str(tmp_path / "state"), "HF_ENDPOINT": hub.endpoint, "BUNDLE_PROGRESS": "quiet"})


def write(directory: Path, images: str = "{}", models: str = "{}", datasets: str = "{}") -> Path:
    path = directory / "small.yaml"
    path.write_text(MANIFEST.format(images=images, models=models, datasets=datasets))
    return path


def final_names(store: Path) -> list[str]:
    """What a failed build must not leave: a bundle in the index, or a lock."""
    listed = [] if not (store / "index.json").exists() else (store / "index.json").read_text().split("ref.name")[1:]
    return [*listed, *(str(path) for path in store.parent.glob("*.lock.json"))]


def test_wrong_yaml_is_told_with_all_its_errors_and_their_lines(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("name: Small\nversion: 1\nimagse: {}\n")
    outcome = bundle("build", path, "--store", tmp_path / "store", check=False)
    assert outcome.code == 10
    said = refusal(outcome)
    assert f"{path}:1:" in said
    assert f"{path}:2:" in said
    assert f"{path}:3:" in said
    assert "images" in said
    assert final_names(tmp_path / "store") == []


def test_a_manifest_that_is_not_there(bundle: Bundle, tmp_path: Path) -> None:
    outcome = bundle("build", tmp_path / "none.yaml", "--store", tmp_path / "store", check=False)
    assert outcome.code == 10
    assert "none.yaml" in refusal(outcome)


def test_an_unknown_image_is_named_with_its_registry(bundle: Bundle, registry: Registry, tmp_path: Path) -> None:
    manifest = write(tmp_path, images=f'{{serve: {{registry: "{registry.address}/no/such:1"}}}}')
    outcome = bundle("build", manifest, "--store", tmp_path / "store", check=False)
    assert outcome.code == 14
    assert "no/such" in refusal(outcome)
    assert registry.address in outcome.err
    assert final_names(tmp_path / "store") == []


def test_a_model_that_the_hub_does_not_have(bundle: Bundle, tmp_path: Path) -> None:
    manifest = write(tmp_path, models="{base: {huggingface: demo/nothing}}")
    outcome = bundle("build", manifest, "--store", tmp_path / "store", check=False)
    assert outcome.code == 14
    assert "demo/nothing" in refusal(outcome)
    assert final_names(tmp_path / "store") == []


def test_a_missing_dataset_file(bundle: Bundle, tmp_path: Path) -> None:
    manifest = write(tmp_path, datasets="{pumps: {path: nowhere.json}}")
    outcome = bundle("build", manifest, "--store", tmp_path / "store", check=False)
    assert outcome.code == 10
    assert "nowhere.json" in refusal(outcome)
    assert final_names(tmp_path / "store") == []


def test_a_registry_that_does_not_answer(bundle: Bundle, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    manifest = write(tmp_path, images=f'{{serve: {{registry: "127.0.0.1:{port}/x:1"}}}}')
    outcome = bundle("build", manifest, "--store", tmp_path / "store", check=False)
    assert outcome.code == 14
    assert f"127.0.0.1:{port}" in refusal(outcome)
    assert "refused" in outcome.err


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MB: enough for the tiny model and the agent, too small for a larger one."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_disk_that_is_too_small_is_said_before_anything_is_fetched(
    bundle: Bundle, small_disk: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "model"
    weights.mkdir()
    (weights / "config.json").write_text("{}")
    (weights / "model.safetensors").write_bytes(os.urandom(32 << 20))
    manifest = write(tmp_path, models=f"{{base: {{path: {weights}}}}}")
    outcome = bundle("build", manifest, "--store", small_disk / "store", check=False)
    assert outcome.code == 15
    assert "33.6 MB" in refusal(outcome)
    assert str(small_disk) in outcome.err
    assert b"small:1" not in (small_disk / "store" / "index.json").read_bytes()


def test_a_disk_that_is_full_is_said_and_leaves_nothing_under_a_final_name(
    bundle: Bundle, small_disk: Path, tmp_path: Path
) -> None:
    (small_disk / "ballast").write_bytes(bytes(16_700_000))
    manifest = write(tmp_path, models=f"{{base: {{huggingface: {REPOSITORY}}}}}")
    outcome = bundle("build", manifest, "--store", small_disk / "store", check=False)
    assert outcome.code == 15
    assert "no space left" in refusal(outcome)
    assert list((small_disk / "store" / "blobs" / "sha256").iterdir()) == []
    (small_disk / "ballast").unlink()
    assert bundle("build", manifest, "--store", small_disk / "store").code == 0


def test_a_host_whose_key_is_not_known_is_not_trusted(bundle: Bundle, sshd: SshServer, tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    entry = make_bundle(store)
    config = tmp_path / "ssh_config"
    config.write_text(sshd.config.read_text().replace(str(sshd.known_hosts), str(tmp_path / "empty")))
    (tmp_path / "empty").touch()
    target = f"{sshd.alias}:{tmp_path / 'host'}"
    outcome = bundle("push", str(entry.name), target, "--store", store.root, "--ssh-config", config, check=False)
    assert outcome.code == 14
    assert "key" in refusal(outcome)
    assert not (tmp_path / "host").exists()
    assert (tmp_path / "empty").read_bytes() == b""


def test_a_host_that_refuses_the_connection(bundle: Bundle, tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    entry = make_bundle(store)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    target = f"ssh://root@127.0.0.1:{port}{tmp_path / 'host'}"
    outcome = bundle("push", str(entry.name), target, "--store", store.root, check=False)
    assert outcome.code == 14
    assert f"127.0.0.1 refuses connections on port {port}" in refusal(outcome)


@pytest.mark.parametrize("verb", ["up", "down", "status"])
def test_an_engine_that_is_not_there(bundle: Bundle, tmp_path: Path, verb: str) -> None:
    store = Store.create(tmp_path / "store")
    entry = make_bundle(store)
    release = store.root / "releases" / entry.name.name
    release.mkdir(parents=True)
    (release / "release.json").write_text(f'{{"bundle": "{entry.name}", "root": "{entry.root.digest}"}}')
    socket_path = tmp_path / "none.sock"
    arguments = [verb] if verb == "status" else [verb, str(entry.name)]
    outcome = bundle(*arguments, "--store", store.root, check=False, DOCKER_HOST=f"unix://{socket_path}")
    assert outcome.code == 1
    said = refusal(outcome)
    assert f"no container engine answers at unix://{socket_path}" in said
    assert "No such file or directory" in said
    assert "hint: systemctl start docker" in said


def test_a_check_without_an_engine_judges_the_rest_of_the_node_and_blocks(bundle: Bundle, tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    entry = make_bundle(store)
    socket_path = tmp_path / "none.sock"
    words = ("check", str(entry.name), "--store", store.root, "-o", "json")
    outcome = bundle(*words, check=False, DOCKER_HOST=f"unix://{socket_path}")
    assert outcome.code == 13
    found = {finding["check"]: finding for finding in outcome.json["findings"]}
    assert found["engine"]["severity"] == "block"
    assert f"no container engine answers at unix://{socket_path}" in found["engine"]["what"]
    assert len(found) > 10


def test_v_shows_the_traceback_that_is_otherwise_only_in_the_log(bundle: Bundle, tmp_path: Path) -> None:
    short = bundle("verify", "x", "--store", tmp_path, check=False)
    long = bundle("verify", "x", "--store", tmp_path, "-v", check=False)
    assert "Traceback" not in short.err
    assert "Traceback" in long.err
    log = Path(short.err.rpartition("log:")[2].strip())
    assert "Traceback" in log.read_text()
