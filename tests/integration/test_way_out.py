"""A job that reports to one server of the intranet, on a real engine: that server hears it, and nothing else does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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
from scripts.world.cable import Cable

__all__ = ("engine", "loaded", "on_the_node", "release")
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
    'direct': reached(os.environ['SERVER'], 8000),
    'interfaces': os.listdir('/sys/class/net'),
    'writes': os.access('/bundle/way-out', os.W_OK),
}}
open('/bundle/output/found', 'w').write(json.dumps(found))
"""


SWANLAB = """
import http.server, sys
class Swanlab(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        with open(sys.argv[2], 'ab') as heard:
            heard.write(self.rfile.read(int(self.headers['Content-Length'])))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'heard at ' + self.path.encode())
http.server.ThreadingHTTPServer((sys.argv[1], 8000), Swanlab).serve_forever()
"""


@dataclass
class Intranet:
    """A host at the end of the node's only cable, on which a server stands where SwanLab stands. It knows no route to
    the engine's networks: what comes from there must bear the node's own address.
    """

    address: str
    heard: Path


@pytest.fixture
def intranet(on_the_node: None, tmp_path: Path) -> Iterator[Intranet]:  # noqa: ARG001
    heard = tmp_path / "heard"
    with Cable() as cable:
        command = cable.argv(sys.executable, "-c", SWANLAB, cable.address, str(heard))
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
            yield Intranet(cable.address, heard)
            server.kill()


def run(code: str, intranet: Intranet, release: Release, engine: DockerEngine, image: str) -> Path:
    workload = Workload(
        "train", "train", "base", through(("python3", "-c", code)), environment={"SERVER": intranet.address},
        way_out=f"{intranet.address}:8000",
    )  # fmt: skip
    spec = container(workload, image, MADE_FROM, release.placement)
    with way_out(workload, image, MADE_FROM, release, engine):
        run_job("train", spec, MADE_FROM, release, engine, Silence())
    return release.results("train")


def test_the_server_hears_the_job_which_reaches_nothing_else(
    intranet: Intranet, engine: DockerEngine, release: Release, loaded: str
) -> None:
    results = run(TRAIN, intranet, release, engine, loaded)
    found = json.loads((results / "found").read_text())
    assert found == {"answer": "heard at /api/metrics", "direct": False, "interfaces": ["lo"], "writes": False}
    assert intranet.heard.read_bytes() == b"loss 0.5"
    assert engine.find("bundle-small--train--gate") is None, "a way out is open for as long as the job runs"


def test_a_job_that_fails_leaves_no_way_out_behind(
    intranet: Intranet, engine: DockerEngine, release: Release, loaded: str
) -> None:
    with pytest.raises(WorkloadFailed):
        run("raise SystemExit(3)", intranet, release, engine, loaded)
    assert engine.find("bundle-small--train--gate") is None
