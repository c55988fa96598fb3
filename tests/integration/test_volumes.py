"""Out and in by media: whatever happens to volumes on their way, a wrong byte never gets a name."""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from trips import SIZES, VOLUME, assert_same, assert_unlisted, taken, unpacked, written

from bundler.core.descriptor import Descriptor
from bundler.core.errors import NoSpace
from bundler.core.events import Silence
from bundler.media.plan import MediaTooSmall
from bundler.media.volume_writer import BlobDamaged
from bundler.operations.export import Since, export
from bundler.operations.import_volumes import unfinished
from bundler.operations.verify import verify
from bundler.store.layout import BundleEntry, Store
from tests.bundles import make_bundle
from tests.commandline import Bundle, refusal
from tests.far_host import assert_sound


@pytest.fixture
def bundle(source: Store) -> BundleEntry:
    return make_bundle(source, SIZES)


@pytest.fixture
def media(source: Store, bundle: BundleEntry, tmp_path: Path) -> list[Path]:
    """Three volumes; the first blob is cut."""
    result = written(source, bundle, tmp_path / "media")
    assert len(result.written) == 3
    return [volume.path for volume in result.written]


def test_what_the_plan_says_is_what_the_files_take(source: Store, bundle: BundleEntry, tmp_path: Path) -> None:
    result = written(source, bundle, tmp_path / "media")
    for volume in result.written:
        assert volume.path.stat().st_size == volume.bytes < VOLUME


def test_sha256sum_checks_the_volumes_where_they_lie(media: list[Path]) -> None:
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=media[0].parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": OK") == 3


def test_the_same_bundle_gives_the_same_volumes(
    source: Store, bundle: BundleEntry, media: list[Path], tmp_path: Path
) -> None:
    again = written(source, bundle, tmp_path / "again")
    assert [one.path.read_bytes() for one in again.written] == [path.read_bytes() for path in media]


def test_each_volume_is_readable_alone_with_tar_alone_and_says_what_it_belongs_to(
    media: list[Path], bundle: BundleEntry, tmp_path: Path
) -> None:
    for number, path in enumerate(media, 1):
        place = tmp_path / str(number)
        place.mkdir()
        subprocess.run(["tar", "-xf", str(path), "-C", str(place)], check=True)
        header = json.loads((place / f"volumes/{bundle.root.digest.short}/{number:04}.json").read_text())
        assert (header["bundle"], header["root"]) == (str(bundle.name), str(bundle.root.digest))
        assert os.access(place / "bundle", os.X_OK)
        with tarfile.open(path) as tar:
            assert all(member.mtime == 0 and member.uid == 0 and member.isreg() for member in tar)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_volumes_may_come_in_any_order_each_by_a_call_of_its_own(
    source: Store, bundle: BundleEntry, media: list[Path], tmp_path: Path, order: tuple[int, ...]
) -> None:
    target = tmp_path / "target"
    for position, number in enumerate(order):
        result = taken(target, media[number])
        error = unfinished(result, target)
        if position < 2:
            missing = [media[left].name for left in sorted(order[position + 1 :])]
            assert result.bundles[0].missing_volumes == tuple(missing)
            assert error is not None
            assert error.exit_code == 3
            assert all(name in str(error.because) for name in missing)
            assert_unlisted(target)
        else:
            assert error is None
    assert_same(source, bundle, target)


def test_a_directory_of_volumes_is_taken_in_one_call_and_again(
    source: Store, bundle: BundleEntry, media: list[Path], tmp_path: Path
) -> None:
    for _ in range(2):
        assert unfinished(taken(tmp_path / "target", media[0].parent), tmp_path) is None
        assert_same(source, bundle, tmp_path / "target")


def test_tar_xf_of_all_volumes_is_the_same_store_once_it_is_imported_in_place(
    source: Store, bundle: BundleEntry, media: list[Path], tmp_path: Path
) -> None:
    target = unpacked(tmp_path / "target", reversed(media))
    for _ in range(2):
        assert unfinished(taken(target, target), target) is None
        assert_same(source, bundle, target)


def test_an_unpacked_directory_is_taken_into_another_store(
    source: Store, bundle: BundleEntry, media: list[Path], tmp_path: Path
) -> None:
    place = unpacked(tmp_path / "place", media)
    assert unfinished(taken(tmp_path / "target", place), tmp_path) is None
    assert_same(source, bundle, tmp_path / "target")


