"""A machine with Docker and Podman: which one is meant, and that what runs in the other one is not told as gone."""

from __future__ import annotations

import http.server
import json
import os
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import click
import pytest
from click.testing import CliRunner

from bundler.cli.main import cli as _cli
from bundler.core.digest import Digest
from bundler.core.events import Silence
from bundler.core.records import to_json
from bundler.core.reference import BundleName
from bundler.core.strict_json import canonical
from bundler.engine import endpoint
from bundler.engine.errors import InAnotherEngine, NoEngine
from bundler.operations.gc import gc
from bundler.operations.release import Release
from bundler.operations.release_record import ReleaseRecord, WorkloadRecord, release_path
from bundler.operations.status import status
from bundler.store.layout import Store
from bundler.workloads import labels
from tests.bundles import make_bundle

cli = cast(click.Group, _cli)
NAME = BundleName("small", "1")
Sockets = tuple[Path, Path]


@pytest.fixture(autouse=True)
def sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sockets:
    """Where Docker and Podman would listen; nothing does."""
    for name in ("DOCKER_HOST", "CONTAINER_HOST", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(endpoint.VARIABLE, "auto")
    docker, podman = tmp_path / "docker.sock", tmp_path / "podman.sock"
    monkeypatch.setattr(endpoint, "DOCKER_SOCKET", f"unix://{docker}")
    monkeypatch.setattr(endpoint, "PODMAN_SOCKET", f"unix://{podman}")
    return docker, podman


@contextmanager
def engine(path: Path, *running: Path) -> Iterator[None]:
    """An engine that lists a container of each of these releases' directories."""
    listed = [
        {"Id": f"{at}", "Names": ["/bundle-small--serve"], "State": "running", "Status": "Up", "Ports": None}
        | {"Labels": {labels.BUNDLE: "small", labels.WORKLOAD: "serve", labels.ROLE: "job", labels.DIRECTORY: str(at)}}
        for at in running
    ]

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(listed).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with socketserver.ThreadingUnixStreamServer(str(path), Answers) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()
            path.unlink()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """With one bundle."""
    made = Store.create(tmp_path / "store")
    make_bundle(made, name=str(NAME))
    return made


@pytest.fixture
def release(store: Store) -> Release:
    """One that was brought up."""
    found = Release.of(store, store.find(str(NAME)))
    found.directory.mkdir(parents=True)
    workloads = (WorkloadRecord("serve", "python", Digest.of(b"made from")),)
    record = ReleaseRecord(str(NAME), found.root, workloads)
    release_path(found.directory).write_bytes(canonical(to_json(record)))
    return found


def test_docker_is_meant_where_it_is_there_else_podman(sockets: Sockets) -> None:
    docker, podman = sockets
    assert endpoint.endpoint() == f"unix://{docker}", "what is named where neither is"
    with engine(docker), engine(podman):
        assert endpoint.endpoint() == f"unix://{docker}"
    assert endpoint.endpoint() == f"unix://{docker}", "it is the engine of this process, also once it has gone"


def test_podman_is_meant_where_docker_is_not(sockets: Sockets) -> None:
    docker, podman = sockets
    with engine(podman):
        assert endpoint.endpoint() == f"unix://{podman}"
        with engine(docker):
            assert endpoint.endpoint() == f"unix://{podman}", "and stays it for this process"


def test_an_engine_that_lets_this_user_not_in_is_not_passed_over_for_another(
    sockets: Sockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a release in Docker would be told as down by who may ask Podman alone; root may connect to all."""
    docker, podman = sockets
    refuses: Callable[[str], int] = endpoint._answer
    denied = {f"unix://{docker}": 13}
    monkeypatch.setattr(endpoint, "_answer", lambda place: denied[place] if place in denied else refuses(place))
    with engine(podman):
        assert endpoint.endpoint() == f"unix://{docker}"
    hint = NoEngine(f"unix://{docker}", os.strerror(13)).hint or ""
    assert hint.startswith("sudo usermod -aG docker"), "a service that runs need not be started"


@pytest.mark.parametrize("verb", ["down, up, check, evaluate", "gc --drop"])
def test_what_runs_in_the_other_engine_is_not_taken_for_gone(
    verb: str, sockets: Sockets, store: Store, release: Release
) -> None:
    """`down` would say that it is down, `gc --drop` would delete the blobs of what serves."""
    docker, podman = sockets
    with engine(docker), engine(podman, release.directory), pytest.raises(InAnotherEngine) as refused:
        gc(store, Silence(), drop=[str(NAME)]) if verb == "gc --drop" else release.containers()
    assert str(refused.value.hint).startswith("export BUNDLE_ENGINE=podman ")
    assert store.find(str(NAME))


def test_another_stores_release_in_the_other_engine_is_in_nobodys_way(
    sockets: Sockets, release: Release, tmp_path: Path
) -> None:
    docker, podman = sockets
    with engine(docker), engine(podman, tmp_path / "elsewhere" / "small"):
        assert release.containers() == ()


def test_status_tells_of_both_engines(sockets: Sockets, store: Store, release: Release) -> None:
    docker, podman = sockets
    with engine(docker), engine(podman, release.directory):
        assert [workload.state for workload in status(store.root)[0].workloads] == ["running"]


def test_a_socket_that_two_names_lead_to_is_one_engine(sockets: Sockets) -> None:
    """As Debian's podman-docker has it; each container would be listed twice."""
    docker, podman = sockets
    with engine(podman):
        docker.symlink_to(podman)
        assert endpoint.endpoint() == f"unix://{docker}"
        assert endpoint.others() == ()


def test_a_path_that_no_socket_can_have_is_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "DOCKER_SOCKET", "unix:///" + "x" * 200)
    assert endpoint.endpoint() == endpoint.DOCKER_SOCKET


def test_a_unit_names_podman_also_where_it_was_found_and_not_asked_for(
    sockets: Sockets, store: Store, release: Release
) -> None:
    """Else a Docker that is installed later gets the release at the next boot."""
    assert release
    with engine(sockets[1]):
        told = CliRunner().invoke(cli, ["unit", NAME.name, "--store", str(store.root)])
    assert f"up {NAME.name} --last --engine podman" in told.output
    assert "After=podman.socket" in told.output
