"""A second version over the first, and back, by the command on a node with a real engine. The tests run in their order.

The training is a line of Python that writes something else in every run: so it is seen what was trained again.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bundler.core.events import Silence
from bundler.core.media_types import AGENT, MODEL_CONFIG, MODEL_FILEPATH, MODEL_WEIGHT
from bundler.core.reference import Reference
from bundler.manifest.lock import (
    FORMAT,
    Hardware,
    Lock,
    LockedAgent,
    LockedFile,
    LockedFiles,
    LockedImage,
    Mount,
    Workload,
)
from bundler.sources.fetch import fetch
from bundler.sources.images import image_downloads, resolve_image
from bundler.store.layout import Store
from scripts.world.engine import Engine
from scripts.world.node import Node
from tests.bundles import put_model, put_root
from tests.commandline import Bundle, refusal
from tests.far_host import eventually

TRAIN = """
import os, time
print('learning', flush=True)
text = open('/bundle/data/text').read()
while 'wait' in text and not os.path.exists('/bundle/output/go'):
    time.sleep(.05)
open('/bundle/output/model', 'w').write(text + ' ' + os.urandom(4).hex())
"""
MERGE = """
open('/bundle/output/model', 'w').write(open('/bundle/model/model').read() + ' {merged}')
"""


def server(name: str, port: int, *mounts: Mount, starts: str = "") -> Workload:
    command = ("python3", "-m", "http.server", str(port), "--directory", "/bundle/model" if mounts else "/tmp")
    return Workload(name, "python", "base", command, mounts, port=port, starts=starts)


def add_version(store: Store, image: LockedImage, version: str, text: str, merged: str = "") -> None:
    """A bundle that differs from the others in its data, and in what it makes of the trained model where it merges."""
    data = replace(store.put(text.encode(), MODEL_WEIGHT), annotations={MODEL_FILEPATH: "text"})
    dataset = put_model(store, store.put(b"{}", MODEL_CONFIG), [data])
    agent = store.put(b"#!/bin/sh\n", AGENT)
    training, served = "results/train", "results/merge" if merged else "results/train"
    merge = Workload("merge", "merge", "base", ("python3", "-c", MERGE.format(merged=merged)),
                     (Mount(training, "/bundle/model"),))  # fmt: skip
    lock = Lock(
        FORMAT,
        "second",
        version,
        LockedAgent("0.0.0", agent),
        Hardware(),
        images=(image,),
        datasets=(LockedFiles("text", "files:text", dataset, (LockedFile("text", data.digest, data.size),)),),
        workloads=(
            Workload("train", "train", "base", ("python3", "-c", TRAIN), (Mount("datasets/text", "/bundle/data"),)),
            *((merge,) if merged else ()),
            server("serve", 18081, Mount(served, "/bundle/model")),
            server("notes", 18082, starts="early"),
            server("curves", 18083, Mount("results/train", "/bundle/model"), starts="early"),
        ),
    )
    artifacts = (("image base", image.manifest), ("dataset text", dataset), ("agent", agent))
    store.record((put_root(store, lock, *artifacts),))


@dataclass
class There:
    """The node, its store, and the command on it."""

    node: Node
    store: Store
    command: Bundle

    def __call__(self, *arguments: str, check: bool = True) -> dict[str, object]:
        found: dict[str, object] = self.command(*arguments, "--store", self.store.root, "-o", "json", check=check).json
        return found

    def served(self, port: int = 18081, path: str = "model", *, check: bool = True) -> str:
        code = f"import urllib.request as u; print(u.urlopen('http://127.0.0.1:{port}/{path}').read().decode())"
        return self.node.run("/usr/bin/python3", "-c", code, check=check).stdout.strip()

    @property
    def results(self) -> Path:
        return self.store.root / "releases" / "second" / "results"


@pytest.fixture(scope="module")
def there(
    node: Node, base_image: str, online_engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[There]:
    assert online_engine
    store = Store.create(tmp_path_factory.mktemp("second") / "store")
    image = resolve_image("base", Reference.parse(base_image), store)
    fetch(image_downloads(image), store, Silence())
    add_version(store, image, "1.0", "first, wait")
    add_version(store, image, "1.1", "second")
    add_version(store, image, "1.2", "third", "merged one way")
    add_version(store, image, "1.3", "third", "merged another way")
    command = Bundle({"DOCKER_HOST": node.engine.host}, node.argv(), (sys.executable, "-m", "bundler"))
    yield There(node, store, command)
    command("down", "second", "--store", store.root, check=False)
    shutil.rmtree(store.root)


def test_1_an_up_killed_while_it_trains_is_gone_on_with_and_two_at_once_are_not_let_in(there: There) -> None:
    command = there.command
    words = (*command.prefix, *command.program, "up", "second:1.0", "--store", str(there.store.root))
    log = there.results.parent / "logs" / "train.log"
    first = subprocess.Popen(words, env={**os.environ, **command.environment}, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: log.is_file() and log.read_text() == "learning\n", "the training has begun", seconds=120)
        second = command("up", "second:1.0", "--store", there.store.root, check=False)
        assert second.code == 11
        assert f"process {first.pid}" in refusal(second)
        for port in (18082, 18083):
            eventually(lambda port=port: there.served(port, "", check=False) != "", "it waits for no training")
        assert there.served(check=False) == ""
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    container = there.node.engine.docker("ps", "-q").stdout
    (there.results / "train" / "go").touch()
    up = there("up", "second:1.0")
    assert up["loaded"] == []
    assert container
    assert log.read_text() == "learning\n", "it is the same run"
    # what reads the results of a training that has not ended is started anew with it, what reads none is left alone
    assert [service["started"] for service in up["services"]] == [True, False, True]  # type: ignore[attr-defined]
    services = there.node.engine.docker("ps", "-q", "--filter", "label=io.bundler.role=service").stdout.split()
    policies = ("inspect", "--format", "{{.HostConfig.RestartPolicy.Name}}", *services)
    assert set(there.node.engine.docker(*policies).stdout.split()) == {"unless-stopped"}
    assert there.served().startswith("first")


def test_2_a_second_version_replaces_what_differs_and_keeps_the_results_of_the_first(there: There) -> None:
    before = there.served()
    up = there("up", "second:1.1")
    assert up["loaded"] == []
    assert there.served().startswith("second")
    assert [path.read_text() for path in there.results.glob("train.*/model")] == [before]


def test_3_rollback_serves_what_was_served_before_and_trains_nothing(there: There) -> None:
    of_second = there.served()
    back = there("rollback", "second")
    assert back["bundle"] == "second:1.0"
    assert [job["ran"] for job in back["jobs"]] == [False]  # type: ignore[attr-defined]
    assert there.served().startswith("first")
    listed = there("rollback", "second", "--list")
    assert listed["up"]["bundle"] == "second:1.0"  # type: ignore[index]
    again = there("up", "second", "--last")
    assert (again["bundle"], again["changed"]) == ("second:1.0", False)
    there("up", "second:1.1")
    assert there.served() == of_second


def test_4_training_is_started_over_when_that_is_asked_for_and_nothing_is_lost(there: There) -> None:
    before = there.served()
    up = there("up", "second:1.1", "--restart-training")
    assert [job["ran"] for job in up["jobs"]] == [True]  # type: ignore[attr-defined]
    after = there.served()
    assert after.startswith("second")
    assert after != before
    assert before in [path.read_text() for path in there.results.glob("train.*/model")]
    assert there.served(18083) == after, "what is beside a training sees that one, not the one before"


def test_5_down_takes_the_version_that_is_up_where_the_store_has_two(there: There) -> None:
    assert there("down", "second")["bundle"] == "second:1.1"
    assert there.node.engine.docker("ps", "-q", "--filter", "label=io.bundler.bundle=second").stdout == ""
    back = there("rollback", "second")
    assert back["bundle"] == "second:1.0"
    assert there.served().startswith("first")


def test_6_a_merge_of_weights_that_were_given_up_is_not_served_when_one_goes_back_to_its_version(there: There) -> None:
    """The two versions have one training, and 1.3 had it run again."""
    there("up", "second:1.2")
    of_then = there.served()
    there("up", "second:1.3")
    assert there.served() == of_then.replace("one way", "another way"), "trained once for both"
    there("up", "second:1.3", "--restart-training")
    trained = (there.results / "train" / "model").read_text()
    back = there("rollback", "second")
    assert back["bundle"] == "second:1.2"
    assert [(job["name"], job["ran"]) for job in back["jobs"]] == [("train", False), ("merge", True)]  # type: ignore[attr-defined]
    assert there.served() == f"{trained} merged one way" != of_then
    assert there("up", "second:1.2")["changed"] is False
