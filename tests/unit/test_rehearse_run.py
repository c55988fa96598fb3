"""One rehearsal after another container: what one of them does not do must not hide what the others found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bundler.core.descriptor import Descriptor
from bundler.core.events import Silence
from bundler.core.media_types import OCI_MANIFEST
from bundler.engine.docker import DockerEngine
from bundler.engine.errors import EngineFailed, NoEngine
from bundler.manifest.lock import Hardware, Lock, LockedImage, Workload
from bundler.node.facts import Gpu
from bundler.node.findings import Finding, Severity
from bundler.operations.record import record
from bundler.operations.rehearsal_place import Place
from bundler.operations.rehearse import ANSWER, STEP, _Run, rehearse, usable
from bundler.rehearsal.report import Report, parse
from bundler.rehearsal.trial import Machine
from bundler.store.contents import read_lock
from bundler.store.layout import Store
from tests.bundles import make_bundle, make_lock

NO_PYTHON = 'runc create failed: exec: "python3": executable file not found in $PATH: unknown'
BLOB = Descriptor.of(b"{}", OCI_MANIFEST)
IMAGE = LockedImage("all", "registry.example/all:1", BLOB, (BLOB,))
BOARD = Workload("board", "swanlab", "all", ("swanlab", "watch"), port=5092, health="/")
TRAIN = Workload(
    "train", "train", "all", ("llamafactory-cli", "train", "/bundle/config/train.yaml"),
    files={"train.yaml": "stage: sft\n"},
)  # fmt: skip


@dataclass
class Containers:
    """Where containers would run: each says that all it was asked went well, or is refused by the engine."""

    refused: Mapping[str, Exception] = field(default_factory=dict)
    plans: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    release: Any = field(default_factory=lambda: SimpleNamespace(directory=Path("nowhere")))

    def plan(self, workload: str, document: Mapping[str, Any]) -> None:
        self.plans.append((workload, document))

    def run(self, _store: Any, _lock: Any, workload: Workload, *_: Any) -> tuple[int, Report, tuple[str, ...]]:
        if workload.name in self.refused:
            raise self.refused[workload.name]
        asked = self.plans[-1][1]
        lines = [{"say": "import", "part": "imports", "module": name, "error": ""} for name in asked["imports"]]
        ended = [{"say": "done", "part": part} for part in ("versions", "imports")]
        return 0, parse(json.dumps(one) for one in (*lines, *ended, {"say": "finished", "part": ""})), ()

    def has_what_is_mounted(self, _workload: Workload) -> bool:
        return True


@pytest.fixture
def lock() -> Lock:
    return replace(make_lock(), images=(IMAGE,), hardware=Hardware())


def findings(lock: Lock, place: Containers, *workloads: Workload) -> dict[str, Finding]:
    run = _Run(
        cast(Store, None), replace(lock, workloads=workloads), cast(Place, place), cast(DockerEngine, None),
        {"all": "sha256:1"}, Machine(0), Silence(), 60, frozenset({STEP, ANSWER}),
    )  # fmt: skip
    return {finding.check: finding for finding in run.all()}


def test_each_workload_of_an_image_has_its_own_modules_tried_once(lock: Lock) -> None:
    place = Containers()
    other = replace(TRAIN, name="other")
    found = findings(lock, place, BOARD, TRAIN, other)
    asked = {name: document["imports"] for name, document in place.plans}
    assert asked["board"] == ["swanlab"]
    assert "llamafactory" in asked["train"]
    assert asked["other"] == []
    assert found["train/imports"].severity is Severity.PASS
    assert "other/imports" not in found


def test_a_container_that_the_engine_does_not_start_is_a_finding_among_the_others(lock: Lock) -> None:
    place = Containers({"board": EngineFailed("the engine refused starting it", because=NO_PYTHON)})
    found = findings(lock, place, BOARD, TRAIN)
    assert (found["board/probe"].severity, found["board/probe"].why) == (Severity.BLOCK, NO_PYTHON)
    assert "train/imports" in found


@pytest.mark.parametrize(
    "error",
    [NoEngine("unix:///nowhere", "it is gone"), EngineFailed("refused", because="write: no space left on device")],
)
def test_what_is_the_engines_own_ends_the_rehearsal_and_is_not_said_of_the_bundle(lock: Lock, error: Exception) -> None:
    with pytest.raises(EngineFailed):
        findings(lock, Containers({"board": error}), BOARD, TRAIN)


def test_evaluations_are_told_as_not_tried(lock: Lock) -> None:
    job = replace(TRAIN, name="evaluate-base", kind="evaluate")
    assert findings(replace(lock, evaluations=(job,)), Containers(), TRAIN)["evaluate-base/probe"].severity is (
        Severity.NOT_TRIED
    )


def test_a_container_that_a_killed_rehearsal_left_is_gone_before_gpus_count_as_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may hold the memory of all of them: neither a step nor an answer would be tried, for want of GPUs."""
    store, removed = Store.create(tmp_path), list[str]()
    store.put(b"{}", OCI_MANIFEST)
    bundle = record(replace(read_lock(store, make_bundle(store)), images=(IMAGE,), workloads=(TRAIN,)), store)
    engine = SimpleNamespace(list_containers=lambda _: [{"Id": "left"}], remove=removed.append)

    def read(*_: object) -> None:
        raise InterruptedError(*removed)

    monkeypatch.setattr(DockerEngine, "connect", lambda: engine)
    monkeypatch.setattr("bundler.operations.rehearse.read_facts", read)
    with pytest.raises(InterruptedError, match="left"):
        rehearse(store, bundle, Silence())


@pytest.mark.parametrize(
    ("free", "capabilities", "count"),
    [
        ((40, 40), ("8.9", "8.9"), 2),
        ((40, 1), ("8.9", "8.9"), 1),
        ((1, 40), ("8.9", "8.9"), 0),
        ((40, 40), ("8.9", "7.5"), 1),
        ((40, 40), ("10.0", "12.0"), 2),
    ],
)
def test_a_gpu_behind_one_that_is_full_or_too_old_is_none(
    free: tuple[int, ...], capabilities: tuple[str, ...], count: int
) -> None:
    """The engine gives a container the first: the training step would die of what the node does not have."""
    gpus = [
        Gpu(index, "L20", f"GPU-{index}", capability, 44, room)
        for index, (room, capability) in enumerate(zip(free, capabilities, strict=True))
    ]
    assert usable(gpus, Hardware(2, "L20", 44, "8.9")) == count
    assert usable([], Hardware()) == 0


def test_a_way_out_is_told_as_not_tried(lock: Lock) -> None:
    found = findings(lock, Containers(), replace(TRAIN, command=("python3", "-c", "", *TRAIN.command), way_out="s:80"))
    assert found["train/way-out"].severity is Severity.NOT_TRIED
