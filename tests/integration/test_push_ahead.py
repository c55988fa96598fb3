"""What can be known before a push, and what holds during it: --dry-run, --limit, new host keys, lengths of files."""

from __future__ import annotations

import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bundler.core.events import Silence
from bundler.core.size import format_size
from bundler.operations.push import push
from bundler.operations.push_plan import plan_push
from bundler.store.layout import Store
from bundler.transport import receipts
from bundler.transport.directory_store import DirectoryStore
from bundler.transport.limit import Limit
from bundler.transport.openssh_client import OpenSshClient
from bundler.transport.remote_errors import RemoteFileTooLarge
from bundler.transport.remote_store import RemoteStore
from bundler.transport.shell_store import ShellStore
from scripts.world.sshd import SshServer
from tests.bundles import make_bundle
from tests.commandline import Bundle, refusal
from tests.far_host import FarHost, assert_sound

pytestmark = pytest.mark.usefixtures("state")
MEGABYTE = 1_000_000


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return Bundle({"XDG_STATE_HOME": str(tmp_path / "state")})


@pytest.fixture(params=["shell", "directory"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], RemoteStore]]:
    made: list[RemoteStore] = []

    def open_one() -> RemoteStore:
        if request.param == "shell":
            made.append(FarHost(request.getfixturevalue("sshd"), tmp_path).store("deep/er/far"))
        else:
            made.append(DirectoryStore(tmp_path / "deep/er/far"))
        return made[-1]

    yield open_one
    for remote in made:
        remote.close()


def snapshot(root: Path) -> dict[str, tuple[int, int]]:
    """All that lies under a directory, with what would tell that it was touched."""
    found = (path.lstat() for path in [root, *root.rglob("*")] if path.exists())
    return {str(one.st_ino): (one.st_mtime_ns, one.st_size) for one in found}


