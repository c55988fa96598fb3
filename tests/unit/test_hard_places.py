"""Odd machines and unlucky moments: other processes in the way, broken pipes, foreign locales, names cut in half."""

from __future__ import annotations

import http.server
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bundler.core.digest import Digest
from bundler.core.events import Silence
from bundler.core.owner import Owner
from bundler.core.reference import BundleName
from bundler.engine import docker, listing
from bundler.engine.docker import DockerEngine
from bundler.engine.errors import EngineFailed, NoEngine
from bundler.manifest.lock import LockedFile
from bundler.operations.gc import BundleUp, gc
from bundler.operations.release import Release
from bundler.operations.status import status
from bundler.store.contents import read_lock
from bundler.store.layout import Store
from bundler.store.links import materialise
from bundler.store.locking import holding
from bundler.store.writer import WrongBytes
from bundler.transport.connector import Connector
from bundler.transport.destination import Destination
from bundler.transport.openssh_client import OpenSshClient
from bundler.transport.remote_errors import RemoteLocked
from bundler.workloads import labels
from bundler.workloads.proxy import SOURCE
from tests.bundles import make_bundle
from tests.commandline import Bundle

DATA = b"0123456789" * 1000


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "store")


def test_a_blob_that_another_process_wrote_to_as_well_never_gets_its_name(store: Store) -> None:
    """On a cloned machine two processes may each take the other's file for a dead one's."""
    digest = Digest.of(DATA)
    with store.writer(digest, len(DATA)) as writer:
        writer.write(DATA[:5000])
        (partial,) = store.partial.iterdir()
        with partial.open("ab") as other:
            other.write(b"x" * 9000)
        writer.write(DATA[5000:])
        with pytest.raises(WrongBytes):
            writer.commit()
        writer.write(DATA)
        writer.commit()
    assert store.path(digest).read_bytes() == DATA


def test_a_store_that_is_made_twice_at_once_keeps_what_the_first_has_listed(tmp_path: Path) -> None:
    first = Store.create(tmp_path / "store")
    (first.root / "index.json").unlink()
    with holding(first.root / "index.lock", "the index"):
        second = threading.Thread(target=Store.create, args=(first.root,))
        second.start()
        (first.root / "index.json").write_text('{"schemaVersion":2,"manifests":[],"annotations":{"first":"yes"}}')
    second.join()
    assert "first" in (first.root / "index.json").read_text()


def test_a_directory_of_the_last_version_gives_way_to_a_file_of_this_one(store: Store, tmp_path: Path) -> None:
    blob = store.put(DATA, "x")
    place = tmp_path / "model"
    materialise(store, [LockedFile("a/b/x", blob.digest, blob.size), LockedFile("c", blob.digest, blob.size)], place)
    (place / "link").symlink_to(tmp_path)
    materialise(store, [LockedFile("a", blob.digest, blob.size)], place)
    assert [path.name for path in place.rglob("*")] == ["a"]
    assert (tmp_path / "store").is_dir()


def test_a_pipe_or_a_socket_among_a_jobs_results_does_not_hold_up_their_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = Release(tmp_path / "demo", BundleName("demo", "1"), Digest.of(b"root"))
    results = release.results("train")
    results.mkdir(parents=True)
    (results / "model").write_bytes(DATA)
    os.mkfifo(results / "pipe")
    with socket.socket(socket.AF_UNIX) as left:
        monkeypatch.chdir(results)  # a socket's path has at most 107 bytes
        left.bind("socket")
    release.settle_results("train")
    assert (results / "model").stat().st_mode & 0o444 == 0o444


def test_a_release_is_the_same_by_whatever_path_its_store_is_named(store: Store, tmp_path: Path) -> None:
    bundle = make_bundle(store)
    (tmp_path / "link").symlink_to(store.root)
    (tmp_path / "other").mkdir()
    spellings = (store.root, tmp_path / "link", tmp_path / "other" / ".." / "store")
    assert len({Release.of(Store.open(root), bundle).directory for root in spellings}) == 1


def test_a_stray_file_among_the_releases_is_no_release(tmp_path: Path) -> None:
    (tmp_path / "releases").mkdir()
    (tmp_path / "releases" / "notes.txt").write_text("mine")
    assert status(tmp_path) == ()


