"""What `up` does on the node for a service before it starts: its key, its directories; and what a dry run shows."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
import yaml

from bundler.cli.up_plan import as_json, as_text
from bundler.core.digest import Digest
from bundler.core.reference import BundleName
from bundler.manifest.lock import Hardware, LockedImage, Mount, Question, Workload
from bundler.operations.lineage import runs_given
from bundler.operations.record import record
from bundler.operations.release import Release, fingerprints
from bundler.operations.release_record import JobRecord
from bundler.operations.services import KeyUnreadable, make_state, require_keys
from bundler.operations.up import run_before
from bundler.operations.up_plan import UpPlan, up_plan
from bundler.store.contents import read_lock
from bundler.store.layout import BundleEntry, Store
from bundler.workloads.container import Bind, Placement, container
from bundler.workloads.planned import plan
from bundler.workloads.proxy import NODE_SOURCE, SOURCE, proxy
from tests.bundles import make_bundle, make_lock

US = f"{os.geteuid()}:{os.getegid()}"
MADE_FROM = Digest.of(b"all")


def place(directory: Path, user: str = US) -> Placement:
    return Placement("demo", Digest.of(b"root"), "bundle-demo", PurePosixPath(directory), user)


def service(**members: object) -> Workload:
    return Workload("notes", "easy-dataset", "notes", ("pnpm", "start"), port=1717, **members)  # type: ignore[arg-type]


def test_a_key_that_is_not_there_or_empty_is_told_before_anything_is_trained(tmp_path: Path) -> None:
    key = tmp_path / "key"
    with pytest.raises(KeyUnreadable, match="can't be read from"):
        require_keys([service(api_key=str(key))], place(tmp_path))
    key.touch()
    with pytest.raises(KeyUnreadable) as refused:
        require_keys([service(api_key=str(key))], place(tmp_path))
    assert "not a file with something in it" in (refused.value.because or "")
    key.write_text("x")
    require_keys([service(api_key=str(key)), service()], place(tmp_path))


def test_a_training_that_is_over_needs_its_key_no_more(tmp_path: Path) -> None:
    release = Release(tmp_path / "demo", BundleName("demo", "1"), Digest.of(b"root"))
    job = Workload("train", "train", "base", ("true",), api_key="/gone")
    assert run_before([job], {"train": MADE_FROM}, release) == ()
    release.results("train").mkdir(parents=True)
    (release.results("train") / "adapter").touch()
    release.write_job_record("train", JobRecord(MADE_FROM, 1.0))
    assert run_before([job, service()], {"train": MADE_FROM}, release) == ("train",)
    assert run_before([job], {"train": Digest.of(b"another")}, release) == ()


def test_a_key_that_the_containers_user_may_not_read_is_told_with_the_command_that_mends_it(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("x")
    key.chmod(0o600)
    with pytest.raises(KeyUnreadable) as refused:
        require_keys([service(api_key=str(key))], place(tmp_path, "4711:4712"))
    assert refused.value.hint == f"chown 4711:4712 {key} && chmod 400 {key}   # one line: the key"
    key.chmod(0o604)
    require_keys([service(api_key=str(key))], place(tmp_path, "4711:4712"))


def test_what_a_service_writes_lies_in_the_release_and_nothing_else_can_be_written(tmp_path: Path) -> None:
    workload = service(state=(Mount("prisma", "/app/prisma"),), api_key="/etc/key")
    make_state(workload, place(tmp_path))
    assert (tmp_path / "state/notes/prisma").is_dir()
    (tmp_path / "state/notes/prisma/db.sqlite").touch()
    make_state(workload, place(tmp_path))
    assert (tmp_path / "state/notes/prisma/db.sqlite").is_file()
    assert container(workload, "image", MADE_FROM, place(tmp_path)).binds == (
        Bind("/etc/key", "/bundle/secret/api-key"),
        Bind(f"{tmp_path}/state/notes/prisma", "/app/prisma", read_only=False),
    )


def test_the_proxy_of_an_image_without_python_is_written_in_what_it_has_and_leads_to_the_inner_port() -> None:
    at = place(Path("/releases/demo"))
    assert proxy(service(), "image", MADE_FROM, at).command == ("python3", "-c", SOURCE, "notes", "1717")
    moved = Workload("notes", "easy-dataset", "notes", ("pnpm",), port=9000, inner=1717, runtime="node")
    spec = proxy(moved, "image", MADE_FROM, at)
    assert spec.command == ("node", "-e", NODE_SOURCE, "notes", "1717", "9000")
    assert spec.published
    assert spec.published.port == 9000


def test_a_dry_run_shows_the_graph_and_each_container_with_what_it_reads_writes_and_publishes(tmp_path: Path) -> None:
    train = Workload("train", "train", "train", ("llamafactory-cli", "train", "/x y"), gpus=4, shm=1 << 30)
    serve = Workload("serve", "vllm", "serve", ("vllm",), (Mount("results/train", "/bundle/model"),), port=8000)
    lock = replace(make_lock(), hardware=Hardware(4, "L20", 48_000_000_000, "8.9", "535"))
    release = Release(tmp_path / "releases" / "demo", BundleName("demo", "1"), Digest.of(b"root"))
    images, made_from = {"train": "demo/train:1", "serve": "demo/serve:1"}, dict.fromkeys(("train", "serve"), MADE_FROM)
    planned = plan((serve, train), images, made_from, release.placement)
    told = UpPlan(release, lock, planned, ("train",), Question("serve", "tuned", "Why?"))
    lines = as_text(told).splitlines()
    assert lines[0] == "demo:1: check -> train -> serve -> ask"
    assert "train: train  (done before: left alone)" in lines
    assert "serve: vllm, after train" in lines
    assert "    command  llamafactory-cli train '/x y'" in lines
    assert f"    writes   {tmp_path}/releases/demo/results/train at /bundle/output" in lines
    assert f"    reads    {tmp_path}/releases/demo/results/train at /bundle/model" in lines
    assert "    gpus     4, memlock unlimited" in lines
    assert lines.count("    port     127.0.0.1:8000") == 1
    document = as_json(told)
    assert [(one["name"], one["needs"], one["done"]) for one in document["workloads"]] == [
        ("train", [], True), ("serve", ["train"], False)
    ]  # fmt: skip
    assert set(yaml.safe_load(told.compose)["services"]) == {"train", "serve", "serve--proxy"}


@pytest.fixture
def merged(tmp_path: Path) -> tuple[Store, BundleEntry, Workload]:
    """A bundle that trains and merges; and its merge."""
    store = Store.create(tmp_path / "store")
    made = read_lock(store, make_bundle(store))
    image = LockedImage("train", "test", made.models[0].manifest, (made.agent.blob,))
    train = Workload("train", "train", "train", ("train",))
    merge = Workload("merge", "merge", "train", ("merge",), (Mount("results/train", "/bundle/model"),))
    return store, record(replace(made, images=(image,), workloads=(train, merge)), store), merge


def run(release: Release, job: str, made_from: Digest, upstream: Mapping[str, str] | None = None) -> None:
    """What a job leaves that runs to its end."""
    release.open_results(job, made_from, upstream)
    (release.results(job) / "model").touch()
    release.close_results(job, made_from, 1.0)


def test_a_dry_run_calls_done_what_up_leaves_alone_and_nothing_else(
    merged: tuple[Store, BundleEntry, Workload],
) -> None:
    """Days of training hang on it: what is taken again runs no more, what is made from new results does."""
    store, entry, merge = merged
    release, made_from = Release.of(store, entry), fingerprints(read_lock(store, entry))
    assert up_plan(store, entry).done == ()
    run(release, "train", made_from["train"])
    run(release, "merge", made_from["merge"], runs_given(release.directory, merge))
    assert up_plan(store, entry).done == ("train", "merge")
    assert up_plan(store, entry, restart_training=True).done == ()
    for job in ("train", "merge"):
        release.open_results(job, Digest.of(b"another version"))
        (release.results(job) / "model").touch()
    assert up_plan(store, entry).done == ("train", "merge"), "`up` takes them again"
    shutil.rmtree(next(release.directory.glob("results/train.*/")))
    assert up_plan(store, entry).done == (), "the merged model is made again with what it is made from"


def test_what_another_version_merged_of_weights_that_were_given_up_is_merged_again_when_one_goes_back(
    merged: tuple[Store, BundleEntry, Workload],
) -> None:
    """Two versions with one training and two merges: the server would answer with a model that no one wanted."""
    store, entry, merge = merged
    release, made_from = Release.of(store, entry), fingerprints(read_lock(store, entry))
    run(release, "train", made_from["train"])
    run(release, "merge", made_from["merge"], runs_given(release.directory, merge))
    run(release, "merge", Digest.of(b"the other version's"), runs_given(release.directory, merge))
    assert up_plan(store, entry).done == ("train", "merge")
    release.outdate("train", made_from["train"])  # the other version's `up --restart-training`
    run(release, "train", made_from["train"])
    assert up_plan(store, entry).done == ("train",)
    run(release, "merge", made_from["merge"], runs_given(release.directory, merge))
    assert up_plan(store, entry).done == ("train", "merge")


def test_results_of_before_runs_were_noted_are_believed(merged: tuple[Store, BundleEntry, Workload]) -> None:
    """A new agent on a node of long ago does not merge, or train, everything again."""
    store, entry, _ = merged
    release, made_from = Release.of(store, entry), fingerprints(read_lock(store, entry))
    for job in ("train", "merge"):
        run(release, job, made_from[job])
        release.write_job_record(job, JobRecord(made_from[job], 1.0))
    assert up_plan(store, entry).done == ("train", "merge")
