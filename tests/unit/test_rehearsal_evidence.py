"""What is kept of a rehearsal vouches for one root alone; it travels by push, and outlives a build of the same."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from bundler.cli.inspect import _rehearsal
from bundler.core.errors import LockedByAnother
from bundler.core.events import Silence
from bundler.core.strict_json import MalformedJson
from bundler.operations.export import export
from bundler.operations.gc import gc
from bundler.operations.import_volumes import import_volumes
from bundler.operations.inspect import inspect
from bundler.operations.push import carried
from bundler.operations.record import record
from bundler.operations.rehearsal_place import _read, rehearsing
from bundler.operations.rehearse import NothingToRehearse, rehearse
from bundler.rehearsal.evidence import FORMAT, Evidence, Kept
from bundler.store.contents import read_lock
from bundler.store.layout import BundleEntry, Store
from bundler.store.referrers import attach, evidence, whole_evidence
from tests.bundles import make_bundle


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "store")


def kept_of(bundle: BundleEntry, severity: str = "pass") -> Evidence:
    finding = Kept("train/arguments", severity, "train.yaml: its own parser takes all 29")
    return Evidence(
        FORMAT, str(bundle.name), bundle.root.digest, "2026-11-27T20:40:39Z", "0.1.0", "docker 20.10.24",
        "2 cores, no GPU", 0, 12.5, {"train": {"torch": "2.6.0"}}, (finding,),
    )  # fmt: skip


def rebuilt(store: Store, bundle: BundleEntry, version: str) -> BundleEntry:
    """The bundle recorded once more; with another agent's version it is another root."""
    lock = read_lock(store, bundle)
    return record(replace(lock, agent=replace(lock.agent, version=version)), store)


def test_inspect_shows_what_was_kept_of_this_root(store: Store) -> None:
    bundle = make_bundle(store)
    attach(store, bundle, kept_of(bundle).encode())
    found = inspect(store, bundle)
    assert found.rehearsal == kept_of(bundle)
    assert _rehearsal(found).line == "rehearsed 2026-11-27T20:40:39Z on 2 cores, no GPU with docker 20.10.24: 1 pass"


def test_evidence_that_came_from_elsewhere_says_nothing_that_a_terminal_acts_on(store: Store) -> None:
    """It is not covered by the root: whoever can write the store can write it."""
    bundle = make_bundle(store)
    finding = Kept("train/data", "warn", "gone\x1b[2J\nsigned by you")
    attach(store, bundle, replace(kept_of(bundle), machine="a\x07\nb", findings=(finding,)).encode())
    found = inspect(store, bundle).rehearsal
    assert found
    assert (found.machine, found.findings[0].what) == ("a  b", "gone [2J signed by you")


def test_evidence_of_another_root_is_not_shown(store: Store) -> None:
    bundle = make_bundle(store)
    attach(store, bundle, kept_of(bundle).encode())
    other = rebuilt(store, bundle, "9.9.9")
    assert other.root.digest != bundle.root.digest
    assert inspect(store, other).rehearsal is None
    assert _rehearsal(inspect(store, other)).line == "not rehearsed"


def test_evidence_that_is_hung_under_another_root_is_not_shown_either(store: Store) -> None:
    """The subject says of which root it is, and so does the evidence itself: both must be this one."""
    bundle, other = make_bundle(store), make_bundle(store, name="other:1.0.0", seed=1)
    attach(store, other, kept_of(bundle).encode())
    assert inspect(store, other).rehearsal is None


def test_a_build_that_changes_nothing_keeps_the_evidence_and_so_does_gc(store: Store) -> None:
    bundle = rebuilt(store, make_bundle(store), "1.0.0")
    attach(store, bundle, kept_of(bundle).encode())
    assert rebuilt(store, bundle, "1.0.0").root.digest == bundle.root.digest
    gc(store, Silence())
    assert inspect(store, bundle).rehearsal == kept_of(bundle)


def test_a_second_rehearsal_takes_the_place_of_the_first(store: Store) -> None:
    bundle = make_bundle(store)
    for severity in ("block", "pass"):
        attach(store, bundle, kept_of(bundle, severity).encode())
    found = inspect(store, bundle).rehearsal
    assert found
    assert found.passed
    assert [entry.reference for entry in store.index()].count("demo:1.0.0/evidence+rehearsal") == 1


def test_a_dropped_bundle_takes_its_evidence_with_it(store: Store) -> None:
    bundle = make_bundle(store)
    attach(store, bundle, kept_of(bundle).encode())
    gc(store, Silence(), drop=("demo",))
    assert store.index() == ()
    assert list(store.blobs.iterdir()) == []


