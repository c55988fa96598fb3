"""kill -9 of either side, stalls, half-open connections: the next attempt converges, nothing wrong has a name."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bundler.core.events import Warned
from bundler.core.owner import Owner
from bundler.operations.push import push
from bundler.store.layout import BundleEntry, Store
from bundler.transport import attempts
from bundler.transport.openssh_client import OpenSshClient
from bundler.transport.refusals import ConnectionFailed
from bundler.transport.shell_store import ShellStore
from scripts.world.sshd import SshServer
from tests.bundles import make_bundle
from tests.far_host import (
    FarHost,
    Killing,
    Proxy,
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
MEGABYTE = 1_000_000
SIZES = [12 * MEGABYTE, 9 * MEGABYTE, 7 * MEGABYTE, 5 * MEGABYTE, *[4000] * 40]
BLOBS = len(SIZES) + 5
TOTAL = sum(SIZES)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """An sshd of this module's own: its children are killed."""
    with SshServer(tmp_path_factory.mktemp("sshd"), tied=True) as server:
        yield server


@pytest.fixture
def bundle(source: Store) -> BundleEntry:
    return make_bundle(source, SIZES)


def finish(host: FarHost, source: Store, bundle: BundleEntry) -> int:
    """Push to the end. Returns the bytes that went over."""
    return push_to_the_end(host.store(), source, bundle, blobs=BLOBS).moved


@pytest.mark.parametrize("seed", range(10))
def test_our_side_killed_at_any_moment_leaves_nothing_wrong_and_the_next_push_converges(
    host: FarHost, source: Store, bundle: BundleEntry, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    far = tmp_path / "far"
    for _ in range(2):
        killed_push(host, source, chance.randrange(1, TOTAL // 3))
        assert_sound(far)
        assert listed_names(far) == []
    finish(host, source, bundle)


def test_what_had_arrived_before_our_side_was_killed_is_not_sent_again(
    host: FarHost, source: Store, bundle: BundleEntry, tmp_path: Path
) -> None:
    far = tmp_path / "far"
    killed_push(host, source, TOTAL // 2)
    eventually(lambda: writers_gone(far), "the far end notices that we are gone")
    arrived = sum(partials(far).values()) + sum(path.stat().st_size for path in (far / "blobs/sha256").iterdir())
    assert arrived > MEGABYTE
    assert finish(host, source, bundle) <= TOTAL - arrived + 100_000
    assert partials(far) == {}


@pytest.mark.parametrize("seed", range(10))
def test_the_far_side_killed_at_any_moment_is_connected_to_again(
    host: FarHost, source: Store, bundle: BundleEntry, seed: int
) -> None:
    chance = random.Random(seed)
    killer = Killing((chance.randrange(TOTAL) for _ in range(3)), lambda: kill_one(host.server, chance))
    push_under_kills(host.store(), source, bundle, killer)
    finish(host, source, bundle)


def test_a_push_killed_while_it_lists_the_bundle_leaves_a_lock_that_the_next_one_takes_over(
    host: FarHost, source: Store, bundle: BundleEntry, tmp_path: Path
) -> None:
    finish(host, source, bundle)
    far = tmp_path / "far"
    with subprocess.Popen(["sh", "-c", "exec sleep 60"]) as holder:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        machine = Owner.me().machine
        start = Path(f"/proc/{holder.pid}/stat").read_text().rpartition(")")[2].split()[19]
        name = subprocess.run(["uname", "-n"], capture_output=True, text=True, check=True).stdout.strip()
        members = f'"host": "{name}", "machine": "{machine}", "boot": "{boot}", "pid": {holder.pid}, "start": "{start}"'
        (far / "index.lock").write_text(f'{{{members}, "since": 1.0}}')
        holder.kill()
    (far / "index.json").write_text('{"schemaVersion": 2, "manifests": []}')
    finish(host, source, bundle)
    assert not (far / "index.lock").exists()


def test_a_connection_that_stands_still_is_given_up_and_gone_on_with(
    host: FarHost, source: Store, tmp_path: Path
) -> None:
    """Half-open: the far end's shell lives on, but its own push may take its file over."""
    bundle = make_bundle(source, [30 * MEGABYTE], name="big:1")
    with closing(Proxy(host.server.port, freeze_after=12 * MEGABYTE)) as proxy:
        config = host.config_with("frozen", f"Port {proxy.port}", f"HostKeyAlias [127.0.0.1]:{host.server.port}")
        remote = ShellStore(OpenSshClient(host.destination(config=config)), streams=1, stall=5.0)
        recorder = Recorder()
        with closing(remote):
            result = push(source, bundle, remote, recorder)
        assert proxy.connections == 2
    (warning,) = (event.text for event in recorder.events if isinstance(event, Warned))
    assert warning.startswith("the connection to intranet broke: nothing moved for ")
    assert warning.endswith("; trying again in 0.5 s")
    far = tmp_path / "far"
    assert assert_sound(far) == 6
    assert result.moved < result.sent.bytes + 5 * MEGABYTE  # the prefix was kept; what filled the pipes was not
    eventually(lambda: writers_gone(far) and partials(far) == {}, "the frozen connection's far end ends")


def test_a_host_that_goes_away_for_good_is_an_error_with_all_kept(
    source: Store, bundle: BundleEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "ATTEMPTS", 3)
    with SshServer(tmp_path / "sshd", tied=True) as server:
        host = FarHost(server, tmp_path)
        with closing(host.store()) as remote, pytest.raises(ConnectionFailed) as error:
            push(source, bundle, remote, Recorder(TOTAL // 2, lambda: server.stop() and None))
        assert error.value.exit_code == 14
        assert_sound(tmp_path / "far")
        server.start()
        assert finish(host, source, bundle) < TOTAL
