"""`bundle build` is killed at random points, again and again; in the end the bundle is the same as if it never was."""

from __future__ import annotations

import os
import random
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from image_maker import Pusher, image
from metered import Metered

from bundler.store.layout import Store
from scripts.world.hub import Hub
from scripts.world.registry import Registry
from tests.commandline import Bundle

KILLS = 27
LAYERS, FILES, SIZE = 3, 3, 2_000_000
PAYLOAD = (LAYERS + FILES) * SIZE
PER_KILL = 1 << 19
"""Bytes that a kill may cost: what the kernel held for four streams, and what it takes to resolve again."""


@dataclass(frozen=True)
class Site:
    """A registry and a hub behind meters, and a manifest of what they have."""

    manifest: Path
    registry: Metered
    hub: Metered
    environment: dict[str, str]

    def grant(self, count: int | None) -> None:
        for meter in (self.registry, self.hub):
            meter.grant(count)

    @property
    def passed(self) -> int:
        return self.registry.passed + self.hub.passed

    def start(self, store: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "bundler", "build", str(self.manifest), "--store", str(store)]
        return subprocess.Popen(
            [*command, "--events", "json"],
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def build(self, store: Path) -> str:
        """A build to its end. Returns its root."""
        return str(Bundle(self.environment)("build", self.manifest, "--store", store, "-o", "json").json["root"])


@pytest.fixture
def site(registry: Registry, empty_hub: Hub, tmp_path: Path) -> Iterator[Site]:
    chance = random.Random(secrets.token_bytes(8))
    model = tmp_path / "hub" / "acme" / "tiny"
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    for number in range(FILES):
        (model / f"model-{number}.safetensors").write_bytes(chance.randbytes(SIZE))
    repository = f"killed/{secrets.token_hex(6)}"
    Pusher(registry.address).push(repository, image(*(chance.randbytes(SIZE) for _ in range(LAYERS))), "1")
    with Metered(registry.port) as images, Metered(int(empty_hub.endpoint.rpartition(":")[2])) as hub:
        manifest = tmp_path / "bundle.yaml"
        manifest.write_text(
            f'name: killed\nversion: "1"\nimages:\n  app: {{registry: "{images.address}/{repository}:1"}}\n'
            "models:\n  base: {huggingface: acme/tiny}\n"
        )
        environment = {
            "HF_ENDPOINT": f"http://{hub.address}",
            "HF_HOME": str(tmp_path / "hf"),
            "DOCKER_CONFIG": str(tmp_path / "docker"),
            "XDG_STATE_HOME": str(tmp_path / "state"),
        }
        yield Site(manifest, images, hub, environment)


def blobs(store: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Store(store).blobs.iterdir()}


def on_disk(store: Path) -> int:
    return sum(path.stat().st_size for path in store.rglob("*") if path.is_file())


def kill(site: Site, store: Path, chance: random.Random) -> bool:
    """Run a build and kill it: when its servers have sent so much, or when it has said so much. False if it ended."""
    site.grant(chance.randrange(200_000, 400_000))
    process = site.start(store)
    moment = threading.Event()

    def when_spent(meter: Metered) -> None:
        meter.spent.wait()
        moment.set()

    def when_said(lines: int) -> None:
        assert process.stderr
        for number, _ in enumerate(process.stderr):
            if number == lines:
                moment.set()
        moment.set()

    lines = chance.choice([10_000, chance.randrange(40)])
    for target, argument in ((when_spent, site.registry), (when_spent, site.hub), (when_said, lines)):
        threading.Thread(target=target, args=(argument,), daemon=True).start()
    assert moment.wait(120)
    process.kill()
    return process.wait() < 0


@pytest.mark.timeout(600)
def test_a_build_killed_at_any_moment_converges_to_the_same_bundle(site: Site, tmp_path: Path) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    undisturbed, store = tmp_path / "undisturbed", tmp_path / "store"
    root = site.build(undisturbed)
    once = site.passed
    killed = 0
    for _ in range(KILLS):
        killed += kill(site, store, chance)
        assert on_disk(store) <= on_disk(undisturbed) + (1 << 16)
        whole = blobs(store)
        assert all(whole[name] == expected for name, expected in blobs(undisturbed).items() if name in whole)
    site.grant(None)
    assert site.build(store) == root
    assert blobs(store) == blobs(undisturbed)
    assert list(Store(store).partial.iterdir()) == []
    again = site.passed - 2 * once
    print(f"{killed} kills, {again} bytes came twice")
    assert killed >= 25
    assert again <= killed * PER_KILL


def test_two_builds_in_one_store_at_once_are_both_well(site: Site, tmp_path: Path) -> None:
    processes = [site.start(tmp_path / "store") for _ in range(2)]
    said = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    roots = {out.split("root ")[1].split()[0] for out, _ in said}
    assert len(roots) == 1
    assert Bundle()("verify", "killed", "--store", tmp_path / "store").code == 0
    assert site.build(tmp_path / "other") in roots
    assert blobs(tmp_path / "store") == blobs(tmp_path / "other")
