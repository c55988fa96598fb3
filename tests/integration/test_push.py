"""`push` to a real sshd: what arrives, what is not sent twice, what is listed, and in which order."""

from __future__ import annotations

import json
import random
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bundler.core.digest import Digest
from bundler.core.errors import BundlerError
from bundler.core.events import BytesMoved, Silence, StepEnded, StepStarted
from bundler.core.owner import Owner
from bundler.operations.push import BundleIncomplete, PushResult, push
from bundler.store.layout import BundleEntry, Store
from bundler.transport import receipts
from bundler.transport.destination import Destination
from bundler.transport.openssh_client import OpenSshClient
from bundler.transport.receipts import Tally
from bundler.transport.remote_errors import SourceDamaged
from bundler.transport.shell_store import ShellStore
from bundler.transport.wire import Launch
from scripts.world.sshd import SshServer
from tests.bundles import AGENT_BYTES, make_bundle
from tests.far_host import FarHost, Recorder, assert_sound, listed_names, partials

pytestmark = pytest.mark.usefixtures("state")
MEGABYTE = 1_000_000


@pytest.fixture
def pushed(host: FarHost, source: Store) -> Callable[..., PushResult]:
    def run(bundle: BundleEntry, directory: str = "far", **options: bool) -> PushResult:
        with closing(host.store(directory)) as remote:
            return push(source, bundle, remote, Silence(), **options)

    return run


Pushed = Callable[..., PushResult]


def test_a_bundle_arrives_whole_and_the_second_push_sends_nothing(
    pushed: Pushed, source: Store, tmp_path: Path
) -> None:
    bundle = make_bundle(source, [3 * MEGABYTE, 2 * MEGABYTE, 5000, 0])
    first = pushed(bundle)
    assert first.sent.blobs == assert_sound(tmp_path / "far") == 9
    assert first.moved == first.sent.bytes > 5 * MEGABYTE
    assert first.present == Tally(0, 0)
    assert first.directory == str(tmp_path / "far")
    second = pushed(bundle)
    assert second.sent == Tally(0, 0)
    assert second.moved == 0
    assert second.present == first.sent
    assert Store.open(tmp_path / "far").bundles() == (bundle,)
    assert (tmp_path / "far" / "bundle").read_bytes() == AGENT_BYTES


def test_standard_tools_read_what_arrived(pushed: Pushed, source: Store, tmp_path: Path) -> None:
    pushed(make_bundle(source))
    done = subprocess.run(
        ["skopeo", "inspect", "--raw", f"oci:{tmp_path}/far:demo:1.0.0/base"], capture_output=True, check=True
    )
    assert json.loads(done.stdout)["artifactType"] == "application/vnd.cncf.model.manifest.v1+json"


@pytest.mark.parametrize("name", ["two words", "ümläut 数据/deeper", 'it\'s "quoted" $HOME `id`;x', "-dash"])
def test_a_directory_may_have_any_name(pushed: Pushed, source: Store, tmp_path: Path, name: str) -> None:
    bundle = make_bundle(source)
    assert pushed(bundle, name).directory == str(tmp_path / name)
    assert pushed(bundle, name).sent == Tally(0, 0)
    assert_sound(tmp_path / name)


def test_a_relative_directory_lies_in_the_login_s_home(sshd: SshServer, source: Store) -> None:
    name = f".bundle-test-{random.getrandbits(64):x}"
    with closing(ShellStore(OpenSshClient(Destination(sshd.alias, name, config=sshd.config)))) as remote:
        result = push(source, make_bundle(source), remote, Silence())
    try:
        assert Path(result.directory).parent == Path.home()
        assert_sound(Path(result.directory))
    finally:
        subprocess.run(["rm", "-rf", "--", result.directory], check=True)


def test_what_bundles_share_is_sent_once_and_both_are_listed(pushed: Pushed, source: Store, tmp_path: Path) -> None:
    one = make_bundle(source, [MEGABYTE, 1000], name="one:1")
    two = make_bundle(source, [MEGABYTE, 2000], name="two:1")
    pushed(one)
    second = pushed(two)
    assert second.sent.bytes < 100_000
    assert second.present.bytes > MEGABYTE
    assert listed_names(tmp_path / "far") == ["one:1", "one:1/base", "two:1", "two:1/base"]


