"""A way out is open while its job runs, and no longer: what is forgotten stays open on the intranet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from bundler.core.digest import Digest
from bundler.core.errors import BundlerError
from bundler.core.reference import BundleName
from bundler.engine.docker import ContainerState, DockerEngine
from bundler.engine.errors import EngineFailed
from bundler.manifest.lock import Workload
from bundler.operations.release import Release
from bundler.operations.release_record import JobRecord
from bundler.operations.ways_out import way_out
from bundler.workloads.container import ContainerSpec

MADE_FROM = Digest.of(b"all")
JOB = Workload("train", "train", "base", ("true",), way_out="swanlab.intra:8000")
GATE = "bundle-demo--train--gate"


@dataclass
class Engine:
    """Containers by name, as an engine would have them."""

    running: dict[str, ContainerState] = field(default_factory=dict)

    def find(self, name: str) -> ContainerState | None:
        return self.running.get(name)

    def remove(self, name: str) -> None:
        self.running.pop(name, None)

    def ensure_network(self, *_: Any, **__: Any) -> None:
        pass

    def start(self, spec: ContainerSpec) -> str:
        labels = dict(spec.labels)
        self.running[spec.name] = ContainerState(spec.name, spec.name, True, 0, labels, "2026")
        return spec.name


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return Release(tmp_path / "demo", BundleName("demo", "1"), Digest.of(b"root"))


def through(engine: Engine, release: Release, doing: Callable[[], None]) -> None:
    with way_out(JOB, "image", MADE_FROM, release, cast(DockerEngine, engine)):
        assert (GATE in engine.running) is (release.finished("train", MADE_FROM) is None)
        doing()


def fail() -> None:
    raise EngineFailed("the engine refused starting it", because="no such device")


def test_a_job_that_never_started_leaves_no_way_out(release: Release) -> None:
    engine = Engine()
    with pytest.raises(BundlerError, match="refused starting it"):
        through(engine, release, fail)
    assert engine.running == {}


def test_a_job_that_goes_on_in_the_engine_keeps_it(release: Release) -> None:
    """The connection to the engine broke, and the training runs for hours yet."""
    engine = Engine()
    engine.running["bundle-demo--train"] = ContainerState("1", "train", True, 0, {}, "2026")
    with pytest.raises(BundlerError):
        through(engine, release, fail)
    assert GATE in engine.running
    through(engine, release, lambda: None)
    assert GATE not in engine.running


def test_one_that_a_killed_up_left_behind_its_finished_job_is_removed(release: Release) -> None:
    engine = Engine()
    with pytest.raises(KeyboardInterrupt):
        through(engine, release, interrupted)
    assert GATE in engine.running
    release.results("train").mkdir(parents=True)
    (release.results("train") / "adapter").touch()
    release.write_job_record("train", JobRecord(MADE_FROM, 1.0))
    through(engine, release, lambda: None)
    assert engine.running == {}


def interrupted() -> None:
    raise KeyboardInterrupt
