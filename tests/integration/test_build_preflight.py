"""Before it begins, a build says what it will move and whether that fits; and nothing that it does shows a secret."""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from image_maker import Pusher, image

from bundler.core.digest import Digest
from bundler.core.errors import NoSpace
from bundler.core.events import Event, StepEnded, StepStarted
from bundler.manifest.loader import load
from bundler.operations.build import build
from bundler.store.layout import Store
from scripts.world.hub import Fault, Hub
from scripts.world.registry import Credentials, Registry
from tests.commandline import Bundle

PASSWORD = "canary-pass-71c"
TOKEN = "hf_canary71c"
WEIGHTS = os.urandom(400_000)


@dataclass
class Recorder:
    events: list[Event] = field(default_factory=list)

    def emit(self, event: Event) -> None:
        self.events.append(event)


@pytest.fixture
def private(tmp_path: Path) -> Iterator[Registry]:
    with Registry(tmp_path / "registry", credentials=Credentials("me", PASSWORD), tied=True) as registry:
        yield registry


@pytest.fixture
def manifest(private: Registry, empty_hub: Hub, tmp_path: Path) -> Path:
    """An image behind a login, a model behind a token, a dataset on this disk."""
    empty_hub.access.members.add(TOKEN)
    empty_hub.access.private.add("acme/tiny")
    model = tmp_path / "hub" / "acme" / "tiny"
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(WEIGHTS)
    (tmp_path / "data.json").write_text(json.dumps([{"instruction": "a", "input": "", "output": "b"}]))
    assert private.credentials
    pusher = Pusher(private.address, private.credentials.header())
    text = pusher.push(f"acme/{secrets.token_hex(4)}", image(os.urandom(300_000)), "1")
    path = tmp_path / "bundle.yaml"
    path.write_text(
        f'name: whole\nversion: "1"\nimages:\n  app: {{registry: "{text}"}}\n'
        "models:\n  base: {huggingface: acme/tiny}\ndatasets:\n  data: {path: data.json}\n"
    )
    return path


@pytest.fixture
def environment(private: Registry, empty_hub: Hub, tmp_path: Path) -> dict[str, str]:
    docker = tmp_path / "docker"
    docker.mkdir()
    auth = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
    (docker / "config.json").write_text(json.dumps({"auths": {private.address: {"auth": auth}}}))
    return {
        "DOCKER_CONFIG": str(docker),
        "HF_ENDPOINT": empty_hub.endpoint,
        "HF_TOKEN": TOKEN,
        "HF_HOME": str(tmp_path / "hf"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "BUNDLE_STORE": str(tmp_path / "store"),
    }


def test_a_dry_run_says_what_would_be_fetched_and_leaves_neither_lock_nor_bundle(
    manifest: Path, environment: dict[str, str]
) -> None:
    bundle = Bundle(environment)
    shown = bundle("build", manifest, "--dry-run", "--rate", "100kB", "-o", "json").json
    sizes = {f"{one['kind']} {one['name']}": one for one in shown["artifacts"]}
    assert list(sizes) == ["image app", "model base", "dataset data"]
    assert sizes["model base"]["missing"] == len(WEIGHTS)
    assert 700_000 < shown["to_fetch"] < shown["to_write"]
    assert shown["seconds"] == round(shown["to_fetch"] / 100_000, 1)
    assert shown["fits"]
    assert not manifest.with_suffix(".lock.json").exists()
    assert Store(Path(environment["BUNDLE_STORE"])).bundles() == ()
    fetched = bundle("build", manifest, "-o", "json").json["fetched"]["bytes"]
    assert fetched == shown["to_write"]
    again = bundle("build", manifest, "--dry-run", "-o", "json").json
    assert (again["to_fetch"], again["to_write"]) == (0, 0)
    assert "0 B to fetch, 0 B to write" in bundle("build", manifest, "--dry-run").out


def test_a_build_refuses_before_it_begins_what_does_not_fit_all_artifacts_together(
    manifest: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(Store, "free_bytes", lambda _: 500_000)  # enough for each, not for all
    heard = Recorder()
    with pytest.raises(NoSpace, match=r"needs 70\d kB more, and .* has 500 kB free"):
        build(load(manifest), manifest, Store.create(tmp_path / "store"), heard)
    assert not any(isinstance(event, StepStarted) and event.step == "fetch" for event in heard.events)
    monkeypatch.undo()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    build(load(manifest), manifest, Store.create(tmp_path / "store"), heard)
    order = [event.step for event in heard.events if isinstance(event, StepEnded)]
    assert order.index("space") < order.index("fetch")
    (said,) = [event.summary for event in heard.events if isinstance(event, StepEnded) and event.step == "space"]
    assert "to fetch, " in said
    assert f" free in {tmp_path / 'store'}" in said


def test_room_is_counted_before_a_base_is_fetched_to_build_on(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    made = image(os.urandom(300_000))
    base = Pusher(registry.address).push(f"base/{secrets.token_hex(4)}", made, "1")
    (tmp_path / "dockerfile").mkdir()
    (tmp_path / "dockerfile" / "Dockerfile.j2").write_text("FROM {{ base }}\n")
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "model.safetensors").write_bytes(WEIGHTS)
    manifest = tmp_path / "bundle.yaml"
    manifest.write_text(
        f'name: whole\nversion: "1"\nimages:\n  app: {{dockerfile: dockerfile, base: "{base}"}}\n'
        "models:\n  base: {path: weights}\n"
    )
    monkeypatch.setattr(Store, "free_bytes", lambda _: 500_000)
    store = Store.create(tmp_path / "store")
    with pytest.raises(NoSpace, match=r"needs 70\d kB more"):
        build(load(manifest), manifest, store, Recorder())
    assert not store.path(Digest.of(made.blobs[1])).exists()


def test_no_secret_gets_into_lock_store_logs_or_output_whether_it_works_or_fails(
    manifest: Path, environment: dict[str, str], empty_hub: Hub, tmp_path: Path
) -> None:
    bundle = Bundle(environment)
    empty_hub.faults.add(Fault("model.safetensors", status=404))
    said = [bundle("build", manifest, "-vv", check=False), bundle("build", manifest, "-vv", "--events", "json")]
    assert [outcome.code for outcome in said] == [14, 0]
    logs = list((tmp_path / "state").rglob("*.log"))
    assert len(logs) == 1
    places = (manifest.with_suffix(".lock.json"), *(tmp_path / "store").rglob("*"), *logs)
    texts = [path.read_bytes() for path in places if path.is_file()]
    texts += [text.encode() for outcome in said for text in (outcome.out, outcome.err)]
    secret = base64.b64encode(f"me:{PASSWORD}".encode())
    for canary in (PASSWORD.encode(), TOKEN.encode(), secret):
        assert not any(canary in text for text in texts)


def test_nothing_listens_to_the_debug_logs_of_libraries_which_hold_signed_addresses() -> None:
    package = Path(__file__).parents[2] / "bundler"
    words = ("basicConfig", "add_stderr_logger", "addHandler", "set_verbosity_debug", "debuglevel")
    found = [str(path) for path in package.rglob("*.py") if any(word in path.read_text() for word in words)]
    assert found == []