@pytest.mark.parametrize("cut", [0, 1, 511, 512, 100_000, -1024, -1])
def test_a_truncated_volume_is_named_and_the_others_are_taken(
    source: Store, bundle: BundleEntry, media: list[Path], tmp_path: Path, cut: int
) -> None:
    whole = media[1].read_bytes()
    media[1].write_bytes(whole[:cut])
    result = taken(tmp_path / "target", *media)
    error = unfinished(result, tmp_path / "target")
    assert [bad.path for bad in result.bad] == [media[1]]
    assert error is not None
    assert error.exit_code == 12
    assert media[1].name in error.what
    assert_unlisted(tmp_path / "target")
    media[1].write_bytes(whole)
    assert unfinished(taken(tmp_path / "target", media[1]), tmp_path) is None
    assert_same(source, bundle, tmp_path / "target")


@pytest.mark.parametrize("seed", range(12))
def test_a_flipped_bit_anywhere_is_found_and_only_that_volume_is_copied_again(
    source: Store, bundle: BundleEntry, media: list[Path], tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    victim = media[chance.randrange(3)]
    whole = victim.read_bytes()
    bad = bytearray(whole)
    bad[chance.randrange(len(bad))] ^= 1 << chance.randrange(8)
    victim.write_bytes(bad)
    result = taken(tmp_path / "target", *media)
    assert_sound(tmp_path / "target")
    if not result.bundles or not result.bundles[0].whole:  # a bit of the padding or of the agent's copy harms nothing
        assert [one.path for one in result.bad] == [victim]
        victim.write_bytes(whole)
        assert unfinished(taken(tmp_path / "target", victim), tmp_path) is None
    assert_same(source, bundle, tmp_path / "target")


def test_volumes_of_two_bundles_in_one_heap_are_told_apart(
    bundle: BundleEntry, media: list[Path], tmp_path: Path
) -> None:
    other = Store.create(tmp_path / "other")
    second = make_bundle(other, [300_000], name="else:2", seed=1)
    theirs = [one.path for one in written(other, second, media[0].parent, size=200_000).written]
    result = taken(tmp_path / "target", *media[:2], *theirs)
    assert {one.name: one.whole for one in result.bundles} == {"demo:1.0.0": False, "else:2": True}
    assert unfinished(taken(tmp_path / "target", media[2]), tmp_path) is None
    verify(Store.open(tmp_path / "target"), bundle, Silence())


def test_a_delta_takes_only_what_is_new_and_says_what_is_missing_where_the_old_is_not(
    source: Store, bundle: BundleEntry, tmp_path: Path
) -> None:
    newer = make_bundle(source, [*SIZES, 50_000], name="demo:1.1.0")
    held = Since(bundle.root.digest, frozenset(_digests(source, bundle)))
    result = export(source, newer, [tmp_path / "delta"], Silence(), since=held)
    assert sum(volume.bytes for volume in result.written) < 100_000
    alone = taken(tmp_path / "empty", tmp_path / "delta")
    error = unfinished(alone, tmp_path / "empty")
    assert error is not None
    assert str(bundle.root.digest) in str(error.because)
    assert "part-00000.safetensors" in str(error.because)
    taken(tmp_path / "target", *(one.path for one in written(source, bundle, tmp_path / "media").written))
    assert unfinished(taken(tmp_path / "target", tmp_path / "delta"), tmp_path) is None
    verify(Store.open(tmp_path / "target"), newer, Silence())


def _digests(store: Store, bundle: BundleEntry) -> list[object]:
    from bundler.store.closure import closure

    return [member.blob.digest for member in closure(store, bundle.root)]


def test_a_damaged_blob_stops_the_export_by_name_before_its_volume_is_named(
    source: Store, bundle: BundleEntry, tmp_path: Path
) -> None:
    victim = max(source.blobs.iterdir(), key=lambda path: path.stat().st_size)
    victim.chmod(0o644)
    data = bytearray(victim.read_bytes())
    data[650_000] ^= 1
    victim.write_bytes(data)
    with pytest.raises(BlobDamaged, match="part-00000"):
        written(source, bundle, tmp_path / "media", size=None)
    assert [path.name for path in (tmp_path / "media").iterdir() if path.suffix == ".tar"] == []


def test_an_export_run_again_keeps_what_is_whole_and_rewrites_what_is_not(
    source: Store, bundle: BundleEntry, media: list[Path]
) -> None:
    before = media[1].read_bytes()
    media[1].write_bytes(before[:-1] + b"x")
    again = written(source, bundle, media[0].parent)
    assert [volume.kept for volume in again.written] == [True, False, True]
    assert media[1].read_bytes() == before


EXPORT = """
import sys
from pathlib import Path
from bundler.operations.export import export
from bundler.store.layout import Store
from tests.far_host import Recorder, kill_self
store = Store.open(Path(sys.argv[1]))
export(store, store.bundles()[0], [Path(sys.argv[2])], Recorder(int(sys.argv[3]), kill_self), volume_size=3_000_000)
"""
IMPORT = """
import sys
from pathlib import Path
from bundler.operations.gc import gc
from bundler.operations.import_volumes import import_volumes
from tests.far_host import Recorder, kill_self
import_volumes([Path(sys.argv[1])], Path(sys.argv[2]), Recorder(int(sys.argv[3]), kill_self))
"""
BIG = [4_000_000, 2_500_000, 1_000_000, 20_000]


def killed(program: str, *arguments: str | Path) -> None:
    argv = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(argv, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr


def test_exports_killed_at_any_moment_never_leave_a_wrong_volume_under_its_name(source: Store, tmp_path: Path) -> None:
    bundle = make_bundle(source, BIG)
    clean = written(source, bundle, tmp_path / "clean", size=3_000_000)
    chance = random.Random(1)
    media = tmp_path / "media"
    for number in range(25):
        killed(EXPORT, source.root, media, chance.randrange(1, sum(BIG)))
        for path in media.glob("*.tar"):
            assert path.read_bytes() == (tmp_path / "clean" / path.name).read_bytes()
        if number % 5 == 4:
            shutil.rmtree(media)
    written(source, bundle, media, size=3_000_000)
    names = [volume.path.name for volume in clean.written]
    assert sorted(path.name for path in media.iterdir()) == sorted([*names, "SHA256SUMS"])
    for name in names:
        assert (media / name).read_bytes() == (tmp_path / "clean" / name).read_bytes()


def test_imports_killed_at_any_moment_converge_to_the_same_root_and_the_same_bytes(
    source: Store, tmp_path: Path
) -> None:
    bundle = make_bundle(source, BIG)
    written(source, bundle, tmp_path / "media", size=3_000_000)
    chance = random.Random(2)
    target = tmp_path / "target"
    for number in range(25):
        killed(IMPORT, tmp_path / "media", target, chance.randrange(1, sum(BIG) // 8))
        assert_unlisted(target)
        if number % 5 == 4:
            assert unfinished(taken(target, tmp_path / "media"), target) is None
            assert_same(source, bundle, target)
            shutil.rmtree(target)
    assert unfinished(taken(target, tmp_path / "media"), target) is None
    assert_same(source, bundle, target)


@pytest.fixture
def small_disk(tmp_path: Path):
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_medium_is_said_before_anything_is_written(source: Store, bundle: BundleEntry, small_disk: Path) -> None:
    with pytest.raises(MediaTooSmall, match=r"1\.0 MB usable"):
        written(source, bundle, small_disk, size=None)
    assert list(small_disk.iterdir()) == []


def test_a_full_store_is_said_before_any_blob_is_written(source: Store, small_disk: Path, tmp_path: Path) -> None:
    bundle = make_bundle(source, [3_000_000])
    written(source, bundle, tmp_path / "media")
    with pytest.raises(NoSpace, match="not enough space"):
        taken(small_disk / "store", tmp_path / "media")
    assert not any(Store.open(small_disk / "store").has(Descriptor("", d, 3_000_000)) for d in _digests(source, bundle))


def test_media_too_small_together_take_what_fits_and_the_hint_goes_on_elsewhere(
    source: Store, bundle: BundleEntry, small_disk: Path, tmp_path: Path
) -> None:
    program = Bundle({"XDG_STATE_HOME": str(tmp_path / "state")})
    first = program("export", "demo", small_disk, "--store", source.root, "--volume-size", "600000", check=False)
    assert first.code == 3, first.err
    hint = refusal(first).partition("hint: ")[2].splitlines()[0]
    rest = [word if word != "OTHER_DEST" else str(tmp_path / "b") for word in hint.split()[1:]]
    program(*rest)
    done = program("import", small_disk, tmp_path / "b", "--store", tmp_path / "target", "-o", "json")
    assert done.json["bundles"][0]["whole"] is True
    assert_same(source, bundle, tmp_path / "target")
