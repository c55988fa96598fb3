"""`bundle push` to several hosts, through one of them, and by many at once: the command as a user runs it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bundler.agent.executable import executable
from bundler.core.events import Silence, Warned
from bundler.operations.push import PushResult, push
from bundler.store.layout import BundleEntry, Store
from bundler.transport import receipts
from bundler.transport.receipts import Tally
from scripts.world.sshd import SshServer
from tests.bundles import make_bundle
from tests.commandline import Bundle, refusal
from tests.far_host import FarHost, Recorder, assert_sound, eventually, listed_names

MEGABYTE = 1_000_000


@pytest.fixture
def bundle(sshd: SshServer, source: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    places = {"BUNDLE_STORE": str(source.root), "BUNDLE_SSH_CONFIG": str(sshd.config)}
    return Bundle({**places, "HOME": str(tmp_path)})


def test_several_hosts_get_it_at_once_and_one_that_fails_stops_no_other(
    bundle: Bundle, host: FarHost, source: Store, tmp_path: Path
) -> None:
    make_bundle(source, [2 * MEGABYTE, 4000])
    (tmp_path / "file").touch()
    names = [f"{host.server.alias}:{tmp_path}/{name}" for name in ("a", "file", "b")]
    done = bundle("push", "demo", *names, "-o", "json", "--events", "json", check=False)
    assert done.code == 3
    first, second, third = done.json["pushes"]
    assert [one["destination"] for one in (first, second, third)] == names
    assert first["sent"] == third["sent"]
    assert second["failure"]["exit_code"] == 1
    assert (assert_sound(tmp_path / "a"), assert_sound(tmp_path / "b")) == (7, 7)
    assert {f"push {names[0]}", f"push {names[2]}"} <= {
        json.loads(line)["step"] for line in done.err.splitlines() if '"StepEnded"' in line
    }
    told = refusal(done)
    assert f"demo:1.0.0 is not on {names[1]}; it is on {names[0]}, {names[2]}" in told
    assert f"push demo:1.0.0 {names[1]} " in told
    again = bundle("push", "demo", names[0], names[2])
    assert again.out.count("0 (0 B)") == 2
    assert "is named twice" in refusal(bundle("push", "demo", names[0], names[0] + "/", check=False))


def test_one_host_feeds_the_others_and_their_receipts_come_back(
    bundle: Bundle, host: FarHost, source: Store, tmp_path: Path
) -> None:
    entry = make_bundle(source, [MEGABYTE], agent=executable())
    alias = host.server.alias
    names = [f"{alias}:{tmp_path}/{name}" for name in ("b", "c")]
    (tmp_path / "file").touch()
    with SshServer(
        tmp_path / "first",
        alias="first",
        tied=True,
        environment={"BUNDLE_SSH_CONFIG": str(host.server.config), "XDG_STATE_HOME": f"{tmp_path}/there"},
    ) as first:
        via = ("--via", f"first:{tmp_path}/a", "--ssh-config", first.config)
        done = bundle("push", "demo", *via, *names, "-o", "json", "--limit", "40MB/s")
        failed = bundle("push", "demo", *via, names[0], f"{alias}:{tmp_path}/file", check=False)
    assert [one["destination"] for one in done.json["pushes"]] == [f"first:{tmp_path}/a", *names]
    assert len({assert_sound(tmp_path / name) for name in ("a", "b", "c")}) == 1
    ours = [receipt for _, receipt in receipts.listed(tmp_path / "state/bundle/receipts").receipts]
    assert sorted((one.directory[-1], one.via) for one in ours)[:2] == [("a", ""), ("a", "")]
    assert {one.directory for one in ours if one.via == "first"} == {f"{tmp_path}/b", f"{tmp_path}/c"}
    assert {one.root for one in ours} == {entry.root.digest}
    assert failed.code == 3
    assert "first says: " in refusal(failed)


def test_the_push_of_the_host_that_feeds_the_others_ends_with_ours(
    host: FarHost, bundle: Bundle, source: Store, tmp_path: Path
) -> None:
    make_bundle(source, [30 * MEGABYTE], agent=executable())
    environment = {"BUNDLE_SSH_CONFIG": str(host.server.config), "XDG_STATE_HOME": f"{tmp_path}/there"}
    with SshServer(tmp_path / "first", alias="first", tied=True, environment=environment) as first:
        bundle("push", "demo", f"first:{tmp_path}/a", "--ssh-config", first.config)
        words = ("push", "demo", "--via", f"first:{tmp_path}/a", f"{host.server.alias}:{tmp_path}/b")
        ours = subprocess.Popen(
            [*bundle.program, *words, "--ssh-config", str(first.config), "--limit", "1MB/s"],
            env={**dict(os.environ), **bundle.environment},
            stderr=subprocess.DEVNULL,
        )
        try:
            eventually(lambda: _begun(tmp_path / "b"), "the push there begins", 60)
        finally:
            ours.kill()
            ours.wait()
        eventually(lambda: not _agents(tmp_path / "a/bundle"), "the push there ends", 30)


def _agents(program: Path) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if str(program).encode() in words[:2]:
            found.append(path.parent.name)
    return found


def test_after_an_edit_of_one_file_that_file_and_the_manifests_are_sent(
    bundle: Bundle, host: FarHost, source: Store, tmp_path: Path
) -> None:
    where = f"{host.server.alias}:{tmp_path}/far"
    make_bundle(source, [2 * MEGABYTE, 50_000, 60_000])
    bundle("push", "demo", where)
    before = {path.name for path in (tmp_path / "far/blobs/sha256").iterdir()}
    make_bundle(source, [2 * MEGABYTE, 51_000, 60_000])
    moved = bundle("push", "demo", where, "-o", "json").json["moved"]
    fresh = [path for path in (tmp_path / "far/blobs/sha256").iterdir() if path.name not in before]
    assert len(fresh) == 4  # the file, the model's manifest, the lock, the root
    assert moved == sum(path.stat().st_size for path in fresh)


def test_receipts_are_listed_and_an_export_takes_the_host_of_one(
    bundle: Bundle, host: FarHost, source: Store, tmp_path: Path
) -> None:
    where = f"{host.server.alias}:{tmp_path}/far"
    make_bundle(source, [MEGABYTE, 4000])
    bundle("push", "demo", where)
    (tmp_path / "state/bundle/receipts/torn.json").write_text("{")
    listed = bundle("receipts", "demo")
    assert where in listed.out
    assert "torn.json is not a receipt" in listed.err
    document = bundle("receipts", "-o", "json").json
    assert [one["bundle"] for one in document["receipts"]] == ["demo:1.0.0"]
    assert bundle("receipts", "other").out.startswith("no receipts ")
    make_bundle(source, [MEGABYTE, 5000])
    for since in (host.server.alias, where, document["receipts"][0]["file"]):
        out = tmp_path / f"stick-{random.getrandbits(32):x}"
        bundle("export", "demo", out, "--since", since)
        assert sum(path.stat().st_size for path in out.glob("*.tar")) < MEGABYTE
    assert "is no host with a receipt" in refusal(bundle("export", "demo", out, "--since", "nobody", check=False))


def test_a_new_host_key_is_taken_when_the_user_says_so_and_a_changed_one_never(
    bundle: Bundle, source: Store, tmp_path: Path
) -> None:
    make_bundle(source, [4000])
    with SshServer(tmp_path / "server", alias="swapped", tied=True) as server:
        server.known_hosts.write_text("")
        words = ("push", "demo", f"swapped:{tmp_path}/far", "--ssh-config", server.config)
        unknown = refusal(bundle(*words, check=False))
        assert "SHA256:" in unknown
        assert "--accept-new-host-key" in unknown
        assert server.known_hosts.read_text() == ""
        bundle(*words, "--accept-new-host-key")
        bundle(*words)
        port = server.port
    for key in (server.host_key, server.host_key.with_suffix(".pub")):
        key.unlink()
    known = server.known_hosts.read_text()
    with SshServer(tmp_path / "server", port, alias="swapped", tied=True) as server:
        server.known_hosts.write_text(known)
        assert "has CHANGED" in refusal(bundle(*words, "--accept-new-host-key", check=False))
        assert server.known_hosts.read_text() == known


@pytest.fixture
def crowded(tmp_path: Path) -> Iterator[SshServer]:
    """A server with the limits on logins that sshd comes with."""
    with SshServer(tmp_path / "crowded", alias="crowded", tied=True, options=("MaxStartups 10:30:100",)) as server:
        yield server


def test_forty_pushes_at_once_end_well(crowded: SshServer, source: Store, tmp_path: Path) -> None:
    bundles = [make_bundle(source, [4000 + number], name=f"b{number:02}:1") for number in range(40)]
    host = FarHost(crowded, tmp_path)
    results: list[PushResult] = []

    def run(entry: BundleEntry) -> None:
        with closing(host.store()) as remote:
            results.append(push(source, entry, remote, Silence(), receipts_in=tmp_path / "receipts"))

    threads = [threading.Thread(target=run, args=(entry,)) for entry in bundles]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(results) == 40
    assert_sound(tmp_path / "far")
    assert [name for name in listed_names(tmp_path / "far") if "/" not in name] == [str(b.name) for b in bundles]


def test_a_push_from_a_laptop_that_slept_goes_on(source: Store, tmp_path: Path) -> None:
    make_bundle(source, [40 * MEGABYTE])
    options = ("ClientAliveInterval 1", "ClientAliveCountMax 1")
    with SshServer(tmp_path / "server", alias="away", tied=True, options=options) as server:
        ours = subprocess.Popen(
            [
                *(sys.executable, "-m", "bundler", "push", "demo", f"away:{tmp_path}/far", "--limit", "10MB/s"),
                *("--store", str(source.root), "--ssh-config", str(server.config), "--streams", "1"),
            ],
            env={**dict(os.environ), "XDG_STATE_HOME": str(tmp_path / "state")},
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            eventually(lambda: _begun(tmp_path / "far"), "the push begins", 60)
            clients = _children(ours.pid)
            for pid in (ours.pid, *clients):
                os.kill(pid, signal.SIGSTOP)
            daemon = server.daemon.mark()
            assert daemon
            eventually(lambda: not server.daemon.mark().descendants(), "the server gives the connection up", 60)
            for pid in (ours.pid, *clients):
                os.kill(pid, signal.SIGCONT)
            _, said = ours.communicate(timeout=120)
        finally:
            ours.kill()
    assert ours.returncode == 0, said
    assert "trying again" in said
    assert_sound(tmp_path / "far")
    assert receipts.listed(tmp_path / "state/bundle/receipts").receipts[0][1].present == Tally(0, 0)


def _begun(store: Path) -> bool:
    """Whether bytes of a blob have arrived."""
    return any(path.stat().st_size for path in (store / "partial").glob(f"{'?' * 64}.*"))


def _children(pid: int) -> list[int]:
    """Child processes, whichever thread started them."""
    return [int(word) for path in Path(f"/proc/{pid}/task").glob("*/children") for word in path.read_text().split()]


def test_a_push_to_a_host_that_was_rebooted_goes_on(source: Store, tmp_path: Path) -> None:
    entry = make_bundle(source, [20 * MEGABYTE])
    with SshServer(tmp_path / "server", alias="away", tied=True) as server:
        daemon = server.daemon.mark()
        assert daemon

        def reboot() -> None:
            for mark in (*daemon.descendants(), daemon):
                mark.signal(signal.SIGKILL)
            server.stop()
            server.start()

        recorder = Recorder(8 * MEGABYTE, reboot)
        with closing(FarHost(server, tmp_path).store()) as remote:
            result = push(source, entry, remote, recorder)
    assert recorder.done
    assert any(isinstance(event, Warned) for event in recorder.events)
    assert assert_sound(tmp_path / "far") == result.sent.blobs