def test_whoever_reads_our_progress_may_go_away_and_good_blobs_stay_good(store: Store) -> None:
    make_bundle(store)
    reader, writer = os.pipe()
    os.close(reader)
    argv = [sys.executable, "-m", "bundler", "verify", "demo", "--store", str(store.root), "--events", "json"]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=writer, text=True, check=False)
    os.close(writer)
    assert "is whole" in done.stdout


@pytest.mark.parametrize("name", ["包", "caf\udce9"])
def test_a_name_that_this_locale_can_not_write_is_still_a_usage_error(store: Store, name: str) -> None:
    plain = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    outcome = Bundle(plain)("verify", name, "--store", store.root, check=False)
    assert outcome.code == 2
    assert "Traceback" not in outcome.err
    assert "was not found" in outcome.err


@pytest.mark.parametrize("pid", ["x", None, [1]])
def test_an_owner_that_can_not_be_read_is_an_unknown_one_and_never_dead(pid: object) -> None:
    owner = Owner.parse({"pid": pid, "host": Owner.me().host, "machine": Owner.me().machine})
    assert not owner.dead


def test_a_lock_on_the_host_that_can_not_be_read_is_still_told_as_a_lock() -> None:
    connector = Connector(OpenSshClient(Destination("intranet", "/data")), stall=1)
    for holder in ("", "{", '{"pid": "x"}'):
        error = connector.refusal("held", f"index.lock {holder}")
        assert isinstance(error, RemoteLocked)
        assert "rm" in (error.hint or "")


def test_an_engine_whose_answer_makes_no_sense_is_told_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_ask", lambda *_: [{"Id": "0123456789abcdef", "Labels": None}])
    with pytest.raises(EngineFailed, match="can't list"):
        listing.containers()
    going = {"Id": "0123456789abcdef", "Names": None, "Labels": {labels.BUNDLE: "demo"}, "State": "x", "Status": "x"}
    monkeypatch.setattr(listing, "_ask", lambda *_: [going])
    assert listing.containers()[0].name == "0123456789ab"


class _Wedged(http.server.BaseHTTPRequestHandler):
    """An engine that greets, and never answers a question after that."""

    def do_GET(self) -> None:
        if "/containers/" in self.path:
            self.rfile.read(1)  # returns when whoever asked has hung up
            return
        body = b'{"ApiVersion": "1.41"}' if "version" in self.path else b"OK"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_an_engine_that_stops_answering_is_told_as_gone_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Wedged) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_port}")
        engine = DockerEngine.connect()
        monkeypatch.setattr(docker, "_HELLO", 0.2)
        with pytest.raises(NoEngine, match="no container engine answers"):
            engine.find("bundle-demo--serve")
        server.shutdown()


def test_a_client_that_has_said_all_still_hears_the_answer_through_the_proxy() -> None:
    with socket.create_server(("127.0.0.2", 0)) as service:
        port = service.getsockname()[1]
        code = SOURCE.replace('"0.0.0.0"', '"127.0.0.1"').replace(
            "    async with server:", "    print(flush=True)\n    async with server:"
        )
        with subprocess.Popen([sys.executable, "-c", code, "127.0.0.2", str(port)], stdout=subprocess.PIPE) as proxy:
            try:
                assert proxy.stdout
                proxy.stdout.readline()
                with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
                    client.sendall(b"question")
                    client.shutdown(socket.SHUT_WR)
                    upstream, _ = service.accept()
                    with upstream, upstream.makefile("rb") as heard:
                        assert heard.read() == b"question"
                        upstream.sendall(b"answer")
                    assert client.makefile("rb").read() == b"answer"
            finally:
                proxy.kill()


def test_a_bundle_that_is_up_is_not_dropped_through_another_path_of_its_store(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = make_bundle(store)
    release = Release.of(store, bundle)
    release.lay_out(store, read_lock(store, bundle))
    up = listing.Listed("id", "serve", "demo", "serve", "service", "", str(release.directory), "running", "Up", ())
    monkeypatch.setattr(listing, "containers", lambda _: (up,))
    (tmp_path / "link").symlink_to(store.root)
    with pytest.raises(BundleUp):
        gc(Store.open(tmp_path / "link"), Silence(), drop=["demo"])
    assert store.find("demo") == bundle
