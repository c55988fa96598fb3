"""One large blob over several connections: all of them carry it, and whatever breaks, it is never taken for whole."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from bundler.core.events import BytesMoved, Silence
from bundler.core.owner import Owner
from bundler.operations.push import PushResult, push
from bundler.store.gc import survey
from bundler.store.layout import BundleEntry, Store
from bundler.store.leases import collecting
from bundler.transport.openssh_client import OpenSshClient
from bundler.transport.remote_errors import SourceDamaged
from bundler.transport.shell_store import ShellStore
from scripts.world.sshd import SshServer
from tests.bundles import make_bundle
from tests.far_host import (
    FarHost,
    Killing,
    Recorder,
    assert_sound,
    eventually,
    kill_one,
    listed_names,
    partials,
    writers_gone,
)
from tests.pushes import killed_push, push_to_the_end, push_under_kills

pytestmark = pytest.mark.usefixtures("state")
MEGABYTE = 1 << 20
SIZE = 40 * MEGABYTE + 12_345
STREAMS = 3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """An sshd of this module's own: its children are killed."""
    with SshServer(tmp_path_factory.mktemp("sshd"), tied=True) as server:
        yield server


@pytest.fixture
def bundle(source: Store) -> BundleEntry:
    return make_bundle(source, [SIZE])


@pytest.fixture
def large(source: Store, bundle: BundleEntry) -> Path:
    assert source.find(str(bundle.name)) == bundle
    return next(path for path in source.blobs.iterdir() if path.stat().st_size == SIZE)


@pytest.fixture(autouse=True)
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bundler.transport.shipment.SPLIT_FROM", 8 * MEGABYTE)
    monkeypatch.setattr("bundler.transport.split.RANGE", MEGABYTE)


SMALL_RANGES = "from bundler.transport import shipment, split; shipment.SPLIT_FROM, split.RANGE = 8 << 20, 1 << 20"


def killed(host: FarHost, source: Store, after: int) -> None:
    killed_push(host, source, after, streams=STREAMS, first=SMALL_RANGES)


def finish(host: FarHost, source: Store, bundle: BundleEntry, *, streams: int = STREAMS) -> PushResult:
    """Push to the end, and look at all of it."""
    recorder = Recorder()
    result = push_to_the_end(host.store(streams=streams), source, bundle, blobs=6, events=recorder)
    assert recorder.moved == result.sent.bytes
    return result


def noted(far: Path) -> set[tuple[int, int]]:
    """The ranges that far ends have noted as written."""
    lines = [line for path in (far / "partial").glob("ranges-*") for line in path.read_text().splitlines()]
    return {(int(line.split()[0]), int(line.split()[1])) for line in lines}


def prefix(spans: set[tuple[int, int]]) -> int:
    end = 0
    for at, count in sorted(spans):
        if at <= end:
            end = max(end, at + count)
    return end


def test_all_connections_carry_one_blob_each_byte_once(
    host: FarHost, source: Store, bundle: BundleEntry, tmp_path: Path
) -> None:
    writers: set[str] = set()

    class Watching(Recorder):
        def emit(self, event: object) -> None:
            if isinstance(event, BytesMoved):
                writers.update(path.name for path in (tmp_path / "far/partial").glob("ranges-*") if path.stat().st_size)

    with closing(host.store(streams=STREAMS)) as remote:
        result = push(source, bundle, remote, Watching())
    assert len(writers) == STREAMS
    assert result.moved == result.sent.bytes
    assert assert_sound(tmp_path / "far") == 6
    assert partials(tmp_path / "far") == {}


def test_the_last_blobs_are_split_and_those_before_go_whole(host: FarHost, source: Store) -> None:
    bundle = make_bundle(source, [12 * MEGABYTE, 11 * MEGABYTE, 10 * MEGABYTE, 9 * MEGABYTE, 5000, 4000], name="many:1")
    with closing(host.store(streams=2)) as remote:
        result = push(source, bundle, remote, Silence())
    assert result.moved == result.sent.bytes
    assert assert_sound(Path(result.directory)) == 11


