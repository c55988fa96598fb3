"""Hosts that give SFTP and no shell: what arrives is right, kills and full disks are survived, the door is found."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bundler.core.events import Events, Silence, Warned
from bundler.core.owner import Owner
from bundler.operations.login import Login
from bundler.operations.push import push
from bundler.store.closure import closure
from bundler.store.layout import BundleEntry, Store
from bundler.transport import receipts
from bundler.transport.destination import Destination
from bundler.transport.doors import SFTP, AnyDoor, open_door
from bundler.transport.keyring import Keyring
from bundler.transport.receipts import Tally
from bundler.transport.refusals import NoShell
from bundler.transport.remote_errors import RemoteNoSpace, RemoteRefused, SourceDamaged
from bundler.transport.sftp import Sftp
from bundler.transport.sftp_layout import SftpLayout
from bundler.transport.sftp_packets import Malformed
from bundler.transport.wire import Launch, WireBroken
from scripts.world.sshd import SshServer
from tests.bundles import make_bundle
from tests.commandline import Bundle
from tests.far_host import FarHost, Killing, Recorder, assert_sound, kill_connection, listed_names, partials
from tests.pushes import killed_push, push_to_the_end, push_under_kills

pytestmark = pytest.mark.usefixtures("state")
MEGABYTE = 1_000_000
SIZES = [12 * MEGABYTE, 9 * MEGABYTE, 5 * MEGABYTE, *[4000] * 70]
TOTAL = sum(SIZES)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with SshServer(tmp_path_factory.mktemp("sshd"), options=("ForceCommand internal-sftp",), tied=True) as server:
        yield server


def any_door(destination: Destination, events: Events | None = None) -> AnyDoor:
    """The store by the door that a push finds by itself."""
    login = Login(destination, open_door, Keyring(), lambda _: None, events or Silence())
    return AnyDoor(login.first(), login.otherwise)


def finish(host: FarHost, source: Store, bundle: BundleEntry) -> int:
    """Push to the end. Returns the bytes that went over."""
    result = push_to_the_end(host.sftp_store(), source, bundle, blobs=len(SIZES) + 5)
    far = Path(result.directory)
    assert partials(far) == {}
    assert list((far / "leases").iterdir()) == []
    return result.moved


def test_the_command_finds_the_door_by_itself_and_says_what_it_can_not_do(
    host: FarHost, source: Store, tmp_path: Path
) -> None:
    make_bundle(source, [MEGABYTE, 5000])
    bundle = Bundle({"XDG_STATE_HOME": str(tmp_path / "state")})
    words = ("push", "demo", str(host.destination()), "--store", source.root, "--ssh-config", host.server.config)
    planned = bundle(*words, "--dry-run", "-o", "json").json
    assert not (tmp_path / "far").exists()
    done = bundle(*words, "-o", "json")
    assert "trying SFTP" in done.err
    assert done.json["verified"] is False
    assert done.json["moved"] == planned["bytes"]
    assert_sound(tmp_path / "far")
    receipt = receipts.read(Path(done.json["receipt"]))
    assert (receipt.verified, receipt.hashed) == (Tally(0, 0), ())
    assert len(receipt.blobs) == done.json["sent"]["blobs"]
    assert os.access(tmp_path / "far/bundle", os.X_OK)
    assert bundle(*words).out.startswith("demo:1.0.0 is on ")
    refused = bundle(*words, "--door", "exec", check=False)
    assert refused.code == 14
    assert "runs no command" in refused.err


def test_where_no_door_opens_it_is_the_shell_that_is_told_of(tmp_path: Path, source: Store) -> None:
    bundle = make_bundle(source, [5000])
    with (
        SshServer(tmp_path / "sshd", options=("ForceCommand false",), sftp=False) as closed,
        closing(any_door(FarHost(closed, tmp_path).destination())) as remote,
        pytest.raises(NoShell),
    ):
        push(source, bundle, remote, Silence())


def test_a_chroot_is_a_home_like_any_other(tmp_path: Path, source: Store) -> None:
    bundle = make_bundle(source, [MEGABYTE, 5000])
    jail = Path("/var/lib") / f"bundle-jail-{os.getpid()}"
    jail.mkdir(mode=0o755)
    try:
        options = ("ForceCommand internal-sftp", f"ChrootDirectory {jail}")
        with SshServer(tmp_path / "sshd", options=options) as server:
            destination = FarHost(server, Path("/")).destination("data/bundles")
            with closing(any_door(destination)) as remote:
                result = push(source, bundle, remote, Silence())
        assert result.directory == "/data/bundles"
        assert assert_sound(jail / "data/bundles") == 7
    finally:
        subprocess.run(["rm", "-rf", "--one-file-system", str(jail)], check=True)


@pytest.mark.parametrize("seed", range(5))
def test_the_server_killed_at_any_moment_is_connected_to_again(host: FarHost, source: Store, seed: int) -> None:
    bundle = make_bundle(source, SIZES)
    chance = random.Random(seed)
    killer = Killing((chance.randrange(TOTAL) for _ in range(3)), lambda: kill_connection(host.server, chance))
    push_under_kills(host.sftp_store(), source, bundle, killer)
    finish(host, source, bundle)


@pytest.mark.parametrize("seed", range(5))
def test_our_side_killed_at_any_moment_is_gone_on_with(host: FarHost, source: Store, tmp_path: Path, seed: int) -> None:
    bundle = make_bundle(source, SIZES)
    chance = random.Random(seed)
    far = tmp_path / "far"
    for _ in range(2):
        killed_push(host, source, chance.randrange(1, TOTAL // 3), door=SFTP)
        assert_sound(far)
        assert listed_names(far) == []
    arrived = sum(partials(far).values()) + sum(path.stat().st_size for path in (far / "blobs/sha256").iterdir())
    for lease in (far / "leases").iterdir():  # a dead one of this machine stops no one; its file stays until a gc
        lease.unlink()
    assert finish(host, source, bundle) <= TOTAL - arrived + 200_000


def test_two_pushes_at_once_both_end_well(host: FarHost, source: Store, tmp_path: Path) -> None:
    one = make_bundle(source, [9 * MEGABYTE, *[4000] * 30])
    errors: list[BaseException] = []

    def run() -> None:
        argv = [sys.executable, "-m", "bundler", "push", "demo", str(host.destination()), "--door", "sftp"]
        argv += ["--store", str(source.root), "--ssh-config", str(host.server.config), "-q"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            errors.append(AssertionError(done.stderr))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    far = tmp_path / "far"
    assert assert_sound(far) == 36
    assert Store.open(far).bundles() == (one,)


def test_a_dead_push_s_lock_is_taken_over(host: FarHost, source: Store, tmp_path: Path) -> None:
    bundle = make_bundle(source, SIZES)
    finish(host, source, bundle)
    code = "import json; from bundler.core.owner import Owner; print(json.dumps(Owner.me().to_json()))"
    dead = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    (tmp_path / "far/index.lock").write_text(dead)
    (tmp_path / "far/index.json").write_text('{"schemaVersion": 2, "manifests": []}')
    finish(host, source, bundle)
    assert not list((tmp_path / "far").glob("index.lock*"))


def test_a_connection_that_breaks_under_the_index_s_lock_keeps_no_one_out(
    host: FarHost, source: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = make_bundle(source, SIZES)
    replace, broken = SftpLayout.replace, []

    def breaking(layout: SftpLayout, path: str, data: bytes, mode: int = 0o644) -> None:
        if path == layout.index and not broken:
            broken.append(path)
            layout._sftp.abandon()
            raise WireBroken("reset", 255, greeted=True)
        replace(layout, path, data, mode)

    monkeypatch.setattr(SftpLayout, "replace", breaking)
    finish(host, source, bundle)
    assert broken
    assert not list((tmp_path / "far").glob("index.lock*"))


def test_a_dead_push_s_lease_goes_with_the_next_push(host: FarHost, tmp_path: Path) -> None:
    leases = tmp_path / "far" / "leases"
    leases.mkdir(parents=True)
    (leases / f"push.{Owner.me().machine[:8]}-00000000-1-1.7").write_text("{}")
    (leases / "push.elsewher-00000000-1-1.7").write_text("{}")
    with closing(host.sftp_store()) as remote:
        remote.survey()
    assert [path.name for path in leases.iterdir()] == ["push.elsewher-00000000-1-1.7"]


def test_what_a_push_through_a_shell_left_in_ranges_goes_once_no_one_can_be_writing_it(
    host: FarHost, source: Store, tmp_path: Path
) -> None:
    """It takes as much of the host's disk as the blob, and nothing that comes by SFTP could go on with it."""
    bundle = make_bundle(source, SIZES)
    partial = tmp_path / "far" / "partial"
    partial.mkdir(parents=True)
    dead, elsewhere = f"{Owner.me().machine[:8]}-00000000-1-1", "elsewher-00000000-1-1"
    old, young, ours = "a" * 64, "b" * 64, "c" * 64
    for hex_, owner in ((old, elsewhere), (young, elsewhere), (ours, dead)):
        (partial / f"split-{hex_}.{owner}").write_bytes(b"x" * 1000)
        (partial / f"ranges-{hex_}-{owner}.{owner}").write_text("0 10\n")
    yesterday = partial.stat().st_mtime - 90_000
    for path in partial.glob(f"*{old}*"):
        os.utime(path, (yesterday, yesterday))
    (partial / f"split-{young}.{elsewhere}").touch()
    os.utime(partial / f"ranges-{young}-{elsewhere}.{elsewhere}", (yesterday, yesterday))
    push_to_the_end(host.sftp_store(), source, bundle, blobs=len(SIZES) + 5)
    assert {path.name for path in partial.iterdir()} == {
        f"split-{young}.{elsewhere}",
        f"ranges-{young}-{elsewhere}.{elsewhere}",
    }, "its writer may live"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def test_a_host_that_fills_up_meanwhile_is_told_and_gone_on_with(host: FarHost, source: Store, small: Path) -> None:
    """SFTP has no code for a full disk: it says "failure"."""
    bundle = make_bundle(source, [4 * MEGABYTE, 3 * MEGABYTE, 4000])
    filler = small / "filler"
    with closing(host.sftp_store("small/far")) as remote:
        remote.survey()
        filler.write_bytes(bytes(13 * MEGABYTE))  # what is left takes less than the blobs
        with pytest.raises(RemoteNoSpace) as error:
            remote.send(source, [one for one in closure(source, bundle.root) if one.blob.size > 1000], Silence())
    assert error.value.exit_code == 15
    assert_sound(small / "far")
    filler.unlink()
    with closing(host.sftp_store("small/far")) as remote:
        push(source, bundle, remote, Silence())
    assert_sound(small / "far")


