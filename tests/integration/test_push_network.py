"""A line that resets, goes silent, loses packets or is slow, between two network namespaces: pushes come through."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bundler.core.events import Event, Warned
from bundler.operations.push import PushResult, push
from bundler.store.layout import BundleEntry, Store
from bundler.transport.openssh_client import OpenSshClient
from bundler.transport.refusals import ConnectionFailed
from bundler.transport.shell_store import ShellStore
from scripts.world.cable import Cable
from scripts.world.sshd import SshServer
from tests.bundles import make_bundle
from tests.far_host import FarHost, Recorder, assert_sound, listed_names

pytestmark = pytest.mark.usefixtures("state")
MEGABYTE = 1_000_000
SIZES = [12 * MEGABYTE, 9 * MEGABYTE, 5 * MEGABYTE, *[4000] * 20]
TOTAL = sum(SIZES)
IN_FLIGHT = 8 * MEGABYTE
"""What a connection has under way at most: in the pipe to ssh (1 MiB), in ssh's window (2 MiB), in sockets' buffers."""


@pytest.fixture(scope="module")
def cable() -> Iterator[Cable]:
    with Cable() as cable:
        yield cable


@pytest.fixture(scope="module")
def server(cable: Cable, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    directory = tmp_path_factory.mktemp("sshd")
    with SshServer(directory, tied=True, address=cable.address, prefix=cable.argv()) as server:
        yield server


@pytest.fixture
def host(server: SshServer, cable: Cable, tmp_path: Path) -> Iterator[FarHost]:
    yield FarHost(server, tmp_path)
    cable.mend()


@pytest.fixture
def bundle(source: Store) -> BundleEntry:
    return make_bundle(source, SIZES)


class Disturbed(Recorder):
    """Disturbs the line in the middle of a push, and mends it when the push has noticed."""

    def __init__(self, disturb: Callable[[], None], mend: Callable[[], None]) -> None:
        super().__init__(TOTAL // 2, disturb)
        self._mend = mend

    def emit(self, event: Event) -> None:
        super().emit(event)
        if isinstance(event, Warned):
            self._mend()


def pushed(host: FarHost, source: Store, bundle: BundleEntry, events: Recorder, stall: float = 2.0) -> PushResult:
    with closing(host.store(streams=3, stall=stall)) as remote:
        result = push(source, bundle, remote, events)
    far = Path(result.directory)
    assert assert_sound(far) == len(SIZES) + 5
    assert listed_names(far) == ["demo:1.0.0", "demo:1.0.0/base"]
    return result


def test_connections_that_are_reset_are_made_again_and_go_on(
    host: FarHost, cable: Cable, source: Store, bundle: BundleEntry
) -> None:
    """A firewall that forgets its table, a VPN that reconnects."""
    recorder = Disturbed(lambda: cable.reset(host.server.port), cable.mend)
    result = pushed(host, source, bundle, recorder, stall=60)
    assert recorder.done
    assert [event for event in recorder.events if isinstance(event, Warned)]
    assert result.moved < result.sent.bytes + 3 * IN_FLIGHT


def test_a_line_that_goes_silent_is_given_up_and_gone_on_with(
    host: FarHost, cable: Cable, source: Store, bundle: BundleEntry
) -> None:
    """A cable that is pulled, a laptop that moves: no packet says so."""
    recorder = Disturbed(cable.drop, cable.mend)
    pushed(host, source, bundle, recorder)
    warnings = [event.text for event in recorder.events if isinstance(event, Warned)]
    assert any("nothing moved for" in text for text in warnings)


def test_packets_that_are_lost_at_random_cost_time_and_nothing_else(
    host: FarHost, cable: Cable, source: Store, bundle: BundleEntry
) -> None:
    cable.lose(0.02)
    pushed(host, source, bundle, Recorder(), stall=20)


def test_a_slow_line_is_not_taken_for_one_that_stands_still(
    host: FarHost, cable: Cable, source: Store, tmp_path: Path
) -> None:
    """The watchdog looks at bytes, not at the time that a blob takes."""
    bundle = make_bundle(source, [14 * MEGABYTE])
    bits = 10 * MEGABYTE
    cable.slow(bits)
    recorder = Recorder()
    began = time.monotonic()
    with closing(host.store(streams=1, stall=8.0)) as remote:
        result = push(source, bundle, remote, recorder)
    assert time.monotonic() - began > 8 * (result.moved - 200_000) / bits
    assert not [event for event in recorder.events if isinstance(event, Warned)]
    assert_sound(tmp_path / "far")


def test_a_host_that_only_a_jump_host_reaches_is_pushed_to_by_the_user_s_own_configuration(
    host: FarHost, source: Store, bundle: BundleEntry, tmp_path: Path
) -> None:
    with SshServer(tmp_path / "gate", alias="gate", options=("AllowTcpForwarding yes",)) as gate:
        inner = host.server.config.read_text()
        jump = f"Host {host.server.alias}\n  ProxyCommand ssh -F {gate.config} -W %h:%p gate\n"
        config = tmp_path / "through"
        config.write_text(jump + inner)
        target = host.destination(config=config)
        with closing(ShellStore(OpenSshClient(target), streams=2)) as remote:
            push(source, bundle, remote, Recorder())
        assert_sound(tmp_path / "far")
        gate.stop()
        with closing(ShellStore(OpenSshClient(target))) as remote, pytest.raises(ConnectionFailed) as error:
            remote.survey()
    assert error.value.exit_code == 14