def test_many_small_blobs_do_not_each_pay_for_a_connection(host: FarHost, source: Store, tmp_path: Path) -> None:
    bundle = make_bundle(source, [4096] * 500)
    logins: list[str] = []

    class Counting(OpenSshClient):
        def command(self, words: str) -> Launch:
            logins.append(words)
            return super().command(words)

    with closing(ShellStore(Counting(host.destination()), streams=4)) as remote:
        result = push(source, bundle, remote, Silence())
    assert result.sent.blobs == assert_sound(tmp_path / "far") == 505
    assert len(logins) <= 4


def test_the_events_add_up_and_stand_between_start_and_end(host: FarHost, source: Store) -> None:
    bundle = make_bundle(source, [5 * MEGABYTE, MEGABYTE, 4000])
    recorder = Recorder()
    with closing(host.store()) as remote:
        result = push(source, bundle, remote, recorder)
    assert recorder.events[0] == StepStarted("push", result.sent.bytes)
    assert recorder.moved == result.sent.bytes
    assert {event.item for event in recorder.events if isinstance(event, BytesMoved)} > {"lock", "agent"}
    assert recorder.events[-1] == StepEnded("push", "8 blobs sent, 0 were there")


def test_a_receipt_says_what_the_host_verified(
    pushed: Pushed, host: FarHost, source: Store, state: Path, tmp_path: Path
) -> None:
    bundle = make_bundle(source)
    first, second = pushed(bundle), pushed(bundle)
    assert first.receipt.parent == state / "bundle" / "receipts"
    receipt = receipts.read(first.receipt)
    assert (receipt.host, receipt.directory) == (host.server.alias, str(tmp_path / "far"))
    assert (receipt.bundle, receipt.root) == ("demo:1.0.0", bundle.root.digest)
    assert (receipt.verified, receipt.present) == (first.sent, Tally(0, 0))
    fingerprint = subprocess.run(
        ["ssh-keygen", "-lf", f"{host.server.host_key}.pub"], capture_output=True, text=True, check=True
    ).stdout.split()[1]
    assert receipt.host_keys == (fingerprint,)
    assert receipts.read(second.receipt).verified == Tally(0, 0)
    assert len(receipts.listed().receipts) == 2


