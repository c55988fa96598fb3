"""A training that reports to one server of the intranet: it gets no network, and its way out leads there alone."""

from __future__ import annotations

import os
import signal
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from manifest_cases import manifest

from bundler.core.digest import Digest
from bundler.core.strict_json import MalformedJson
from bundler.engine.compose import compose
from bundler.manifest.lock import Workload
from bundler.workloads.container import WAY_OUT, Bind, ContainerSpec, Placement, container
from bundler.workloads.graph import workloads
from bundler.workloads.planned import plan
from bundler.workloads.way_out import GATE, INSIDE, PORT, gate
from scripts.world.ports import free_port

PLACE = Placement("demo", Digest.of(b"root"), "bundle-demo", PurePosixPath("/store/releases/demo"), "1000:1000")
MADE_FROM = Digest.of(b"all")
CLOUD = {"mode": "cloud", "host": "http://swanlab.intra:8000/", "api_key_file": "/etc/bundle/swanlab.key"}
SOCKETS = Bind("/store/releases/demo/way-out/train", WAY_OUT)


def trained(directory: Path, swanlab: dict[str, Any]) -> Workload:
    return next(one for one in workloads(manifest(directory, {"train.swanlab": swanlab})) if one.name == "train")


def test_the_training_is_told_of_its_way_out_and_keeps_a_network_of_nothing(tmp_path: Path) -> None:
    job = trained(tmp_path, CLOUD)
    assert (job.way_out, job.api_key) == ("swanlab.intra:8000", "/etc/bundle/swanlab.key")
    assert job.environment["SWANLAB_API_HOST"] == f"http://127.0.0.1:{PORT}/api"
    assert job.environment["SWANLAB_WEB_HOST"] == "http://swanlab.intra:8000"
    assert "swanlab_mode: cloud\n" in job.files["train.yaml"]
    assert job.command[:3] == ("python3", "-c", INSIDE)
    assert job.command[-3:] == ("llamafactory-cli", "train", "/bundle/config/train.yaml")
    spec = container(job, "sha256:image", MADE_FROM, PLACE)
    assert (spec.network, spec.edge, spec.reaches) == ("none", "", "")
    assert SOCKETS in spec.binds


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("http://10.0.0.7", "10.0.0.7:80"),
        ("http://[fd00::7]:8000", "[fd00::7]:8000"),
        ("http://s:81/", "s:81"),
        ("http://swan_lab", "swan_lab:80"),
    ],
)
def test_every_form_of_an_address_is_understood(tmp_path: Path, host: str, address: str) -> None:
    job = trained(tmp_path, {**CLOUD, "host": host})
    assert job.way_out == address
    assert list(gate(job, "sha256:image", MADE_FROM, PLACE).command[3:]) == [
        address.rpartition(":")[0].strip("[]"),
        address.rpartition(":")[2],
    ]


def test_without_it_nothing_has_a_way_out(tmp_path: Path) -> None:
    for one in workloads(manifest(tmp_path, {"train.swanlab": {}})):
        assert not one.way_out
    assert all(planned.proxy is None or not planned.proxy.reaches for planned in _planned(tmp_path, {}))


def test_the_gate_sees_the_socket_alone_and_publishes_nothing(tmp_path: Path) -> None:
    assert gate(trained(tmp_path, CLOUD), "sha256:image", MADE_FROM, PLACE) == ContainerSpec(
        name="bundle-demo--train--gate",
        image="sha256:image",
        command=("python3", "-c", GATE, "swanlab.intra", "8000"),
        network="bundle-demo--outer",
        reaches="swanlab.intra:8000",
        user="1000:1000",
        labels=PLACE.labels("train", "gate", MADE_FROM),
        binds=(replace(SOCKETS, read_only=False),),
    )


def _planned(directory: Path, swanlab: dict[str, Any]) -> Any:
    every = workloads(manifest(directory, {"train.swanlab": swanlab}))
    images = {one.image: one.image for one in every}
    return plan(every, images, {one.name: MADE_FROM for one in every}, PLACE)


def test_a_compose_file_has_it_too(tmp_path: Path) -> None:
    text = compose(_planned(tmp_path, CLOUD), PLACE)
    assert "  train--gate:\n    container_name: bundle-demo--train--gate\n" in text
    assert "  bundle-demo--outer:\n    name: bundle-demo--outer\n    driver: bridge\n" in text


@pytest.mark.parametrize("address", ["swanlab.intra", "a b:80", "host:80:90", "$(x):80", "host:0", "host:65536"])
def test_a_lock_with_another_way_out_is_not_read(address: str) -> None:
    with pytest.raises(MalformedJson) as refused:
        Workload("train", "train", "base", ("true",), way_out=address)
    assert "has the way out" in str(refused.value.because)


def test_a_service_gets_none() -> None:
    with pytest.raises(MalformedJson):
        Workload("serve", "vllm", "base", ("true",), port=80, way_out="host:80")


class _Shout(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(self.rfile.read().upper())


@contextmanager
def _running(source: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """In a group of its own, because what runs beside a job outlives it where no container ends."""
    with subprocess.Popen((sys.executable, "-c", source, *arguments), process_group=0) as process:
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)


ASK = """
import socket, sys, time
port, text = int(sys.argv[1]), sys.argv[2].encode()
deadline = time.monotonic() + 30
while True:
    try:
        with socket.create_connection(("127.0.0.1", port)) as there:
            there.sendall(text)
            there.shutdown(socket.SHUT_WR)
            answer = there.makefile("rb").read()
        break
    except (ConnectionRefusedError, ConnectionResetError):  # one of the two programs has not started yet
        assert time.monotonic() < deadline
sys.exit(0 if answer == text.upper() else f"it said {len(answer)} bytes")
"""


def test_bytes_go_both_ways_and_the_jobs_own_end_is_its_end(tmp_path: Path) -> None:
    """The two very programs that run in the containers. A job whose exit code is lost would count as done."""
    port = free_port()
    here = {WAY_OUT: str(tmp_path), str(PORT): str(port)}
    inside, outside = INSIDE, GATE
    for there, place in here.items():
        inside, outside = inside.replace(there, place), outside.replace(there, place)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Shout) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        (tmp_path / "socket").touch()  # what a killed one left
        with _running(outside, "127.0.0.1", str(server.server_address[1])):
            for text, code in (("x" * 100_000, 0), ("y", 0)):
                with _running(inside, sys.executable, "-c", ASK, str(port), text) as job:
                    assert job.wait(60) == code
        server.shutdown()
    with _running(inside, sys.executable, "-c", "raise SystemExit(7)") as job:
        assert job.wait(60) == 7


def test_a_job_that_is_quicker_than_its_way_out_waits_for_it(tmp_path: Path) -> None:
    """The training would end as it starts: its first request is refused."""
    port = free_port()
    inside = INSIDE.replace(WAY_OUT, str(tmp_path)).replace(str(PORT), str(port))
    asks = ASK.replace("deadline = ", "print('asks', flush=True)\ndeadline = ")
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Shout) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = (sys.executable, "-c", inside, sys.executable, "-c", asks, str(port), "text")
        with subprocess.Popen(command, process_group=0, stdout=subprocess.PIPE, text=True) as job:
            try:
                assert job.stdout
                assert job.stdout.readline() == "asks\n"
                with _running(GATE.replace(WAY_OUT, str(tmp_path)), "127.0.0.1", str(server.server_address[1])):
                    assert job.wait(60) == 0
            finally:
                os.killpg(job.pid, signal.SIGKILL)
        server.shutdown()