def test_a_directory_that_can_t_be_made_is_told_with_its_name(host: FarHost, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with closing(host.sftp_store("file/far")) as remote, pytest.raises(RemoteRefused) as error:
        remote.survey()
    assert f"{tmp_path}/file" in str(error.value.because)


def test_what_is_damaged_here_gets_no_name_there(host: FarHost, source: Store, tmp_path: Path) -> None:
    """No one there hashes it, so it is hashed here while it goes."""
    bundle = make_bundle(source, [3 * MEGABYTE])
    largest = max(source.blobs.iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[1234] ^= 1
    largest.chmod(0o644)
    largest.write_bytes(data)
    with closing(host.sftp_store()) as remote, pytest.raises(SourceDamaged) as error:
        push(source, bundle, remote, Silence())
    assert error.value.exit_code == 12
    assert_sound(tmp_path / "far")


def test_recheck_reads_back_what_is_there_and_mends_it(host: FarHost, source: Store, tmp_path: Path) -> None:
    bundle = make_bundle(source, SIZES)
    finish(host, source, bundle)
    spoiled = max((tmp_path / "far/blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(spoiled.read_bytes())
    data[12345] ^= 1
    spoiled.chmod(0o644)
    spoiled.write_bytes(data)
    with closing(host.sftp_store()) as remote:
        mended = push(source, bundle, remote, Silence(), recheck=True)
    assert mended.sent == Tally(1, 12 * MEGABYTE)
    assert_sound(tmp_path / "far")


HOSTILE = """
import struct, sys
def packet(kind, body): return struct.pack(">IB", len(body) + 1, kind) + body
out = sys.stdout.buffer
sys.stdin.buffer.read(9)
out.write(packet(2, struct.pack(">I", 3))); out.flush()
head = sys.stdin.buffer.read(9)
number = head[5:9]
out.write({answer}); out.flush()
sys.stdin.buffer.read()
"""


@pytest.mark.parametrize(
    "answer",
    [
        "packet(104, number + struct.pack('>I', 4_000_000_000))",  # names without end
        "packet(104, number + struct.pack('>II', 1, 99))",  # a string longer than its packet
        "struct.pack('>I', 0xffffffff) + b'x' * 100",  # a packet of 4 GiB
        "struct.pack('>I', 0) + b'x' * 100",  # a packet of nothing
        "packet(103, number + struct.pack('>I', 3) + b'abc')",  # data where names were asked for
        "packet(101, number)",  # a status without a code
        "packet(101, b'')",  # an answer to nothing
    ],
)
def test_what_a_hostile_server_sends_ends_the_conversation_and_nothing_else(answer: str) -> None:
    launch = Launch((sys.executable, "-c", HOSTILE.replace("{answer}", answer)))
    sftp = Sftp(launch, stall=10)
    try:
        with pytest.raises((WireBroken, Malformed)):
            sftp.realpath(".")
    finally:
        sftp.abandon()


def test_names_that_lead_elsewhere_are_not_believed() -> None:
    """A listing is of one directory: what has a slash in it is no name."""
    names = b"".join(
        struct.pack(">I", len(name)) + name + struct.pack(">I", 0) + struct.pack(">I", 0)
        for name in (b"../../etc/passwd", b"..", b"good")
    )
    answers = (
        "packet(102, number + struct.pack('>I', 1) + b'h')); out.flush()\n"
        "head = sys.stdin.buffer.read(4 + 1 + 4 + 4 + 1)\n"
        f"body = {names!r}\n"
        "out.write(packet(104, head[5:9] + struct.pack('>I', 3) + body)); out.flush()\n"
        "head = sys.stdin.buffer.read(4 + 1 + 4 + 4 + 1)\n"
        "out.write(packet(101, head[5:9] + struct.pack('>I', 1))); out.flush()\n"
        "head = sys.stdin.buffer.read(4 + 1 + 4 + 4 + 1)\n"
        "out.write(packet(101, head[5:9] + struct.pack('>I', 0))"
    )
    script = HOSTILE.replace("read(9)\nnumber", "read(4 + 1 + 4 + 4 + 1)\nnumber").replace("{answer}", answers)
    sftp = Sftp(Launch((sys.executable, "-c", script)), stall=10)
    try:
        assert list(sftp.listing("x")) == ["good"]
    finally:
        sftp.abandon()


def test_a_warning_names_what_is_lost_by_this_door(host: FarHost, source: Store) -> None:
    recorder = Recorder()
    bundle = make_bundle(source, [5000])
    with closing(any_door(host.destination(), recorder)) as remote:
        push(source, bundle, remote, recorder)
    (warning,) = (event.text for event in recorder.events if isinstance(event, Warned))
    assert "nothing there hashes what arrives" in warning
