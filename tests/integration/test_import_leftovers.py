"""What imports leave in a store between two calls, and what gc may take of it."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest
from trips import SIZES, assert_same, taken, unpacked, written

from bundler.core.events import Silence
from bundler.media.leftovers import PATIENCE, leftovers
from bundler.operations.gc import gc
from bundler.operations.import_volumes import unfinished
from bundler.store.layout import BundleEntry, Store
from tests.bundles import make_bundle


@pytest.fixture
def bundle(source: Store) -> BundleEntry:
    return make_bundle(source, SIZES)


@pytest.fixture
def media(source: Store, bundle: BundleEntry, tmp_path: Path) -> list[Path]:
    """Three volumes; the first blob is cut."""
    return [volume.path for volume in written(source, bundle, tmp_path / "media").written]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_gc_between_two_calls_of_import_costs_no_volume_and_says_what_it_keeps(
    source: Store, bundle: BundleEntry, media: list[Path], tmp_path: Path, order: tuple[int, ...]
) -> None:
    target = tmp_path / "target"
    for number in order:
        taken(target, media[number])
        collected = gc(Store.open(target), Silence())
        assert collected.blobs.files == 0
        if number != order[-1]:
            assert [one.bundle for one in collected.half_done] == [str(bundle.name)]
    assert collected.half_done == ()
    assert collected.imports.files == 3  # the lists
    assert_same(source, bundle, target)
    assert not (target / "volumes").exists()


def test_what_an_abandoned_import_left_goes_and_its_volumes_are_named_when_they_are_needed_again(
    source: Store, bundle: BundleEntry, media: list[Path], tmp_path: Path
) -> None:
    target = tmp_path / "target"
    taken(target, media[0], media[1])
    shutil.rmtree(target / "volumes")  # as the message of gc says
    collected = gc(Store.open(target), Silence())
    assert collected.half_done == ()
    assert collected.kept_blobs == 0
    assert not (target / "parts").exists()
    result = taken(target, media[2])
    assert result.bundles[0].missing_volumes == (media[0].name, media[1].name)
    assert unfinished(taken(target, media[0], media[1]), target) is None
    assert_same(source, bundle, target)


def test_an_import_that_waits_for_more_than_thirty_days_is_abandoned(media: list[Path], tmp_path: Path) -> None:
    store = Store.create(tmp_path / "target")
    taken(store.root, media[0])
    now = next(store.root.glob("volumes/*/*.json")).stat().st_ctime
    assert len(leftovers(store, {}, set(), now + PATIENCE - 60).half_done) == 1
    left = leftovers(store, {}, set(), now + PATIENCE + 60)
    assert (left.half_done, dict(left.needed)) == ((), {})
    assert {file.path.name for file in left.files} == {"0001.json", "landed.json", "whole"}


def test_a_bundle_that_came_by_media_and_is_dropped_leaves_nothing(media: list[Path], tmp_path: Path) -> None:
    store = Store.create(tmp_path / "target")
    taken(store.root, *media)
    collected = gc(store, Silence(), drop=["demo"])
    assert (collected.kept_blobs, collected.half_done) == (0, ())
    assert not (store.root / "volumes").exists()


def test_gc_keeps_what_tar_unpacked_and_was_not_imported_yet(
    source: Store, bundle: BundleEntry, media: list[Path], tmp_path: Path
) -> None:
    place = unpacked(tmp_path / "place", media)
    assert gc(Store.open(place), Silence()).imports.files == 0
    assert unfinished(taken(place, place), place) is None
    assert_same(source, bundle, place)


def test_a_journal_is_not_believed_where_the_bytes_that_it_speaks_of_are_gone(
    source: Store, bundle: BundleEntry, media: list[Path], tmp_path: Path
) -> None:
    target = tmp_path / "target"
    taken(target, media[0])
    next(target.glob("parts/sha256/*/whole")).unlink()
    result = taken(target, media[1], media[2])
    assert media[0].name in result.bundles[0].missing_volumes
    assert unfinished(taken(target, media[0]), target) is None
    assert_same(source, bundle, target)