@pytest.mark.parametrize("seed", range(8))
def test_our_side_killed_at_any_moment_never_has_a_hole_taken_for_bytes(
    host: FarHost, source: Store, bundle: BundleEntry, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    far = tmp_path / "far"
    for _ in range(2):
        killed(host, source, chance.randrange(1, SIZE // 3))
        assert_sound(far)
        assert listed_names(far) == []
    finish(host, source, bundle, streams=chance.choice((1, STREAMS)))
    assert partials(far) == {}


@pytest.mark.parametrize("streams", [1, STREAMS])
def test_what_had_arrived_is_not_sent_again(
    host: FarHost, source: Store, bundle: BundleEntry, tmp_path: Path, streams: int
) -> None:
    """Over several connections every noted range counts; over one, what has no hole before it."""
    far = tmp_path / "far"
    killed(host, source, SIZE * 2 // 3)
    eventually(lambda: writers_gone(far), "the far end notices that we are gone")
    spans = noted(far)
    arrived = sum(count for _, count in spans) if streams > 1 else prefix(spans)
    assert arrived > MEGABYTE
    block = 256 << 10  # ranges begin at its multiples, also behind half a one
    assert finish(host, source, bundle, streams=streams).moved <= SIZE - arrived + len(spans) * block + 100_000


@pytest.mark.parametrize("seed", range(12))
def test_the_far_side_killed_at_any_moment_is_connected_to_again(
    host: FarHost, source: Store, bundle: BundleEntry, seed: int
) -> None:
    chance = random.Random(seed)
    killer = Killing((chance.randrange(SIZE) for _ in range(3)), lambda: kill_one(host.server, chance))
    push_under_kills(host.store(streams=STREAMS), source, bundle, killer)
    finish(host, source, bundle)


def test_a_hole_in_what_was_noted_is_found_by_the_hash_and_costs_a_second_sending(
    host: FarHost, source: Store, bundle: BundleEntry, large: Path, tmp_path: Path
) -> None:
    """As a host that lost its power may have it: the notes were on the disk and the bytes were not."""
    far = Store.create(tmp_path / "far")
    key = f"{Owner.me().machine[:8]}-00000000-7-7"
    begun = bytearray(large.read_bytes()[: 20 * MEGABYTE])
    begun[5 * MEGABYTE : 6 * MEGABYTE] = bytes(MEGABYTE)
    (far.partial / f"split-{large.name}.{key}").write_bytes(begun)
    (far.partial / f"ranges-{large.name}-{key}.{key}").write_text(f"0 {len(begun)}\nhalf a li\n08 \n")
    result = finish(host, source, bundle)
    assert result.moved == result.sent.bytes + SIZE - len(begun)
    assert partials(far.root) == {}


def test_what_one_connection_had_begun_is_gone_on_with_over_several(
    host: FarHost, source: Store, bundle: BundleEntry, large: Path, tmp_path: Path
) -> None:
    far = Store.create(tmp_path / "far")
    begun = large.read_bytes()[: 15 * MEGABYTE]
    (far.partial / f"{large.name}.{Owner.me().machine[:8]}-00000000-7-7").write_bytes(begun)
    result = finish(host, source, bundle)
    assert result.moved == result.sent.bytes - len(begun)
    assert partials(far.root) == {}


def test_a_source_that_is_damaged_is_named_and_gets_no_name_there(
    host: FarHost, source: Store, bundle: BundleEntry, large: Path, tmp_path: Path
) -> None:
    data = bytearray(large.read_bytes())
    data[30 * MEGABYTE] ^= 1
    large.chmod(0o644)
    large.write_bytes(data)
    refused(host, source, bundle, large, tmp_path, Recorder())


def test_a_source_that_becomes_shorter_while_it_is_sent_is_named_and_gets_no_name_there(
    host: FarHost, source: Store, bundle: BundleEntry, large: Path, tmp_path: Path
) -> None:
    large.chmod(0o644)
    refused(host, source, bundle, large, tmp_path, Recorder(MEGABYTE, lambda: os.truncate(large, SIZE // 2)))


def refused(host: FarHost, source: Store, bundle: BundleEntry, large: Path, tmp_path: Path, recorder: Recorder) -> None:
    with closing(host.store(streams=STREAMS)) as remote, pytest.raises(SourceDamaged) as error:
        push(source, bundle, remote, recorder)
    assert error.value.what.startswith("model base: part-00000.safetensors is damaged in ")
    assert not (tmp_path / "far/blobs/sha256" / large.name).exists()
    assert_sound(tmp_path / "far")


def test_two_pushes_of_one_blob_at_once_both_end_well(
    host: FarHost, source: Store, bundle: BundleEntry, tmp_path: Path
) -> None:
    both = threading.Barrier(2)

    def run() -> int:
        with closing(host.store(streams=2)) as remote:
            both.wait(60)
            return push(source, bundle, remote, Silence()).moved

    with ThreadPoolExecutor(2) as pool:
        pushes = [pool.submit(run) for _ in range(2)]
        assert sum(one.result() for one in pushes) >= SIZE
    assert assert_sound(tmp_path / "far") == 6
    finish(host, source, bundle)


def test_a_host_that_takes_only_one_login_at_a_time_gets_it_whole(
    source: Store, bundle: BundleEntry, tmp_path: Path
) -> None:
    """No connection is left there for who would lead the others."""
    limit = f'ForceCommand flock -n {tmp_path}/one sh -c "$SSH_ORIGINAL_COMMAND"'
    with ExitStack() as stack:
        server = stack.enter_context(SshServer(tmp_path / "sshd", options=(limit,), tied=True))
        remote = stack.enter_context(closing(ShellStore(OpenSshClient(FarHost(server, tmp_path).destination()))))
        push(source, bundle, remote, Silence())
    assert assert_sound(tmp_path / "far") == 6


def test_gc_removes_what_a_killed_push_left_of_a_split_blob(
    host: FarHost, source: Store, large: Path, tmp_path: Path
) -> None:
    killed(host, source, SIZE // 2)
    far = Store.open(tmp_path / "far")
    eventually(lambda: writers_gone(far.root), "the far end notices that we are gone")
    left = set(partials(far.root))
    assert any(name.startswith(f"split-{large.name}.") for name in left)
    with collecting(far):
        found = survey(far, {})
    assert {garbage.path.name for garbage in found.partials} == left
    assert found.strangers == ()
