"""What the index reaches, and what differs between two bundles: no byte counted twice, none forgotten."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from bundler.cli.main import cli
from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.events import Silence
from bundler.core.media_types import BUNDLE, OCI_INDEX
from bundler.core.owner import Owner
from bundler.operations.diff import compare
from bundler.operations.gc import gc
from bundler.store.closure import closure
from bundler.store.layout import Store
from bundler.store.leases import StoreInUse
from bundler.store.reach import Unreadable, alone, owners, unreached, without
from tests.bundles import make_bundle

digests = st.integers(0, 30).map(lambda number: Digest(f"{number:064x}"))
blobs = st.sets(digests).map(lambda found: {digest: int(digest.hex, 16) + 1 for digest in found})
needs = st.dictionaries(st.text("abc", min_size=1, max_size=2), blobs, max_size=5)


@given(blobs, blobs)
def test_what_was_kept_and_what_was_added_is_all_of_the_second(
    before: dict[Digest, int], after: dict[Digest, int]
) -> None:
    found = compare(before, after)
    assert {**found.kept, **found.added} == after
    assert {**found.kept, **found.removed} == before
    assert not found.added.keys() & found.removed.keys()
    assert compare(after, before).added == found.removed


@given(blobs, needs)
def test_what_may_go_is_all_that_no_one_needs_and_nothing_else(
    there: dict[Digest, int], needed: dict[str, dict[Digest, int]]
) -> None:
    garbage = unreached(there, needed)
    for digest in there:
        assert (digest in garbage) != any(digest in one for one in needed.values())


@given(needs)
def test_what_a_bundle_has_alone_is_what_goes_with_it(needed: dict[str, dict[Digest, int]]) -> None:
    there = {digest: size for one in needed.values() for digest, size in one.items()}
    for owner, own in alone(needed).items():
        rest = {name: found for name, found in needed.items() if name != owner}
        assert unreached(there, rest) == own


def entry(name: str, *, bundle: bool = False) -> Descriptor:
    blob = Descriptor(OCI_INDEX, Digest.of(name.encode()), 1, artifact_type=BUNDLE if bundle else None)
    return blob.named(name)


def test_a_dropped_bundle_takes_its_artifacts_names_along_and_no_others() -> None:
    entries = (
        entry("demo:1", bundle=True),
        entry("demo:1/base"),
        entry("demo:10", bundle=True),
        entry("demo:10/base"),
        entry("other/thing"),
    )
    assert set(owners(entries)) == {"demo:1", "demo:10", "other/thing"}
    assert [kept.reference for kept in without(entries, {"demo:1"})] == ["demo:10", "demo:10/base", "other/thing"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.create(tmp_path / "store")
    make_bundle(store, [10])
    return store


def partial(store: Store, owner: Owner) -> Path:
    path = store.partial / f"{'ab' * 32}.{owner.key}"
    path.write_bytes(b"begun")
    return path


def test_a_blob_in_flight_of_a_push_without_a_lease_holds_gc_up(store: Store) -> None:
    path = partial(store, Owner.me())
    with pytest.raises(StoreInUse, match="bundle push: process"):
        gc(store, Silence())
    assert path.exists()


def test_what_a_killed_writer_left_goes(store: Store) -> None:
    me = Owner.me()
    path = partial(store, Owner(me.host, me.machine, "earlier", 1, "1"))
    assert gc(store, Silence(), dry_run=True).partials.files == 1
    assert path.exists()
    assert gc(store, Silence()).partials.freed == 5
    assert not path.exists()


def test_what_another_machine_writes_is_waited_for_for_a_day(store: Store) -> None:
    path = partial(store, Owner("elsewhere", "f" * 32, "b" * 36, 1, "1"))
    with pytest.raises(StoreInUse):
        gc(store, Silence())
    old = path.stat().st_mtime - 100_000
    os.utime(path, (old, old))
    assert gc(store, Silence()).partials.files == 1


def spoil(store: Store, name: str) -> None:
    root = store.path(store.find(name).root.digest)
    root.chmod(0o644)
    root.write_bytes(b"{}")


def test_gc_deletes_no_blob_that_a_damaged_bundle_may_need_and_still_clears_what_dead_writers_left(
    store: Store,
) -> None:
    """The rest of the damaged bundle is what a push completes with the one blob that was lost."""
    stray = store.put(b"stray", "x")
    make_bundle(store, [20], name="other:1", seed=1)
    spoil(store, "demo")
    me = Owner.me()
    path = partial(store, Owner(me.host, me.machine, "earlier", 1, "1"))
    found = gc(store, Silence())
    assert list(found.damaged) == ["demo:1.0.0"]
    assert (found.blobs.files, found.partials.files) == (0, 1)
    assert found.kept_blobs == len(list(store.blobs.iterdir()))
    assert store.has(stray)
    assert not path.exists()


def test_a_damaged_bundle_that_is_given_up_by_name_holds_nothing_up(store: Store) -> None:
    other = make_bundle(store, [20], name="other:1", seed=1)
    spoil(store, "demo")
    found = gc(store, Silence(), drop=["demo"])
    assert not found.damaged
    assert found.blobs.files > 3
    assert [entry.root for entry in store.bundles()] == [other.root]
    assert not store.missing(member.blob for member in closure(store, other.root))


def test_a_damaged_bundle_is_named_by_list_and_gc_beside_what_they_say_of_the_others(store: Store) -> None:
    make_bundle(store, [20], name="other:1", seed=1)
    spoil(store, "demo")
    run = CliRunner().invoke(cli, ["list", "--store", str(store.root), "-o", "json"])
    assert isinstance(run.exception, Unreadable)
    assert "demo:1.0.0" in run.exception.what
    assert "rm " in (run.exception.hint or "")
    damaged, other = json.loads(run.stdout)["bundles"]
    assert (damaged["bundle"], damaged["blobs"], other["bundle"], other["alone"]) == (
        "demo:1.0.0",
        None,
        "other:1",
        None,
    )
    assert other["blobs"] == 6
    run = CliRunner().invoke(cli, ["inspect", "other", "--store", str(store.root), "-o", "json"])
    assert (run.exit_code, json.loads(run.stdout)["alone"]) == (0, None), "what another shares with it is not known"
    run = CliRunner().invoke(cli, ["gc", "--store", str(store.root), "-o", "json"])
    assert isinstance(run.exception, Unreadable)
    assert "no blob was deleted" in (run.exception.because or "")
    assert json.loads(run.stdout)["damaged"] == ["demo:1.0.0"]


def test_what_a_release_has_links_to_is_not_said_to_be_freed(store: Store, tmp_path: Path) -> None:
    stray = store.put(b"weights", "x")
    os.link(store.path(stray.digest), tmp_path / "link")
    result = gc(store, Silence())
    assert (result.blobs.files, result.blobs.bytes, result.blobs.freed) == (1, 7, 0)
    assert (tmp_path / "link").read_bytes() == b"weights"
