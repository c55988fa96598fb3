"""Hosts that run `scp` and nothing else: a forced command of an OpenSSH server, and Dropbear, which has no SFTP."""

from __future__ import annotations

import os
import random
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bundler.core.digest import Digest
from bundler.core.events import Silence
from bundler.operations.push import push
from bundler.store.layout import BundleEntry, Store
from bundler.transport import receipts
from bundler.transport.doors import SCP
from bundler.transport.receipts import Tally
from bundler.transport.remote_errors import RemoteLocked, RemoteNoSpace, RemoteRefused, SourceDamaged
from bundler.transport.scp import NotScp, ScpError, Sink, content, sizes
from bundler.transport.wire import Launch, Wire, WireBroken
from scripts.world.daemon import Daemon
from scripts.world.errors import find_program
from scripts.world.ports import free_port
from scripts.world.sshd import SshServer
from tests.bundles import AGENT_BYTES, make_bundle
from tests.commandline import Bundle
from tests.far_host import FarHost, Killing, assert_sound, eventually, kill_connection, listed_names
from tests.pushes import killed_push, push_to_the_end, push_under_kills

pytestmark = pytest.mark.usefixtures("state")
MEGABYTE = 1_000_000
SIZES = [8 * MEGABYTE, 5 * MEGABYTE, *[4000] * 20]
TOTAL = sum(SIZES)
ONLY_SCP = """#!/bin/sh
case $SSH_ORIGINAL_COMMAND in
scp\\ *) eval exec "$SSH_ORIGINAL_COMMAND" ;;
esac
echo "this login copies files only" >&2
exit 1
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    directory = tmp_path_factory.mktemp("sshd")
    forced = directory / "only-scp"
    forced.write_text(ONLY_SCP)
    forced.chmod(0o755)
    with SshServer(directory, options=(f"ForceCommand {forced}",), sftp=False, tied=True) as server:
        yield server


def finish(host: FarHost, source: Store, bundle: BundleEntry) -> int:
    """Push to the end. Returns the bytes that went over."""
    return push_to_the_end(host.scp_store(), source, bundle, blobs=len(SIZES) + 5).moved


def test_the_command_finds_scp_by_itself_and_the_store_is_like_any_other(
    host: FarHost, source: Store, tmp_path: Path
) -> None:
    entry = make_bundle(source, [3 * MEGABYTE, 5000, 0])
    bundle = Bundle({"XDG_STATE_HOME": str(tmp_path / "state")})
    where = str(host.destination("new dir/it's far"))
    words = ("push", "demo", where, "--store", source.root, "--ssh-config", host.server.config)
    planned = bundle(*words, "--dry-run", "-o", "json").json
    assert not (tmp_path / "new dir").exists()
    done = bundle(*words, "-o", "json")
    assert "trying SCP" in done.err
    assert done.json["moved"] == planned["bytes"]
    assert done.json["verified"] is False
    far = tmp_path / "new dir/it's far"
    assert assert_sound(far) == 8
    assert {path.stat().st_mode & 0o777 for path in (far / "blobs/sha256").iterdir()} == {0o444}
    assert (far / "bundle").read_bytes() == AGENT_BYTES
    assert os.access(far / "bundle", os.X_OK)
    assert Store.open(far).bundles() == (entry,)
    receipt = receipts.read(Path(done.json["receipt"]))
    assert (receipt.verified, receipt.hashed) == (Tally(0, 0), ())
    assert bundle(*words, "-o", "json").json["sent"] == {"blobs": 0, "bytes": 0}
    bundle("verify", "demo", "--store", far)


def test_what_bundles_share_is_sent_once_and_both_are_listed(host: FarHost, source: Store, tmp_path: Path) -> None:
    one = make_bundle(source, [MEGABYTE, 1000], name="one:1")
    two = make_bundle(source, [MEGABYTE, 2000], name="two:1")
    for bundle in (one, two):
        with closing(host.scp_store()) as remote:
            moved = push(source, bundle, remote, Silence()).moved
    assert moved < MEGABYTE
    assert Store.open(tmp_path / "far").bundles() == (one, two)


@pytest.mark.parametrize("seed", range(4))
def test_the_server_killed_at_any_moment_is_connected_to_again(host: FarHost, source: Store, seed: int) -> None:
    bundle = make_bundle(source, SIZES)
    chance = random.Random(seed)
    killer = Killing((chance.randrange(TOTAL) for _ in range(3)), lambda: kill_connection(host.server, chance))
    push_under_kills(host.scp_store(), source, bundle, killer)
    finish(host, source, bundle)


@pytest.mark.parametrize("seed", range(2))
def test_our_side_killed_at_any_moment_leaves_short_blobs_that_no_index_names(
    host: FarHost, source: Store, tmp_path: Path, seed: int
) -> None:
    bundle = make_bundle(source, SIZES)
    sizes_here = {path.name: path.stat().st_size for path in source.blobs.iterdir()}
    far = tmp_path / "far"
    killed_push(host, source, random.Random(seed).randrange(1, TOTAL - MEGABYTE), door=SCP)

    def sound() -> bool:
        """What is as long as it should be is what it should be, once the scp there has ended."""
        there = [path for path in (far / "blobs/sha256").iterdir() if path.stat().st_size == sizes_here[path.name]]
        return all(Digest.of_file(path).hex == path.name for path in there)

    daemon = host.server.daemon.mark()
    assert daemon
    eventually(lambda: not daemon.descendants(), "the host notices that we are gone")
    assert sound()
    assert listed_names(far) == []
    finish(host, source, bundle)


def test_what_is_damaged_here_does_not_become_whole_there(host: FarHost, source: Store, tmp_path: Path) -> None:
    bundle = make_bundle(source, [3 * MEGABYTE])
    largest = max(source.blobs.iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[1234] ^= 1
    largest.chmod(0o644)
    largest.write_bytes(data)
    with closing(host.scp_store()) as remote, pytest.raises(SourceDamaged):
        push(source, bundle, remote, Silence())
    arrived = tmp_path / "far/blobs/sha256" / largest.name
    assert arrived.stat().st_size < len(data)


def test_another_s_lock_is_respected(host: FarHost, source: Store, tmp_path: Path) -> None:
    bundle = make_bundle(source, SIZES)
    finish(host, source, bundle)
    (tmp_path / "far/index.lock").write_text("{}")
    (tmp_path / "far/index.json").write_text('{"schemaVersion": 2, "manifests": []}')
    with closing(host.scp_store()) as remote, pytest.raises(RemoteLocked):
        push(source, bundle, remote, Silence())
    assert listed_names(tmp_path / "far") == []


def test_a_host_that_is_full_is_told(host: FarHost, source: Store, tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], check=True)
    try:
        bundle = make_bundle(source, [8 * MEGABYTE])
        with closing(host.scp_store("small/far")) as remote, pytest.raises(RemoteNoSpace) as error:
            push(source, bundle, remote, Silence())
        assert error.value.exit_code == 15
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def test_a_directory_that_can_t_be_made_is_told(host: FarHost, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with closing(host.scp_store("file/far")) as remote, pytest.raises(RemoteRefused):
        remote.survey()


def test_dropbear_is_a_host_by_its_shell_and_by_its_scp(host: FarHost, source: Store, tmp_path: Path) -> None:
    """It reads keys from the login's home alone, so it is given a home: a mount that nothing else sees."""
    bundle = make_bundle(source, SIZES)
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    keys = home / ".ssh/authorized_keys"
    keys.write_bytes(host.server.client_key.with_suffix(".pub").read_bytes())
    keys.chmod(0o600)
    key = tmp_path / "dropbear_key"
    make_key = (find_program("dropbearkey", "dropbear-bin"), "-t", "ed25519", "-f", str(key))
    shown = subprocess.run(make_key, capture_output=True, text=True, check=True).stdout
    public = next(line for line in shown.splitlines() if line.startswith("ssh-ed25519 "))
    port = free_port()
    start = f"mount --bind {home} {Path.home()} && exec dropbear -F -E -s -r {key} -p 127.0.0.1:{port}"
    daemon = Daemon("dropbear", ("/usr/bin/unshare", "-m", "sh", "-c", start), tmp_path / "dropbear", tied=True)
    known = tmp_path / "known"
    known.write_text(f"[127.0.0.1]:{port} {' '.join(public.split()[:2])}\n")
    config = host.config_with("dropbear.config", f"Port {port}", f"UserKnownHostsFile {known}")
    through = FarHost(host.server, tmp_path)
    through.destination = lambda directory="far", **_: host.destination(directory, config=config)  # type: ignore[assignment]
    daemon.start(lambda: _answers(port))
    try:
        with closing(through.store("by-shell")) as remote:
            assert push(source, bundle, remote, Silence()).verified
        with closing(through.scp_store("by-scp")) as remote:
            assert not push(source, bundle, remote, Silence()).verified
    finally:
        daemon.stop()
    assert assert_sound(tmp_path / "by-shell") == assert_sound(tmp_path / "by-scp") == len(SIZES) + 5


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


@pytest.mark.parametrize(
    "said",
    [
        "printf 'hello\\n'",
        "printf 'D0755 0 x\\nnonsense\\n'; cat",
        "printf 'C0644 99999999999999999999999 x\\n'; cat",
        "printf 'C0644 5 ../../etc/passwd\\n'; cat",
        "head -c 100000 /dev/zero | tr '\\0' x; cat",
        "printf '\\1no\\n'",
        "true",
    ],
)
def test_what_a_hostile_scp_says_ends_the_conversation_and_nothing_else(said: str) -> None:
    def wire() -> Wire:
        return Wire(Launch(("sh", "-c", said)), stall=5)

    for talk in (sizes, lambda one: b"".join(content(one, 1000)), Sink):
        one = wire()
        try:
            with pytest.raises((NotScp, ScpError, WireBroken)):
                talk(one)
        finally:
            one.abandon()
