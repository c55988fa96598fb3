"""One contract for every remote store: OpenSSH and paramiko to a real sshd, and a directory of this machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bundler.core.digest import Digest
from bundler.core.events import BytesMoved, Event, Silence
from bundler.core.owner import Owner
from bundler.manifest.lock import Lock
from bundler.store.closure import Member, closure
from bundler.store.layout import BundleEntry, Store
from bundler.store.leases import LEASES
from bundler.transport.directory_store import DirectoryStore
from bundler.transport.remote_errors import RemoteIncomplete, SourceDamaged
from bundler.transport.remote_store import RemoteStore
from bundler.transport.shell_store import ShellStore
from scripts.world.sshd import SshServer
from tests.bundles import AGENT_BYTES, make_bundle
from tests.far_host import FarHost, assert_sound, listed_names, paramiko_client

Open = Callable[[], RemoteStore]


@pytest.fixture
def far(tmp_path: Path) -> Path:
    return tmp_path / "far"


@pytest.fixture(params=["openssh", "paramiko", "sftp", "directory"])
def remote(request: pytest.FixtureRequest, far: Path) -> Iterator[RemoteStore]:
    made: RemoteStore
    if request.param == "sftp":
        made = FarHost(request.getfixturevalue("sftp_only"), far.parent).sftp_store()
    elif request.param != "directory":
        host = FarHost(request.getfixturevalue("sshd"), far.parent)
        made = host.store() if request.param == "openssh" else ShellStore(paramiko_client(host), streams=2)
    else:
        made = DirectoryStore(far)
    yield made
    made.close()


@pytest.fixture(scope="module")
def sftp_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with SshServer(tmp_path_factory.mktemp("sftp"), options=("ForceCommand internal-sftp",)) as server:
        yield server


@pytest.fixture
def bundle(source: Store) -> BundleEntry:
    return make_bundle(source, [300_000, 5_000, 0])


@pytest.fixture
def members(source: Store, bundle: BundleEntry) -> tuple[Member, ...]:
    return closure(source, bundle.root)


class Moves:
    """Adds up the bytes that are said to have moved, by label."""

    def __init__(self) -> None:
        self.of: dict[str, int] = {}

    def emit(self, event: Event) -> None:
        if isinstance(event, BytesMoved):
            self.of[event.item] = self.of.get(event.item, 0) + event.count


NO_ONE = Silence()
AGENT = Digest.of(AGENT_BYTES)


def test_a_survey_makes_an_empty_store_that_standard_tools_accept(remote: RemoteStore, far: Path) -> None:
    holdings = remote.survey()
    assert dict(holdings.whole) == {}
    assert dict(holdings.begun) == {}
    assert holdings.free_bytes
    assert holdings.free_inodes is None or holdings.free_inodes > 0
    assert json.loads((far / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    assert Store.open(far).index() == ()
    assert remote.place.directory == str(far)
    assert remote.survey() is not holdings


def test_a_survey_of_a_store_that_is_there_changes_nothing_but_leases_it(remote: RemoteStore, far: Path) -> None:
    def kept() -> dict[Path, int]:
        files = (path for path in far.rglob("*") if path.is_file() and path.parent.name != LEASES)
        return {path: path.stat().st_mtime_ns for path in files}

    entry = make_bundle(Store.create(far), [1000])
    before = kept()
    holdings = remote.survey()
    assert holdings.has(entry.root)
    assert before == kept()


def test_what_is_sent_is_there_whole_and_read_only(
    remote: RemoteStore, source: Store, members: tuple[Member, ...], far: Path
) -> None:
    remote.survey()
    moves = Moves()
    assert remote.send(source, members, moves) == sum(member.blob.size for member in members)
    assert assert_sound(far) == len(members)
    assert {path.stat().st_mode & 0o777 for path in (far / "blobs/sha256").iterdir()} == {0o444}
    assert all(remote.survey().has(member.blob) for member in members)
    assert list((far / "partial").iterdir()) == []
    assert {label: count for label, count in moves.of.items() if count} == {
        member.label: member.blob.size for member in members if member.blob.size
    }


def test_sending_nothing_is_no_fault(remote: RemoteStore, source: Store) -> None:
    remote.survey()
    assert remote.send(source, (), NO_ONE) == 0


def test_what_is_begun_is_gone_on_with(
    remote: RemoteStore, source: Store, members: tuple[Member, ...], far: Path
) -> None:
    remote.survey()
    largest = max(members, key=lambda member: member.blob.size)
    begun = source.path(largest.blob.digest).read_bytes()[:200_000]
    abandon(far, largest, begun)
    holdings = remote.survey()
    assert dict(holdings.begun) == {largest.blob.digest: 200_000}
    moves = Moves()
    assert remote.send(source, [largest], moves) == largest.blob.size - 200_000
    assert moves.of == {largest.label: largest.blob.size}
    assert assert_sound(far) == 1


@pytest.mark.parametrize("spoil", [lambda data: b"X" + data[1:], lambda data: data * 3])
def test_what_is_begun_and_wrong_is_sent_again(
    remote: RemoteStore, source: Store, members: tuple[Member, ...], far: Path, spoil: Callable[[bytes], bytes]
) -> None:
    remote.survey()
    largest = max(members, key=lambda member: member.blob.size)
    abandon(far, largest, spoil(source.path(largest.blob.digest).read_bytes()[:200_000]))
    remote.survey()
    remote.send(source, [largest], NO_ONE)
    assert assert_sound(far) == 1
    assert list((far / "partial").iterdir()) == []


def abandon(far: Path, member: Member, data: bytes) -> None:
    """What a process of an earlier boot of this machine left of a blob."""
    machine = Owner.me().machine[:8]
    (far / "partial" / f"{member.blob.digest.hex}.{machine}-00000000-1-1").write_bytes(data)


@pytest.mark.parametrize("damage", ["flipped", "shorter", "missing"])
def test_a_blob_that_is_damaged_here_gets_no_name_there_and_is_named_as_the_user_knows_it(
    remote: RemoteStore, source: Store, members: tuple[Member, ...], far: Path, damage: str
) -> None:
    remote.survey()
    bad = next(member for member in members if member.blob.size == 300_000)
    path = source.path(bad.blob.digest)
    data = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(data[:-1] + (b"?" if damage == "flipped" else b""))
    with pytest.raises(SourceDamaged) as error:
        remote.send(source, members, NO_ONE)
    assert error.value.what.startswith("model base: part-00000.safetensors is damaged in ")
    assert error.value.exit_code == 12
    assert not (far / "blobs/sha256" / bad.blob.digest.hex).exists()
    assert_sound(far)


def test_after_a_failure_the_same_remote_store_can_be_used_again(
    remote: RemoteStore, source: Store, members: tuple[Member, ...], far: Path
) -> None:
    remote.survey()
    path = source.path(members[-1].blob.digest)
    data = path.read_bytes()
    path.unlink()
    with pytest.raises(SourceDamaged):
        remote.send(source, members, NO_ONE)
    path.write_bytes(data)
    holdings = remote.survey()
    remote.send(source, [member for member in members if not holdings.has(member.blob)], NO_ONE)
    assert assert_sound(far) == len(members)


def test_damage_there_is_found_only_by_reading(
    remote: RemoteStore, source: Store, members: tuple[Member, ...], far: Path
) -> None:
    remote.survey()
    remote.send(source, members, NO_ONE)
    bad = max(members, key=lambda member: member.blob.size)
    path = far / "blobs/sha256" / bad.blob.digest.hex
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    assert remote.survey().has(bad.blob)
    assert remote.damaged(members, NO_ONE) == (bad,)
    remote.send(source, [bad], NO_ONE)
    assert remote.damaged(members, NO_ONE) == ()


def test_a_bundle_is_listed_only_when_every_blob_is_there(
    remote: RemoteStore, source: Store, bundle: BundleEntry, members: tuple[Member, ...], far: Path
) -> None:
    remote.survey()
    remote.send(source, members[1:], NO_ONE)
    with pytest.raises(RemoteIncomplete) as error:
        remote.commit(members, AGENT, source.index())
    assert str(bundle.root.digest) in error.value.what
    assert Store.open(far).index() == ()
    remote.send(source, members[:1], NO_ONE)
    remote.commit(members, AGENT, source.index())
    assert listed_names(far) == ["demo:1.0.0", "demo:1.0.0/base"]
    assert Store.open(far).bundles() == (bundle,)


def test_the_agent_lies_beside_the_blobs_and_can_be_executed(
    remote: RemoteStore, source: Store, members: tuple[Member, ...], far: Path
) -> None:
    remote.survey()
    remote.send(source, members, NO_ONE)
    (far / "bundle").write_bytes(b"an older one")
    remote.commit(members, AGENT, source.index())
    assert (far / "bundle").read_bytes() == AGENT_BYTES
    assert (far / "bundle").stat().st_mode & 0o777 == 0o755


def test_bundles_that_are_listed_there_stay_and_an_older_form_of_this_one_goes(
    remote: RemoteStore, source: Store, members: tuple[Member, ...], far: Path
) -> None:
    there = Store.create(far)
    make_bundle(there, [10], name="other:2.0", seed=1)
    make_bundle(there, [20], name="demo:1.0.0", seed=2)
    remote.survey()
    remote.send(source, members, NO_ONE)
    remote.commit(members, AGENT, source.index())
    assert listed_names(far) == ["demo:1.0.0", "demo:1.0.0/base", "other:2.0", "other:2.0/base"]
    assert {entry.digest for entry in source.index()} <= {entry.digest for entry in there.index()}


def test_a_commit_again_writes_nothing(
    remote: RemoteStore, source: Store, members: tuple[Member, ...], far: Path
) -> None:
    remote.survey()
    remote.send(source, members, NO_ONE)
    remote.commit(members, AGENT, source.index())
    before = [(far / name).stat().st_ino for name in ("index.json", "bundle")]
    remote.commit(members, AGENT, source.index())
    assert before == [(far / name).stat().st_ino for name in ("index.json", "bundle")]


def test_the_lock_that_came_over_is_the_one_that_was_sent(
    remote: RemoteStore, source: Store, members: tuple[Member, ...], far: Path
) -> None:
    remote.survey()
    remote.send(source, members, NO_ONE)
    lock = next(member for member in members if member.label == "lock")
    assert Lock.parse(Store(far).read(lock.blob.digest), "the lock").name == "demo"
