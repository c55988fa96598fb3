"""`bundle logs` while the engine is down: what a job said last is what is wanted then."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from bundler.manifest.lock import LockedImage, Workload
from bundler.operations.jobs import WorkloadFailed
from bundler.operations.record import record
from bundler.operations.release import Release
from bundler.store.contents import read_lock
from bundler.store.layout import Store
from tests.bundles import make_bundle
from tests.commandline import Bundle, refusal


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A bundle whose training has run; its service has not."""
    store = Store.create(tmp_path / "store")
    made = read_lock(store, make_bundle(store))
    image = LockedImage("any", "test", made.models[0].manifest, (made.agent.blob,))
    workloads = (
        Workload("train", "train", "any", ("train",)),
        Workload("merge", "merge", "any", ("merge",)),
        Workload("serve", "vllm", "any", ("serve",), port=8000),
    )
    asked = (Workload("evaluate-base", "evaluate", "any", ("evaluate",)),)
    made = replace(made, images=(image,), workloads=workloads, evaluations=asked)
    release = Release.of(store, record(made, store))
    for job in ("train", "merge"):
        release.log(job).parent.mkdir(parents=True, exist_ok=True)
        release.log(job).write_text(f"{job} 1\n{job} 2\n{job} 3\n")
    return store


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return Bundle({"DOCKER_HOST": f"unix://{tmp_path}/no-engine", "XDG_STATE_HOME": str(tmp_path / "state")})


def test_saved_logs_are_shown_without_an_engine(store: Store, bundle: Bundle) -> None:
    assert bundle("logs", "demo", "train", "--store", store.root).out == "train 1\ntrain 2\ntrain 3\n"
    assert bundle("logs", "demo", "train", "--tail", "1", "--store", store.root).out == "train 3\n"


def test_an_evaluation_that_failed_is_read_with_the_command_that_its_failure_names(
    store: Store, bundle: Bundle
) -> None:
    release = Release.of(store, store.find("demo"))
    release.log("evaluate-base").write_text("no memory\n")
    hint = WorkloadFailed("job", "evaluate-base", release, 1, (), "evaluate").hint or ""
    assert hint.endswith(f"; bundle evaluate demo:1.0.0 --store {store.root} goes on from here")
    assert bundle(*shlex.split(hint.partition("#")[0])[1:]).out == "no memory\n"


def test_without_a_workload_all_logs_are_shown_each_under_its_name(store: Store, bundle: Bundle) -> None:
    shown = bundle("logs", "demo", "-n", "1", "--store", store.root).out
    assert shown == "==> train <==\ntrain 3\n==> merge <==\nmerge 3\n"


def test_following_several_at_once_is_refused_with_a_command_that_works(store: Store, bundle: Bundle) -> None:
    outcome = bundle("logs", "demo", "-f", "--store", store.root, check=False)
    assert outcome.code == 2
    assert f"hint: bundle logs demo:1.0.0 train --follow --store {store.root}" in refusal(outcome)


def test_what_was_kept_nowhere_says_that_the_engine_is_down(store: Store, bundle: Bundle) -> None:
    assert "no-engine" in refusal(bundle("logs", "demo", "serve", "--store", store.root, check=False))
