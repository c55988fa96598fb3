"""`bundle fetch-results`: what a training made travels back as a bundle, whole, and nothing that would surprise."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bundler.core.events import Silence
from bundler.manifest.lock import Lock, LockedFile, LockedImage, Mount, Workload
from bundler.operations.evaluate import evaluated_from
from bundler.operations.fetch_results import fetch_results
from bundler.operations.record import record
from bundler.operations.release import Release, fingerprints
from bundler.operations.release_record import JobRecord
from bundler.operations.results_collected import NotDone, collect
from bundler.store.closure import closure
from bundler.store.contents import read_lock
from bundler.store.layout import BundleEntry, Store
from bundler.store.links import materialise
from bundler.workloads import picture
from bundler.workloads.loss_plot import HIGH, WIDE, loss_plot
from bundler.workloads.training_log import Point
from tests.bundles import make_bundle
from tests.commandline import Bundle, refusal

WEIGHTS = bytes(range(256)) * 8192


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "store")


@pytest.fixture
def trained(store: Store) -> BundleEntry:
    """A bundle whose jobs have ended well on this node, their results as LLaMA-Factory leaves them."""
    entry = make_bundle(store)
    made = read_lock(store, entry)
    image = LockedImage("train", "test", made.models[0].manifest, (made.agent.blob,))
    jobs = (
        Workload("train", "train", "train", ("llamafactory-cli",), files={"train.yaml": "stage: sft\n"}),
        Workload("merge", "merge", "train", ("llamafactory-cli",)),
    )
    made = replace(made, images=(image,), workloads=jobs)
    entry = record(made, store)
    release = Release.of(store, entry)
    for job in jobs:
        release.results(job.name).mkdir(parents=True)
        release.log(job.name).parent.mkdir(exist_ok=True)
        release.log(job.name).write_text(f"{job.name} said this\n")
        release.write_job_record(job.name, JobRecord(fingerprints(made)[job.name], 12.5))
    place = release.results("train")
    (place / "adapter_model.safetensors").write_bytes(WEIGHTS)
    (place / "adapter_config.json").write_text("{}")
    (place / "training_args.bin").write_bytes(b"\x80\x04.")
    (place / "trainer_state.json").write_text('{"global_step": 20, "max_steps": 20, "log_history": []}')
    (place / "trainer_log.jsonl").write_text(
        "".join(f'{{"current_steps": {n}, "total_steps": 20, "loss": {3 / n}}}\n' for n in range(1, 21))
    )
    (place / "checkpoint-20").mkdir()
    (place / "checkpoint-20" / "optimizer.pt").write_bytes(b"large")
    (place / "elsewhere").symlink_to("/etc/hostname")
    (release.results("merge") / "model.safetensors").write_bytes(WEIGHTS[::-1])
    return entry


def _lock(store: Store) -> tuple[BundleEntry, Lock]:
    entry = store.find("demo-results")
    return entry, read_lock(store, entry)


@contextmanager
def _refused(reason: str) -> Iterator[pytest.ExceptionInfo[NotDone]]:
    with pytest.raises(NotDone) as failed:
        yield failed
    assert reason in (failed.value.because or "")


def _paths(files: tuple[LockedFile, ...]) -> list[str]:
    return [file.path for file in files]


def test_adapter_logs_plot_and_arguments_come_along_and_pickles_and_checkpoints_stay(
    store: Store, trained: BundleEntry, tmp_path: Path
) -> None:
    target = Store.create(tmp_path / "results")
    result = fetch_results(store, trained, target, Silence())
    _, lock = _lock(target)
    assert str(lock.bundle) == "demo-results:1.0.0"
    assert [model.name for model in lock.models] == ["trained"]
    assert _paths(lock.models[0].files) == ["adapter_config.json", "adapter_model.safetensors"]
    assert _paths(lock.datasets[0].files) == [
        "merge.json",
        "merge/merge.log",
        "train.json",
        "train/config/train.yaml",
        "train/train.log",
        "train/trainer_log.jsonl",
        "train/trainer_state.json",
        "train/training_loss.png",
    ]
    assert result.plot_drawn
    plot = next(file for file in lock.datasets[0].files if file.path.endswith(".png"))
    assert target.read(plot.digest).startswith(picture.SIGNATURE)


def test_out_by_media_and_in_again_it_is_the_same_bundle_and_every_byte_is_right(
    store: Store, trained: BundleEntry, tmp_path: Path
) -> None:
    bundle = Bundle({"XDG_STATE_HOME": str(tmp_path / "state")})
    results, media, home = tmp_path / "results", tmp_path / "media", tmp_path / "home"
    media.mkdir()
    release = Release.of(store, trained)
    told = bundle("fetch-results", "demo", results, "--merged", "--store", store.root, "-o", "json").json
    assert told["artifacts"]["merged"] == {"bytes": len(WEIGHTS), "files": 1}
    bundle("export", "demo-results", media, "--store", results)
    bundle("import", *sorted(media.glob("*.tar")), "--store", home)
    bundle("verify", "demo-results", "--store", home)
    assert "trained" in bundle("inspect", "demo-results", "--store", home).out
    entry, lock = _lock(Store.open(home))
    assert str(entry.root.digest) == told["root"]
    merged = next(model for model in lock.models if model.name == "merged")
    materialise(Store.open(home), merged.files, tmp_path / "merged")
    assert (tmp_path / "merged" / "model.safetensors").read_bytes() == (
        release.results("merge") / "model.safetensors"
    ).read_bytes()


def test_an_evaluation_travels_only_with_the_weights_that_it_was_made_of(
    store: Store, trained: BundleEntry, tmp_path: Path
) -> None:
    """Else the figures of one adapter are read at home as those of another."""
    tuned = Workload("evaluate-tuned", "evaluate", "train", ("e",), (Mount("results/train", "/bundle/adapter"),))
    lock = replace(read_lock(store, trained), evaluations=(tuned,))
    release = Release.of(store, entry := record(lock, store))
    release.results(tuned.name).mkdir()
    (release.results(tuned.name) / "predict_results.json").write_text("{}")

    def travels() -> bool:
        found = collect(release, lock, merged=False)
        return "evaluate-tuned/predict_results.json" in found.records

    assert not travels()
    release.write_job_record(tuned.name, JobRecord(evaluated_from(release, lock)[tuned.name]))
    assert not travels(), "it was broken off"
    release.write_job_record(tuned.name, JobRecord(evaluated_from(release, lock)[tuned.name], 3.0))
    assert travels()
    (release.results("train") / "adapter_model.safetensors").write_bytes(WEIGHTS[::-1])
    assert not travels()
    fetch_results(store, entry, Store.create(tmp_path / "results"), Silence())


def test_a_plot_that_llamafactory_drew_is_left_as_it_is(store: Store, trained: BundleEntry, tmp_path: Path) -> None:
    (Release.of(store, trained).results("train") / "training_loss.png").write_bytes(b"its own")
    target = Store.create(tmp_path / "results")
    assert not fetch_results(store, trained, target, Silence()).plot_drawn
    plot = next(file for file in _lock(target)[1].datasets[0].files if file.path.endswith(".png"))
    assert target.read(plot.digest) == b"its own"


def test_a_second_time_gives_the_same_root_and_the_results_can_still_be_written_to(
    store: Store, trained: BundleEntry, tmp_path: Path
) -> None:
    target = Store.create(tmp_path / "results")
    first = fetch_results(store, trained, target, Silence())
    inodes = {path.name: path.stat().st_ino for path in target.blobs.iterdir()}
    assert fetch_results(store, trained, target, Silence()).bundle == first.bundle
    assert {path.name: path.stat().st_ino for path in target.blobs.iterdir()} == inodes
    with (Release.of(store, trained).results("train") / "trainer_log.jsonl").open("a") as log:
        log.write("{}\n")
    for member in closure(target, first.bundle.root):
        assert member.blob.size == target.path(member.blob.digest).stat().st_size


def test_a_job_that_has_not_ended_well_is_refused_with_the_reason(
    store: Store, trained: BundleEntry, tmp_path: Path
) -> None:
    release = Release.of(store, trained)
    target = Store.create(tmp_path / "results")
    made_from = fingerprints(read_lock(store, trained))["train"]
    release.write_job_record("train", JobRecord(made_from))
    with _refused("it still runs, was interrupted, or failed") as failed:
        fetch_results(store, trained, target, Silence())
    assert failed.value.hint == f"bundle logs demo:1.0.0 train --store {store.root}"
    release.outdate("train", made_from)
    with _refused("another definition"):
        fetch_results(store, trained, target, Silence())
    (release.results("train").parent / "train.json").unlink()
    with _refused("has not run on this node"):
        fetch_results(store, trained, target, Silence())
    assert target.bundles() == ()


def test_a_bundle_that_trains_nothing_has_no_results(store: Store, tmp_path: Path) -> None:
    make_bundle(store)
    outcome = Bundle()("fetch-results", "demo", tmp_path / "r", "--store", store.root, check=False)
    assert outcome.code == 2
    assert "trains nothing" in refusal(outcome)


@pytest.mark.parametrize(
    "points", [[Point(5, 1.25)], [Point(1, 0.0), Point(2, 0.0)], [Point(n, 1e-9 * n) for n in (1, 9)]]
)
def test_any_log_gives_a_picture_that_a_viewer_can_open(points: list[Point]) -> None:
    png = loss_plot(points)
    assert struct.unpack(">II", png[16:24]) == (WIDE, HIGH)
    at, kinds = 8, []
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack(">I", png[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + data)
        if kind == b"IDAT":
            rows = zlib.decompress(data)
            assert len(rows) == HIGH * (WIDE + 1)
            assert max(rows) < len(picture.COLOURS)
        kinds.append(kind)
        at += 12 + length
    assert kinds == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]


def test_the_fonts_letters_are_five_by_seven() -> None:
    shapes = {letter: [len(row) for row in glyph.split()] for letter, glyph in picture._GLYPHS.items()}
    assert {letter: rows for letter, rows in shapes.items() if rows != [5] * 7} == {}


def test_records_are_json_that_says_what_the_results_were_made_from(
    store: Store, trained: BundleEntry, tmp_path: Path
) -> None:
    target = Store.create(tmp_path / "results")
    fetch_results(store, trained, target, Silence())
    _, lock = _lock(target)
    records = {file.path: file for file in lock.datasets[0].files}
    assert json.loads(target.read(records["train.json"].digest))["seconds"] == 12.5
    assert lock.models[0].source == f"results:demo:1.0.0@{trained.root.digest}"
