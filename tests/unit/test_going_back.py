"""A second version, and back: what was trained is found again, and nothing passes for what it is not."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from bundler.cli.main import cli
from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.errors import BundlerError
from bundler.core.events import Silence
from bundler.core.records import to_json
from bundler.core.reference import BundleName
from bundler.core.strict_json import canonical
from bundler.node.findings import NodeRefused
from bundler.operations.gc import gc
from bundler.operations.history import History, read_history, record_going_back, record_up
from bundler.operations.release import Release
from bundler.operations.release_record import JobRecord, ReleaseRecord, release_path
from bundler.operations.rollback import NoLongerStored, NothingBefore, rollback
from bundler.operations.set_aside import set_results_aside, take_results_again
from bundler.operations.standing import NoRelease, brought_up_last, standing
from bundler.store.closure import closure
from bundler.store.layout import AmbiguousBundle, BundleEntry, Store
from tests.bundles import make_bundle

A, B, C = (Digest.of(name) for name in (b"a", b"b", b"c"))


def entry(version: str) -> BundleEntry:
    return BundleEntry(BundleName("demo", version), Descriptor.of(version.encode(), "x"))


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return Release(tmp_path / "demo", BundleName("demo", "1.0"), Digest.of(b"root"))


def train(release: Release, made_from: Digest, text: str, *, ends: bool = True) -> None:
    """What `up` does with a job: take again what is there, else run it."""
    take_results_again(release.directory, "train", made_from)
    if release.finished("train", made_from):
        return
    release.open_results("train", made_from)
    (release.results("train") / "model").write_text(text)
    release.set_log_aside("train")
    release.log("train").parent.mkdir(exist_ok=True)
    release.log("train").write_text(f"log of {text}")
    if ends:
        release.write_job_record("train", JobRecord(made_from, 1.0))


def model(release: Release) -> str:
    return (release.results("train") / "model").read_text()


def test_going_back_finds_the_results_of_then_and_keeps_those_of_now(release: Release) -> None:
    train(release, A, "a")
    train(release, B, "b")
    train(release, A, "trained again")
    assert model(release) == "a"
    assert release.log("train").read_text() == "log of a", "fetch-results would send it with the results"
    train(release, B, "trained again")
    assert model(release) == "b"
    assert release.log("train").read_text() == "log of b"
    assert sorted(path.name for path in (release.directory / "results").iterdir()) == [
        "train",
        f"train.{A.short}",
        f"train.{A.short}.json",
        "train.json",
    ]


def test_a_training_that_had_not_ended_goes_on_from_its_checkpoint_when_one_goes_back(release: Release) -> None:
    train(release, A, "half", ends=False)
    train(release, B, "b")
    assert take_results_again(release.directory, "train", A)
    assert model(release) == "half"
    assert release.finished("train", A) is None


def test_results_that_were_given_up_are_not_taken_again(release: Release) -> None:
    train(release, A, "a")
    release.outdate("train", A)
    train(release, A, "a again")
    assert model(release) == "a again"
    assert len(list(release.directory.glob("results/train.*/model"))) == 1
    assert not take_results_again(release.directory, "train", A)


def test_giving_up_what_is_wanted_now_spares_the_results_of_another_version(release: Release) -> None:
    train(release, B, "b")
    release.outdate("train", A)
    train(release, A, "a")
    train(release, B, "trained again")
    assert model(release) == "b"


@pytest.mark.parametrize("dies_at", range(8))
def test_a_death_at_any_moment_of_going_back_never_makes_results_pass_for_others(
    release: Release, dies_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each change of the file system in turn is the one that does not happen any more."""
    train(release, A, "a")
    train(release, B, "b")
    left = dies_at

    def perhaps(real: object) -> object:
        def call(*arguments: object, **named: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            return real(*arguments, **named)  # type: ignore[operator]

        return call

    with monkeypatch.context() as patched:
        for name in ("rename", "replace", "rmdir", "unlink"):
            patched.setattr(os, name, perhaps(getattr(os, name)))
        with contextlib.suppress(KeyboardInterrupt):
            take_results_again(release.directory, "train", A)
    for made_from, text in ((A, "a"), (B, "b")):
        if release.finished("train", made_from):
            assert model(release) == text
    for made_from, text in ((A, "a"), (B, "b"), (A, "a")):
        train(release, made_from, "trained again")
        assert model(release) == text
        assert release.log("train").read_text() == f"log of {text}"


def test_a_file_that_is_no_record_is_left_alone(release: Release) -> None:
    train(release, A, "a")
    train(release, B, "b")
    strange = release.directory / "results" / f"train.{A.short}.notes.json"
    strange.write_text("{ not JSON")
    assert take_results_again(release.directory, "train", A)
    assert strange.exists()
    assert set_results_aside(release.directory, "nothing") is None


def versions(history: History) -> list[str]:
    return [past.bundle.partition(":")[2] for past in history.releases]


def test_the_way_back_leads_through_what_was_up_one_after_the_other() -> None:
    history = History()
    for version in ("1", "2", "3"):
        history = history.came_up(entry(version), "now")
    for expected in ("2", "1"):
        before = history.before(history.current)
        assert before is not None
        assert before.bundle == f"demo:{expected}"
        history = history.went_back(before.entry, "later")
    assert history.before(history.current) is None
    assert versions(history) == ["1", "2", "3"]


def test_what_comes_up_after_going_back_leads_back_to_what_it_replaced() -> None:
    history = History().came_up(entry("1"), "").came_up(entry("2"), "")
    history = history.went_back(entry("1"), "").came_up(entry("3"), "")
    assert versions(history) == ["2", "1", "3"]
    assert history.came_up(entry("3"), "").releases[-1].bundle == "demo:3"


def test_where_the_last_up_failed_the_way_back_is_what_still_came_up() -> None:
    history = History().came_up(entry("1"), "").came_up(entry("2"), "")
    before = history.before(entry("3").root.digest)
    assert before is not None
    assert before.bundle == "demo:2"


def test_a_way_back_that_was_broken_off_is_gone_on_with_and_counts_as_one(tmp_path: Path) -> None:
    for version in ("1", "2", "3"):
        record_up(tmp_path, entry(version))
    record_going_back(tmp_path, entry("2"))
    history = read_history(tmp_path)
    for begun in ("3", "2"):  # killed before the release's record was written, and after
        before = history.before(entry(begun).root.digest)
        assert before is not None
        assert before.bundle == "demo:2"
    record_up(tmp_path, entry("2"))  # by the next `rollback`, or by the unit at boot
    history = read_history(tmp_path)
    assert versions(history) == ["1", "2", "3"]
    before = history.before(history.current)
    assert before is not None
    assert before.bundle == "demo:1"


def test_going_back_from_an_up_that_failed_does_not_go_too_far_when_it_is_broken_off(tmp_path: Path) -> None:
    for version in ("1", "2"):
        record_up(tmp_path, entry(version))
    record_going_back(tmp_path, entry("2"))
    before = read_history(tmp_path).before(entry("2").root.digest)
    assert before is not None
    assert before.bundle == "demo:2"
    record_up(tmp_path, entry("2"))
    assert read_history(tmp_path).going_back is None
    record_going_back(tmp_path, entry("1"))
    record_up(tmp_path, entry("2"))  # who thinks better of it
    assert versions(read_history(tmp_path)) == ["1", "2"]
    assert read_history(tmp_path).going_back is None


def test_the_same_bundle_up_again_writes_nothing(tmp_path: Path) -> None:
    record_up(tmp_path, entry("1"))
    written = (tmp_path / "history.json").stat().st_mtime_ns
    record_up(tmp_path, entry("1"))
    assert (tmp_path / "history.json").stat().st_mtime_ns == written
    assert versions(read_history(tmp_path)) == ["1"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "store")


def brought_up(store: Store, bundle: BundleEntry) -> None:
    """The records that an `up` to its end leaves."""
    directory = Release.of(store, bundle).directory
    directory.mkdir(parents=True, exist_ok=True)
    release_path(directory).write_bytes(canonical(to_json(ReleaseRecord(str(bundle.name), bundle.root.digest))))
    record_up(directory, bundle)


def test_what_gc_has_deleted_since_is_said_with_the_command_that_brings_it_back(store: Store) -> None:
    first = make_bundle(store, name="demo:1.0", seed=1)
    brought_up(store, first)
    brought_up(store, make_bundle(store, name="demo:1.1", seed=2))
    root = store.path(first.root.digest)
    kept = root.read_bytes()
    root.unlink()
    with pytest.raises(NoLongerStored, match=r"demo:1\.0 .* 1 of its blobs") as failure:
        rollback(store, None, Silence(), timeout=1)
    assert f"bundle push demo:1.0 HOST:{store.root}" in (failure.value.hint or "")
    root.write_bytes(kept)
    for path in store.blobs.iterdir():
        if path.stat().st_size == 100_000:
            path.unlink()
    with pytest.raises(NoLongerStored):
        rollback(store, "demo", Silence(), timeout=1)


def rebuilt(store: Store, name: str) -> tuple[BundleEntry, BundleEntry]:
    """Two builds under one name, each brought up; the index lists the second."""
    first = make_bundle(store, name=name, seed=1)
    brought_up(store, first)
    second = make_bundle(store, name=name, seed=2)
    brought_up(store, second)
    return first, second


def stored(store: Store, bundle: BundleEntry) -> bool:
    return store.has(bundle.root) and not store.missing(member.blob for member in closure(store, bundle.root))


def test_gc_keeps_what_rollback_goes_back_to_though_the_index_lists_another_build_of_its_name(store: Store) -> None:
    first, second = rebuilt(store, "demo:1.0")
    stray = store.put(b"stray", "x")
    assert gc(store, Silence()).blobs.files == 1
    assert not store.has(stray)
    assert stored(store, first)
    third = make_bundle(store, name="demo:1.0", seed=3)
    brought_up(store, third)
    assert gc(store, Silence()).blobs.files > 3, "two steps back is no way that rollback goes by itself"
    assert [stored(store, bundle) for bundle in (first, second, third)] == [False, True, True]


def test_a_version_that_is_dropped_by_name_goes_though_rollback_would_go_there(store: Store) -> None:
    first = make_bundle(store, name="demo:1.0", seed=1)
    brought_up(store, first)
    second = make_bundle(store, name="demo:1.1", seed=2)
    brought_up(store, second)
    gc(store, Silence(), drop=["demo:1.0"])
    assert [stored(store, bundle) for bundle in (first, second)] == [False, True]
    was_up = make_bundle(store, name="demo:1.0", seed=3)
    brought_up(store, was_up)
    brought_up(store, second)
    rebuilt = make_bundle(store, name="demo:1.0", seed=4)
    gc(store, Silence(), drop=["demo:1.0"])
    assert [stored(store, bundle) for bundle in (was_up, rebuilt, second)] == [False, False, True], "any build of it"


def test_gc_with_a_history_that_it_can_not_read_deletes_no_blob(store: Store) -> None:
    first, second = rebuilt(store, "demo:1.0")
    (Release.of(store, second).directory / "history.json").write_text("{")
    found = gc(store, Silence())
    assert list(found.damaged) == ["the release demo"]
    assert stored(store, first)


def test_a_file_beside_the_releases_does_not_end_gc(store: Store) -> None:
    (store.root / "releases").mkdir()
    (store.root / "releases" / "notes.txt").touch()
    assert gc(store, Silence()).damaged == {}


def test_the_first_release_has_nothing_before_it(store: Store) -> None:
    brought_up(store, make_bundle(store, name="demo:1.0"))
    with pytest.raises(NothingBefore, match=r"nothing was up before demo:1\.0"):
        rollback(store, None, Silence(), timeout=1)
    with pytest.raises(NothingBefore, match=r"demo:0\.9 has not been up"):
        rollback(store, "demo:0.9", Silence(), timeout=1)


def test_what_a_refusal_offers_to_let_pass_can_be_let_pass_on_the_way_back_too(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_bundle(store, name="demo:1.0", seed=1)
    brought_up(store, first)
    brought_up(store, make_bundle(store, name="demo:1.1", seed=2))
    asked: list[object] = []

    def refuse(*arguments: object, **named: object) -> None:
        asked.extend((arguments[1], named["accepted"]))
        raise NodeRefused(())

    monkeypatch.setattr("bundler.operations.rollback.up", refuse)
    words = ["rollback", "--accept", "driver", "--accept", "memory", "--store", str(store.root)]
    assert isinstance(CliRunner().invoke(cli, words).exception, NodeRefused)
    assert asked == [first, ("driver", "memory")]


def test_a_name_means_the_version_that_is_up_where_the_store_has_several(store: Store) -> None:
    first = make_bundle(store, name="demo:1.0", seed=1)
    make_bundle(store, name="demo:1.1", seed=2)
    brought_up(store, first)
    assert brought_up_last(store, "demo") == first
    assert standing(store, None).name == first.name
    with pytest.raises(NoRelease, match="no release 'demos'") as unknown:
        standing(store, "demos")
    assert unknown.value.hint == f"bundle up NAME --store {store.root}   # makes one"
    results = str(store.root / "results")
    for words in (["logs", "demo"], ["evaluate", "demo"], ["fetch-results", "demo", results]):
        refused = CliRunner().invoke(cli, [*words, "--store", str(store.root)]).exception
        assert isinstance(refused, BundlerError)
        assert not isinstance(refused, AmbiguousBundle)
        assert words[0] == "logs" or "demo:1.0 " in str(refused)


def test_a_version_that_was_built_anew_under_its_name_is_not_taken_for_the_one_that_is_up(store: Store) -> None:
    first = make_bundle(store, name="demo:1.0", seed=1)
    brought_up(store, first)
    make_bundle(store, name="demo:1.0", seed=2)
    assert brought_up_last(store, "demo").root.digest == first.root.digest


def test_the_history_is_shown_with_the_way_back(store: Store) -> None:
    brought_up(store, make_bundle(store, name="demo:1.0", seed=1))
    brought_up(store, make_bundle(store, name="demo:1.1", seed=2))
    shown = CliRunner().invoke(cli, ["rollback", "--list", "--store", str(store.root)])
    lines = shown.output.splitlines()
    assert lines[1].startswith("demo:1.1")
    assert lines[1].endswith("brought up last")
    assert lines[2].endswith("rollback goes here")
    shown = CliRunner().invoke(cli, ["rollback", "demo", "--list", "-o", "json", "--store", str(store.root)])
    document = json.loads(shown.output)
    assert document["up"]["bundle"] == "demo:1.1"
    assert [past["bundle"] for past in document["history"]] == ["demo:1.0", "demo:1.1"]


def test_unit_says_how_to_make_systemd_use_it(store: Store, tmp_path: Path) -> None:
    brought_up(store, make_bundle(store, name="demo:1.0"))
    words = ["unit", "--write", str(tmp_path), "--accept", "driver", "--store", str(store.root)]
    shown = CliRunner().invoke(cli, words)
    assert shown.exit_code == 0, shown.output
    assert "systemctl enable --now bundle-demo.service" in shown.output
    written = (tmp_path / "bundle-demo.service").read_text()
    assert f" up demo --last --accept=driver --progress plain --store {store.root}" in written