def test_recheck_finds_and_mends_what_changed_on_the_host(pushed: Pushed, source: Store, tmp_path: Path) -> None:
    bundle = make_bundle(source, [2 * MEGABYTE, MEGABYTE, 4000])
    first = pushed(bundle)
    spoiled = max((tmp_path / "far/blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(spoiled.read_bytes())
    data[12345] ^= 1
    spoiled.chmod(0o644)
    spoiled.write_bytes(data)
    assert pushed(bundle).sent == Tally(0, 0)  # by its length it is whole
    mended = pushed(bundle, recheck=True)
    assert mended.sent == Tally(1, 2 * MEGABYTE)
    assert receipts.read(mended.receipt).verified == first.sent
    assert assert_sound(tmp_path / "far") == first.sent.blobs


def test_a_bundle_that_is_not_whole_here_is_refused_before_the_host_is_asked(source: Store) -> None:
    bundle = make_bundle(source, [MEGABYTE, 4000])
    next(path for path in source.blobs.iterdir() if path.stat().st_size == MEGABYTE).unlink()
    nowhere = ShellStore(OpenSshClient(Destination("nowhere.invalid", "/far")))
    with pytest.raises(BundleIncomplete) as error:
        push(source, bundle, nowhere, Silence())
    assert "model base: part-00000.safetensors (sha256:" in error.value.what
    assert error.value.exit_code == 12


def test_wrong_bytes_of_ours_get_no_name_there_and_the_artifact_is_named(
    pushed: Pushed, source: Store, tmp_path: Path
) -> None:
    bundle = make_bundle(source, [3 * MEGABYTE, 2 * MEGABYTE])
    path = next(path for path in source.blobs.iterdir() if path.stat().st_size == 2 * MEGABYTE)
    data = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(b"?" + data[1:])
    with pytest.raises(SourceDamaged) as error:
        pushed(bundle)
    assert error.value.what.startswith(f"model base: part-00001.safetensors is damaged in {source.root}")
    assert not (tmp_path / "far/blobs/sha256" / path.name).exists()
    assert listed_names(tmp_path / "far") == []
    path.write_bytes(data)
    pushed(bundle)
    assert assert_sound(tmp_path / "far") == 7


def test_two_pushes_at_once_end_well(host: FarHost, source: Store, tmp_path: Path) -> None:
    same = make_bundle(source, [6 * MEGABYTE, 4 * MEGABYTE, *[4000] * 50], name="same:1")
    other = make_bundle(source, [6 * MEGABYTE, 3 * MEGABYTE, *[5000] * 50], name="other:1")
    results: list[PushResult] = []
    errors: list[BundlerError] = []
    ready = threading.Barrier(4)

    def run(bundle: BundleEntry) -> None:
        try:
            with closing(host.store(streams=2)) as remote:
                ready.wait(30)
                results.append(push(source, bundle, remote, Silence()))
        except BundlerError as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(bundle,)) for bundle in (same, same, other, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert errors == []
    assert len(results) == 4
    assert_sound(tmp_path / "far")
    assert listed_names(tmp_path / "far") == ["other:1", "other:1/base", "same:1", "same:1/base"]
    assert partials(tmp_path / "far") == {}


def test_pushes_of_many_bundles_at_once_are_all_listed(host: FarHost, source: Store, tmp_path: Path) -> None:
    bundles = [make_bundle(source, [1000 + number], name=f"b{number}:1") for number in range(6)]

    def run(bundle: BundleEntry) -> None:
        with closing(host.store(streams=1)) as remote:
            push(source, bundle, remote, Silence())

    threads = [threading.Thread(target=run, args=(bundle,)) for bundle in bundles]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert [name for name in listed_names(tmp_path / "far") if "/" not in name] == [f"b{n}:1" for n in range(6)]


def test_the_index_is_written_after_all_that_it_names(host: FarHost, source: Store, tmp_path: Path) -> None:
    bundle = make_bundle(source, [8 * MEGABYTE] * 4)
    seen: list[bool] = []

    class Watching(Recorder):
        def emit(self, event: object) -> None:
            if isinstance(event, BytesMoved):
                seen.append(bool(listed_names(tmp_path / "far")))

    with closing(host.store()) as remote:
        push(source, bundle, remote, Watching())
    assert seen
    assert not any(seen)
    assert listed_names(tmp_path / "far") == ["demo:1.0.0", "demo:1.0.0/base"]


@pytest.fixture
def chatty(tmp_path: Path) -> Iterator[SshServer]:
    """A host whose profile prints, as scp and rsync can't bear."""
    command = 'ForceCommand echo Welcome to the intranet; echo; sh -c "$SSH_ORIGINAL_COMMAND"'
    with SshServer(tmp_path / "chatty", options=(command,), tied=True) as server:
        yield server


def test_a_login_that_prints_is_no_hindrance(chatty: SshServer, source: Store, tmp_path: Path) -> None:
    with closing(FarHost(chatty, tmp_path).store()) as remote:
        push(source, make_bundle(source, [MEGABYTE]), remote, Silence())
    assert_sound(tmp_path / "far")


def test_a_push_that_was_cut_short_goes_on_behind_what_had_arrived(
    host: FarHost, source: Store, tmp_path: Path
) -> None:
    bundle = make_bundle(source, [20 * MEGABYTE])
    big = next(path for path in source.blobs.iterdir() if path.stat().st_size == 20 * MEGABYTE)
    far = Store.create(tmp_path / "far")
    machine = Owner.me().machine[:8]
    (far.partial / f"{big.name}.{machine}-00000000-7-7").write_bytes(big.read_bytes()[: 15 * MEGABYTE])
    recorder = Recorder()
    with closing(host.store()) as remote:
        result = push(source, bundle, remote, recorder)
    assert result.moved == result.sent.bytes - 15 * MEGABYTE
    assert recorder.moved == result.sent.bytes
    assert assert_sound(tmp_path / "far") == result.sent.blobs


def test_a_flipped_byte_in_what_had_arrived_costs_a_second_sending_and_nothing_else(
    host: FarHost, source: Store, tmp_path: Path
) -> None:
    bundle = make_bundle(source, [4 * MEGABYTE])
    big = next(path for path in source.blobs.iterdir() if path.stat().st_size == 4 * MEGABYTE)
    far = Store.create(tmp_path / "far")
    machine = Owner.me().machine[:8]
    begun = bytearray(big.read_bytes()[: 3 * MEGABYTE])
    begun[MEGABYTE] ^= 0x10
    (far.partial / f"{big.name}.{machine}-00000000-7-7").write_bytes(begun)
    with closing(host.store()) as remote:
        result = push(source, bundle, remote, Silence())
    assert result.moved == result.sent.bytes + MEGABYTE
    assert assert_sound(tmp_path / "far") == result.sent.blobs
    assert Digest.of_file(far.path(Digest(big.name))).hex == big.name