def test_a_dry_run_says_exactly_what_the_push_then_sends_and_changes_nothing(
    opened: Callable[[], RemoteStore], source: Store, tmp_path: Path
) -> None:
    bundle = make_bundle(source, [3 * MEGABYTE, MEGABYTE, 5000])
    plan = plan_push(source, bundle, opened(), Silence())
    assert not (tmp_path / "deep").exists()
    assert plan.free
    first = push(source, bundle, opened(), Silence())
    assert (len(plan.parcels), plan.bytes) == (first.sent.blobs, first.moved)
    far = Path(first.directory)
    largest = max((far / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    begun = far / "partial" / f"{largest.name}.abcdefab-00000000-1-1"
    begun.write_bytes(largest.read_bytes()[:MEGABYTE])
    largest.unlink()
    before = snapshot(far)
    again = plan_push(source, bundle, opened(), Silence())
    assert snapshot(far) == before
    assert [(parcel.digest, parcel.size) for parcel in again.parcels] == [(f"sha256:{largest.name}", 3 * MEGABYTE)]
    assert again.parcels[0].label
    assert again.present.blobs == first.sent.blobs - 1


def test_how_fast_the_way_is_is_tried_over_the_same_door(host: FarHost, source: Store) -> None:
    bundle = make_bundle(source, [MEGABYTE])
    with closing(host.store(streams=2)) as remote:
        plan = plan_push(source, bundle, remote, Silence())
    assert plan.rate
    assert plan.rate.source == "measured just now"
    assert plan.rate.bytes_per_second > 0
    assert plan.seconds == pytest.approx(plan.bytes / plan.rate.bytes_per_second)


def test_where_nothing_can_be_tried_the_last_push_to_that_host_tells(source: Store, tmp_path: Path) -> None:
    bundle = make_bundle(source, [MEGABYTE])
    remote = DirectoryStore(tmp_path / "far")
    assert plan_push(source, bundle, remote, Silence()).rate is None
    written = push(source, bundle, remote, Silence()).receipt
    receipts.write(receipts.Receipt(**{**_fields(receipts.read(written)), "rate": 1234}))
    plan = plan_push(source, bundle, DirectoryStore(tmp_path / "other"), Silence())
    assert plan.rate
    assert plan.rate.bytes_per_second == 1234
    assert plan.seconds == pytest.approx(plan.bytes / 1234)


def _fields(receipt: receipts.Receipt) -> dict[str, object]:
    return {name: getattr(receipt, name) for name in receipt.__dataclass_fields__}


def test_a_limit_holds_for_all_connections_together(host: FarHost, source: Store) -> None:
    bundle = make_bundle(source, [2 * MEGABYTE, 2 * MEGABYTE, 1_500_000, 500_000])
    rate = 4 * MEGABYTE
    limit = Limit(rate)
    began = time.monotonic()
    with closing(ShellStore(OpenSshClient(host.destination()), streams=3, limit=limit)) as remote:
        done = push(source, bundle, remote, Silence())
    assert time.monotonic() - began >= (done.moved - limit.burst) / rate
    assert_sound(Path(done.directory))


def test_a_limit_slower_than_the_watchdog_s_patience_is_not_taken_for_a_stall(host: FarHost, source: Store) -> None:
    """What may go at once goes every four seconds. A login, which is to be done within the patience, is faster."""
    bundle = make_bundle(source, [30_000])
    with closing(ShellStore(OpenSshClient(host.destination()), stall=3.0, limit=Limit(4_000))) as remote:
        done = push(source, bundle, remote, Silence())
    assert_sound(Path(done.directory))


def test_a_new_host_s_key_is_taken_and_remembered_when_that_is_asked_for_and_a_changed_one_never(
    bundle: Bundle, source: Store, tmp_path: Path
) -> None:
    make_bundle(source, [5000])
    with SshServer(tmp_path / "one") as server:
        known = server.known_hosts.read_text()
        server.known_hosts.write_text("")
        words = ("push", "demo", f"{server.alias}:{tmp_path / 'far'}", "--store", source.root)
        words = (*words, "--ssh-config", server.config)
        refused = bundle(*words, check=False)
        assert refused.code == 14
        assert "--accept-new-host-key" in refusal(refused)
        assert not server.known_hosts.read_text()
        bundle(*words, "--accept-new-host-key")
        key = known.split()[1:3]
        assert key[1] in server.known_hosts.read_text()
        bundle(*words)
        other = tmp_path / "other"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
        swapped = server.known_hosts.read_text().replace(key[1], other.with_suffix(".pub").read_text().split()[1])
        server.known_hosts.write_text(swapped)
        for flags in ((), ("--accept-new-host-key",)):
            changed = bundle(*words, *flags, check=False)
            assert changed.code == 14
            assert "CHANGED" in refusal(changed)
        assert server.known_hosts.read_text() == swapped


def test_a_host_that_takes_no_file_of_that_length_is_refused_before_a_byte_is_sent(
    source: Store, tmp_path: Path
) -> None:
    """A limit on lengths stands for FAT32: ulimit -f, as the login's own profile would set it."""
    bundle = make_bundle(source, [5000])
    huge = (2 << 30) + 5
    with SshServer(tmp_path / "sshd") as server:
        daemon = server.daemon.mark()
        assert daemon
        resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))
        host = FarHost(server, tmp_path)
        with closing(host.store()) as remote:
            remote.survey()
            with pytest.raises(RemoteFileTooLarge) as error:
                remote._check_lengths(huge)
            assert format_size(huge) in error.value.what
            assert error.value.exit_code == 13
            remote._check_lengths(1 << 29)
            push(source, bundle, remote, Silence())
    with closing(DirectoryStore(tmp_path / "far")) as other:
        assert not list((tmp_path / "far/partial").iterdir())
        assert other.look().has(bundle.root)


def test_the_command_shows_the_plan_and_the_receipts(
    bundle: Bundle, host: FarHost, source: Store, tmp_path: Path
) -> None:
    made = make_bundle(source, [3 * MEGABYTE, 5000])
    words = ("push", "demo", str(host.destination()), "--store", source.root, "--ssh-config", host.server.config)
    shown = bundle(*words, "--dry-run").out
    assert "part-00000.safetensors" in shown
    assert "measured just now" in shown
    plan = bundle(*words, "--dry-run", "-o", "json", "--limit", "1MB/s").json
    assert plan["rate"] == {"bytes_per_second": 1_000_000, "source": "the limit of 1.0 MB/s"}
    assert plan["bytes"] == sum(one["bytes"] for one in plan["to_send"])
    assert bundle("receipts").out.startswith("no receipts in ")
    bundle(*words)
    assert bundle(*words, "--dry-run").out.startswith("demo:1.0.0 to ")
    (receipt,) = bundle("receipts", "demo", "-o", "json").json["receipts"]
    assert receipt["root"] == str(made.root.digest)
    assert sorted(receipt["hashed"]) == receipt["blobs"]
    assert receipt["host_keys"]
    assert receipt["file"] in bundle("receipts").out
    assert bundle("receipts", "other", "-o", "json").json["receipts"] == []
    exported = bundle(
        "export", "demo", tmp_path, "--store", source.root, "--since", receipt["file"], "--dry-run", "-o", "json"
    )
    assert exported.code == 0
