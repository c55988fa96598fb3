"""Hosts that can't be pushed to: unknown, changed, closed, full, without a shell. Nothing is sent, and it says why."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bundler.core.errors import NoSpace
from bundler.core.events import Silence
from bundler.operations.push import HostTooSmall, push
from bundler.store.layout import BundleEntry, Store
from bundler.transport import refusals
from bundler.transport.destination import Destination
from bundler.transport.openssh_client import OpenSshClient
from bundler.transport.remote_errors import RemoteNoSpace, RemoteRefused
from bundler.transport.shell_store import ShellStore
from scripts.world import ports
from scripts.world.sshd import SshServer
from tests.bundles import make_bundle
from tests.far_host import FarHost, Recorder, assert_sound, eventually, partials, writers_gone

pytestmark = pytest.mark.usefixtures("state")
MEGABYTE = 1_000_000


@pytest.fixture
def bundle(source: Store) -> BundleEntry:
    return make_bundle(source, [6 * MEGABYTE, 5 * MEGABYTE, 4000])


def refused(destination: Destination, kind: type[refusals.ConnectionFailed]) -> refusals.ConnectionFailed:
    with closing(ShellStore(OpenSshClient(destination))) as remote, pytest.raises(refusals.ConnectionFailed) as error:
        remote.survey()
    assert type(error.value) is kind, error.value.because
    assert error.value.exit_code == 14
    return error.value


def fingerprint(key: Path) -> str:
    return subprocess.run(["ssh-keygen", "-lf", key], capture_output=True, text=True, check=True).stdout.split()[1]


def test_an_unknown_host_key_is_shown_and_never_added(host: FarHost, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.touch()
    config = host.config_with("config", f"UserKnownHostsFile {known}", "StrictHostKeyChecking accept-new")
    error = refused(host.destination(config=config), refusals.UnknownHostKey)
    assert error.what == f"the host key of [127.0.0.1]:{host.server.port} is not known"
    assert f"ED25519 {fingerprint(host.server.host_key.with_suffix('.pub'))}" in (error.because or "")
    assert f"ssh -F {config} -o StrictHostKeyChecking=ask {host.server.alias}" in (error.hint or "")
    assert known.read_text() == ""


def test_a_changed_host_key_stops_everything(host: FarHost, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"], check=True)
    kind, material, *_ = (tmp_path / "other.pub").read_text().split()
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{host.server.port} {kind} {material}\n")
    config = host.config_with("config", f"UserKnownHostsFile {known}", "StrictHostKeyChecking no")
    error = refused(host.destination(config=config), refusals.ChangedHostKey)
    assert "CHANGED" in error.what
    assert fingerprint(host.server.host_key.with_suffix(".pub")) in (error.because or "")
    assert f"ssh-keygen -f {known} -R '[127.0.0.1]:{host.server.port}'" in (error.hint or "")
    assert not (tmp_path / "far").exists()


def test_a_port_where_nothing_listens(host: FarHost) -> None:
    port = ports.free_port()
    destination = Destination.parse(f"{host.server.alias}:/far", port=port, config=host.server.config)
    error = refused(destination, refusals.ConnectionRefused)
    assert error.what == f"127.0.0.1 refuses connections on port {port}"


def test_a_name_without_an_address() -> None:
    error = refused(Destination.parse("nowhere.invalid:/far"), refusals.UnknownHost)
    assert error.what == "the host name 'nowhere.invalid' has no address"


def test_a_key_that_the_host_does_not_take(host: FarHost, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "mine"], check=True)
    config = host.config_with("config", "IdentityAgent none")
    config.write_text(config.read_text().replace(f"IdentityFile {host.server.client_key}", "# no identity"))
    destination = Destination.parse(f"{host.server.alias}:/far", identity=tmp_path / "mine", config=config)
    error = refused(destination, refusals.AuthenticationFailed)
    assert error.what == f"127.0.0.1 does not let {host.server.user} in"
    assert str(tmp_path / "mine") in (error.because or "")


def test_a_configuration_that_is_not_there(tmp_path: Path) -> None:
    error = refused(Destination.parse("intranet:/far", config=tmp_path / "none"), refusals.BadConfiguration)
    assert str(tmp_path / "none") in (error.because or "")


def test_no_ssh_on_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    refused(Destination.parse("intranet:/far"), refusals.NoSshClient)


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[SshServer]:
    command = "ForceCommand echo This account is currently not available.; exit 1"
    with SshServer(tmp_path / "closed", options=(command,), tied=True) as server:
        yield server


def test_a_login_without_a_shell_is_told_in_its_own_words(closed: SshServer, tmp_path: Path) -> None:
    error = refused(FarHost(closed, tmp_path).destination(), refusals.NoShell)
    assert error.because == "This account is currently not available."


def test_a_directory_that_can_t_be_made(host: FarHost, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with closing(host.store("file/far")) as remote, pytest.raises(RemoteRefused) as error:
        remote.survey()
    assert error.value.what == f"{host.server.alias} can't write {tmp_path}/file/far"
    assert "Not a directory" in (error.value.because or "")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,nr_inodes=40", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def test_a_host_that_is_too_small_is_told_before_a_byte_is_sent(
    host: FarHost, source: Store, bundle: BundleEntry, small: Path
) -> None:
    recorder = Recorder()
    with closing(host.store("small/far")) as remote, pytest.raises(HostTooSmall) as error:
        push(source, bundle, remote, recorder)
    assert error.value.what == f"intranet:{small}/far has not enough space: 11.0 MB needed, 8.4 MB free"
    assert error.value.exit_code == 15
    assert recorder.events == []


@pytest.mark.usefixtures("small")
def test_the_command_that_helps_can_be_pasted(host: FarHost, source: Store, bundle: BundleEntry) -> None:
    with closing(host.store("small/two words")) as remote, pytest.raises(HostTooSmall) as error:
        push(source, bundle, remote, Silence())
    there = subprocess.run(
        ["sh", "-c", error.value.hint or ""],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "8.0M" in there.stdout


def test_a_host_without_inodes_is_told_before_a_byte_is_sent(host: FarHost, source: Store, small: Path) -> None:
    many = make_bundle(source, [100] * 60, name="many:1")
    with closing(host.store("small/far")) as remote, pytest.raises(HostTooSmall, match="inodes: 81 files needed"):
        push(source, many, remote, Silence())
    assert partials(small / "far") == {}


def test_a_host_that_fills_up_meanwhile_is_told_and_what_arrived_is_kept(
    host: FarHost, source: Store, small: Path
) -> None:
    bundle = make_bundle(source, [5 * MEGABYTE, MEGABYTE // 2], name="fits:1")
    filler = small / "filler"

    def fill() -> None:
        filler.write_bytes(b"x" * (4 * MEGABYTE))

    with closing(host.store("small/far")) as remote, pytest.raises(RemoteNoSpace) as error:
        push(source, bundle, remote, Recorder(1, fill))
    assert isinstance(error.value, NoSpace)
    assert error.value.what == f"no space left on intranet in {small}/far"
    assert "No space left on device" in (error.value.because or "")
    assert_sound(small / "far")
    eventually(lambda: writers_gone(small / "far"), "the far end ends")
    filler.unlink()
    kept = sum(partials(small / "far").values())
    assert kept > MEGABYTE
    with closing(host.store("small/far")) as remote:
        result = push(source, bundle, remote, Silence())
    assert result.moved <= result.sent.bytes - kept
    assert assert_sound(small / "far") == 7
