"""A job that reports to one server of the intranet, on a real engine: that server hears it, and nothing else does."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from test_jobs import MADE_FROM, engine, loaded, on_the_node, release

from bundler.core.events import Silence
from bundler.engine.docker import DockerEngine
from bundler.manifest.lock import Workload
from bundler.operations.jobs import WorkloadFailed, run_job
from bundler.operations.release import Release
from bundler.operations.ways_out import way_out
from bundler.workloads.container import container
from bundler.workloads.way_out import PORT, through
from scripts.world.node import Node

__all__ = ("engine", "loaded", "on_the_node", "release")
INTRANET = "10.99.7.1"
"""An address outside the node's engine, which its containers' packets reach by masquerading alone."""

TRAIN = f"""
import json, os, socket, time, urllib.request
def said(url):
    deadline = time.monotonic() + 30
    while True:
        try:
            return urllib.request.urlopen(url, b'loss 0.5', timeout=5).read().decode()
        except OSError as error:
            if 'refused' not in str(error) or time.monotonic() > deadline:
                return 'OSError'
def reached(host, port):
    try:
        socket.create_connection((host, port), timeout=5)
        return True
    except OSError:
        return False
found = {{
    'answer': said('http://127.0.0.1:{PORT}/api/metrics'),
    'direct': reached('{INTRANET}', int(os.environ['SERVER'])),
    'interfaces': os.listdir('/sys/class/net'),
    'writes': os.access('/bundle/way-out', os.W_OK),
}}
open('/bundle/output/found', 'w').write(json.dumps(found))
"""


class Swanlab(BaseHTTPRequestHandler):
    """Stands where SwanLab stands: takes what is posted, and says so."""

    heard: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        self.heard.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"heard at " + self.path.encode())

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def server(node: Node, on_the_node: None) -> Iterator[ThreadingHTTPServer]:  # noqa: ARG001
    ip = ("/usr/sbin/ip", "link")
    subprocess.run(node.argv(*ip, "add", "intranet", "type", "dummy"), check=True)
    try:
        subprocess.run(node.argv(*ip, "set", "intranet", "up"), check=True)
        subprocess.run(node.argv("/usr/sbin/ip", "address", "add", f"{INTRANET}/24", "dev", "intranet"), check=True)
        Swanlab.heard.clear()
        with ThreadingHTTPServer((INTRANET, 0), Swanlab) as made:
            threading.Thread(target=made.serve_forever, daemon=True).start()
            yield made
            made.shutdown()
    finally:
        subprocess.run(node.argv(*ip, "delete", "intranet"), check=True)


def run(code: str, port: int, release: Release, engine: DockerEngine, image: str) -> Path:
    workload = Workload(
        "train", "train", "base", through(("python3", "-c", code)), environment={"SERVER": str(port)},
        way_out=f"{INTRANET}:{port}",
    )  # fmt: skip
    spec = container(workload, image, MADE_FROM, release.placement)
    with way_out(workload, image, MADE_FROM, release, engine):
        run_job("train", spec, MADE_FROM, release, engine, Silence())
    return release.results("train")


def test_the_server_hears_the_job_which_reaches_nothing_else(
    server: ThreadingHTTPServer, engine: DockerEngine, release: Release, loaded: str
) -> None:
    results = run(TRAIN, server.server_port, release, engine, loaded)
    found = json.loads((results / "found").read_text())
    assert found == {"answer": "heard at /api/metrics", "direct": False, "interfaces": ["lo"], "writes": False}
    assert Swanlab.heard == [b"loss 0.5"]
    assert engine.find("bundle-small--train--gate") is None, "a way out is open for as long as the job runs"


def test_a_job_that_fails_leaves_no_way_out_behind(
    server: ThreadingHTTPServer, engine: DockerEngine, release: Release, loaded: str
) -> None:
    with pytest.raises(WorkloadFailed):
        run("raise SystemExit(3)", server.server_port, release, engine, loaded)
    assert engine.find("bundle-small--train--gate") is None
