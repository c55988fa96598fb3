"""A build that is killed or interrupted loses nothing that it has fetched."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted_server import Fault, ScriptedServer

from bundler.core.descriptor import Descriptor
from bundler.core.events import Silence
from bundler.core.reference import Reference
from bundler.sources.fetch import fetch
from bundler.sources.http import Http
from bundler.sources.registry import Registry
from bundler.sources.retry import Retries
from bundler.sources.source import Download
from bundler.store.layout import Store

CONTENT = random.Random(11).randbytes(3_000_000)
BLOB = Descriptor.of(CONTENT, "application/octet-stream")
PATH = f"/v2/a/b/blobs/{BLOB.digest}"
SENT = 2_000_000

FETCH = f"""
import signal
import sys
from pathlib import Path
from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.events import BytesMoved
from bundler.core.reference import Reference
from bundler.sources.fetch import fetch
from bundler.sources.http import Http, Timeouts
from bundler.sources.registry import Registry
from bundler.sources.retry import Retries
from bundler.sources.source import Download
from bundler.store.layout import Store

signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell starts its children deaf to it

class Told:
    def emit(self, event):
        if isinstance(event, BytesMoved):
            print(event.count, flush=True)

blob = Descriptor("application/octet-stream", Digest.parse("{BLOB.digest}"), {BLOB.size})
patient = Http(timeouts=Timeouts(connect=5, read=600))
source = Registry(Reference.parse(sys.argv[1]), patient, Retries())
fetch([Download(blob, "a layer", source)], Store.create(Path(sys.argv[2])), Told())
"""


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        server.files[PATH] = CONTENT
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "store")


def begin(server: ScriptedServer, store: Store) -> subprocess.Popen[str]:
    """Fetch in a process of its own until it has `SENT` bytes and waits for more."""
    server.fail(PATH, Fault(stall=SENT))
    command = (sys.executable, "-c", FETCH, f"{server.address}/a/b:1", str(store.root))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    moved = 0
    while moved < SENT:
        line = process.stdout.readline()
        assert line, process.stderr.read() if process.stderr else ""
        moved += int(line)
    return process


def finish(server: ScriptedServer, store: Store) -> int:
    """Fetch again, in this process. Returns the bytes that came over the network."""
    source = Registry(Reference.parse(f"{server.address}/a/b:1"), Http(), Retries())
    return fetch([Download(BLOB, "a layer", source)], store, Silence()).bytes


def test_a_fetch_killed_in_the_middle_goes_on_with_the_rest_only(server: ScriptedServer, store: Store) -> None:
    process = begin(server, store)
    process.kill()
    process.communicate()
    assert not store.has(BLOB)
    assert finish(server, store) == BLOB.size - SENT
    assert [request.range for request in server.asked(PATH)] == [None, f"bytes={SENT}-"]
    assert store.path(BLOB.digest).read_bytes() == CONTENT
    assert list(store.partial.iterdir()) == []


def test_ctrl_c_ends_a_fetch_at_once_although_a_server_is_silent_and_keeps_what_came(
    server: ScriptedServer, store: Store
) -> None:
    process = begin(server, store)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=30)
    assert time.monotonic() - began < 10
    assert process.returncode != 0
    assert complaint.rstrip().endswith("KeyboardInterrupt")
    assert finish(server, store) == BLOB.size - SENT
    assert store.path(BLOB.digest).read_bytes() == CONTENT


def test_two_builds_that_fetch_the_same_blob_at_once_are_both_well(server: ScriptedServer, store: Store) -> None:
    process = begin(server, store)
    assert finish(server, store) == BLOB.size  # the other one lives: its part is left alone
    server.closing.set()
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert store.path(BLOB.digest).read_bytes() == CONTENT
