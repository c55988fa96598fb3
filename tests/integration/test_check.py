"""Facts and checks of a node with a real engine: what it says of itself is what the checks need."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.errors import UsageInvalid
from bundler.core.events import Silence
from bundler.core.reference import BundleName
from bundler.engine.docker import DockerEngine
from bundler.manifest.lock import Hardware, Lock, LockedAgent
from bundler.node.burn import parse as parse_burn
from bundler.node.facts import encode, parse
from bundler.node.findings import NodeRefused, blocking
from bundler.node.reading import read_facts
from bundler.operations.burn import container
from bundler.operations.check import check, check_node
from bundler.operations.release import Release
from bundler.store.layout import Store
from scripts.world.engine import Engine
from scripts.world.node import Node


@pytest.fixture
def engine(node: Node, monkeypatch: pytest.MonkeyPatch) -> DockerEngine:
    monkeypatch.setenv("DOCKER_HOST", node.engine.host)
    return DockerEngine.connect()


def test_a_real_engine_tells_all_that_the_checks_ask_of_it(engine: DockerEngine, tmp_path: Path) -> None:
    facts = read_facts(engine, tmp_path)
    assert facts.engine
    assert re.match(r"[0-9]+\.[0-9]+", facts.engine.version)
    assert facts.engine.cgroup_driver in ("cgroupfs", "systemd", "none")
    assert facts.engine.cgroup_version in ("1", "2")
    assert any(option.startswith("name=") for option in facts.engine.security)
    assert facts.disks[facts.engine.root].free > 0
    assert parse(json.dumps(encode(facts)).encode(), "facts") == facts
    told = {finding.check: finding.severity.value for finding in check_node(facts)}
    assert [told[check] for check in ("engine", "engine-version", "disk")] == ["pass"] * 3


def test_a_bundle_for_gpus_is_refused_on_a_node_without_and_goes_on_where_a_person_accepts_each_block(
    engine: DockerEngine, tmp_path: Path
) -> None:
    store = Store.create(tmp_path / "store")
    lock = Lock(1, "demo", "1", LockedAgent("0", Descriptor("x", Digest.of(b"a"), 1)), Hardware(gpus=1, driver="525"))
    release = Release(store.root / "releases" / "demo", lock.bundle, Digest.of(b"root"))
    with pytest.raises(NodeRefused, match="0 GPUs are visible") as refused:
        check(store, lock, release, engine, Silence())
    blocked = [finding.check for finding in blocking(refused.value.findings)]
    assert {"gpu-count", "driver", "gpu-runtime"} <= set(blocked)
    with pytest.raises(NodeRefused, match="NVIDIA driver"):
        check(store, lock, release, engine, Silence(), ["gpu-count"])
    let = check(store, lock, release, engine, Silence(), blocked)
    assert [finding.check for finding in let if finding.accepted] == blocked
    with pytest.raises(UsageInvalid, match="there is no check gpu-cuont"):
        check(store, lock, release, engine, Silence(), ["gpu-cuont"])


def test_the_burn_in_starts_in_a_container_and_its_lines_come_back(
    engine: DockerEngine, node: Node, base_image: str, online_engine: Engine, tmp_path: Path
) -> None:
    """The base image has Python and no PyTorch: every part but the GPUs' own runs for real."""
    online_engine.docker("pull", "-q", base_image)
    with subprocess.Popen(["docker", "-H", online_engine.host, "save", base_image], stdout=subprocess.PIPE) as save:
        subprocess.run(["docker", "-H", node.engine.host, "load", "-q"], stdin=save.stdout, check=True)
    release = Release(tmp_path / "releases" / "demo", BundleName("demo", "1"), Digest.of(b"root"))
    spec = replace(container(base_image, 1, release.placement), gpus=0)
    identity = engine.start(spec)
    try:
        printed = b"".join(engine.logs(identity, follow=True)).decode()
        assert engine.wait(identity) == 0
    finally:
        engine.remove(identity)
    burn = parse_burn(printed.splitlines())
    assert burn.finished
    assert burn.container
    assert burn.container.shm == 16 << 30
    assert "torch" in burn.failed[0].error