def test_a_push_brings_the_evidence_and_the_far_store_shows_it(store: Store, tmp_path: Path) -> None:
    bundle = make_bundle(store)
    attach(store, bundle, kept_of(bundle).encode())
    members, entries = carried(store, bundle)
    far = Store.create(tmp_path / "far")
    for member in members:
        far.put(store.path(member.blob.digest).read_bytes(), member.blob.media_type)
    far.record(entries)
    assert inspect(far, far.find("demo")).rehearsal == kept_of(bundle)
    gc(far, Silence())


def test_evidence_whose_bytes_are_gone_is_not_pushed_and_stops_no_push(store: Store) -> None:
    bundle = make_bundle(store)
    before = carried(store, bundle)
    attach(store, bundle, kept_of(bundle).encode())
    kept = evidence(store, bundle)
    assert kept
    store.path(kept.members[-1].blob.digest).unlink()
    assert whole_evidence(store, bundle) is None
    assert carried(store, bundle) == before


def test_evidence_that_is_damaged_does_not_make_its_bundle_damaged_nor_stop_gc(store: Store) -> None:
    """What is kept for information must not keep a disk full, nor have a whole bundle carried again."""
    bundle = make_bundle(store)
    manifest = store.path(attach(store, bundle, b"{}").digest)
    manifest.chmod(0o600)
    manifest.write_bytes(b"changed")
    rest = store.put(b"nobody's", "x")
    found = gc(store, Silence())
    assert found.damaged == {}
    assert not store.has(rest)
    assert inspect(store, bundle).alone is not None


def test_volumes_carry_what_the_root_names_and_nothing_that_only_refers_to_it(store: Store, tmp_path: Path) -> None:
    bundle = make_bundle(store)
    attach(store, bundle, kept_of(bundle).encode())
    media = tmp_path / "media"
    export(store, bundle, [media], Silence())
    import_volumes([media], tmp_path / "there", Silence())
    there = Store.open(tmp_path / "there")
    assert there.find("demo").root == bundle.root
    assert inspect(there, there.find("demo")).rehearsal is None


@pytest.mark.parametrize("change", [{"format": 2}, {"findings": (Kept("a", "splendid", "b"),)}])
def test_evidence_of_a_kind_that_is_not_known_counts_as_none(store: Store, change: dict[str, object]) -> None:
    """A newer bundle may have written it: an older agent's `inspect` must still show all the rest."""
    bundle = make_bundle(store)
    strange = replace(kept_of(bundle), **change).encode()  # type: ignore[arg-type]
    with pytest.raises(MalformedJson):
        Evidence.parse(strange, "the evidence of demo")
    attach(store, bundle, strange)
    assert inspect(store, bundle).rehearsal is None


def test_a_second_rehearsal_at_once_is_refused_and_all_is_gone_when_the_first_is_over(store: Store) -> None:
    bundle = make_bundle(store)
    run = store.root / "rehearsals" / "demo" / "run"
    (run / "left" / "by-a-killed-one").mkdir(parents=True)
    with rehearsing(store, bundle) as place:
        assert not run.exists()
        place.plan("train", {"kind": "train"})
        with pytest.raises(LockedByAnother, match="the rehearsal of demo"), rehearsing(store, bundle):
            pass
        assert run.exists()
    assert not run.exists()


def test_gc_frees_what_a_killed_rehearsal_holds_by_its_links_and_touches_none_that_runs(store: Store) -> None:
    """The bundle is gone, so no rehearsal of its name would ever clean up; the disk would stay full."""
    bundle = make_bundle(store)
    run = store.root / "rehearsals" / "demo" / "run"
    with rehearsing(store, bundle):
        (run / "models").mkdir(parents=True)
        gc(store, Silence())
        assert run.exists()
    link = run / "models" / "weights"
    link.parent.mkdir(parents=True)
    blob = max(store.blobs.iterdir(), key=lambda path: path.stat().st_size)
    os.link(blob, link)
    gc(store, Silence(), dry_run=True)
    assert link.exists()
    found = gc(store, Silence(), drop=("demo",))
    assert not run.exists()
    assert found.blobs.freed == found.blobs.bytes


def test_a_bundle_that_runs_nothing_is_not_called_rehearsed(store: Store) -> None:
    bundle = make_bundle(store)
    with pytest.raises(NothingToRehearse) as refused:
        rehearse(store, bundle, Silence())
    assert refused.value.exit_code == 2
    assert evidence(store, bundle) is None


def test_a_report_that_a_container_made_a_link_or_a_pipe_is_not_followed(tmp_path: Path) -> None:
    """What a container writes must not show the user a file of his own, nor have the rehearsal wait for ever."""
    secret = tmp_path / "secret"
    secret.write_text("a secret\n")
    reports = tmp_path / "reports"
    reports.mkdir()
    (reports / "probe.jsonl").symlink_to(secret)
    os.mkfifo(reports / "probe.jsonl.pipe")
    (reports / "probe.jsonl.z").write_text("a line\n")
    assert list(_read(reports, "probe.jsonl")) == ["a line"]
