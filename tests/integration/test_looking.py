"""inspect, diff, verify, gc, sbom as a user runs them."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.events import Silence
from bundler.core.media_types import RAW
from bundler.operations.verify import verify_all
from bundler.store.closure import closure
from bundler.store.contents import read_lock
from bundler.store.layout import Store
from bundler.store.leases import leasing
from tests.bundles import make_bundle
from tests.commandline import Bundle, refusal

pytestmark = pytest.mark.usefixtures("state")

bundle = Bundle()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.create(tmp_path / "store")
    make_bundle(store)
    make_bundle(store, (100_000, 3_000, 5_000), name="demo:1.1.0")
    make_bundle(store, (7,), name="other:1", seed=2)
    return store


def spoil(store: Store, digest: Digest) -> None:
    path = store.path(digest)
    path.chmod(0o644)
    path.write_bytes(b"\0" + path.read_bytes()[1:])


def test_scripts_find_the_same_keys_in_every_release(store: Store) -> None:
    def keys(*arguments: str) -> list[str]:
        return sorted(bundle(*arguments, "--store", store.root, "-o", "json").json)

    shown = {"format", "bundle", "root", "agent", "blobs", "bytes", "alone", "hardware", "artifacts", "workloads"}
    assert set(keys("inspect", "other")) == shown | {"memory", "rehearsal"}
    assert keys("diff", "demo:1.0.0", "demo:1.1.0") == sorted(
        ["format", "before", "after", "added", "removed", "kept", "artifacts", "moved"]
    )
    assert keys("verify") == sorted(["format", "ok", "bundles", "blobs", "bytes", "bad", "fault"])
    assert keys("gc", "--dry-run") == sorted(
        ["format", "dry_run", "dropped", "deleted", "freed", "kept", "half_done", "left_alone", "damaged"]
    )
    artifact = bundle("inspect", "other", "--store", store.root, "-o", "json").json["artifacts"][0]
    pinned = {"kind", "name", "source", "pin", "digest", "blobs", "bytes", "shared", "lacking"}
    assert set(artifact) == pinned | {"licence", "licence_file", "base_models"}


def test_what_inspect_and_list_say_is_a_bundles_alone_is_what_dropping_it_frees(store: Store) -> None:
    alone = bundle("inspect", "demo:1.1.0", "--store", store.root, "-o", "json").json["alone"]
    listed = bundle("list", "--store", store.root, "-o", "json").json["bundles"]
    assert {"demo:1.1.0": alone}.items() <= {entry["bundle"]: entry["alone"] for entry in listed}.items()
    dropped = bundle("gc", "--drop", "demo:1.1.0", "--store", store.root, "-o", "json").json
    assert dropped["freed"] == alone > 5_000
    assert sorted(
        entry["bundle"] for entry in bundle("verify", "--store", store.root, "-o", "json").json["bundles"]
    ) == [
        "demo:1.0.0",
        "other:1",
    ]


def test_every_bad_blob_is_in_the_document_and_the_exit_code_says_so_too(store: Store) -> None:
    model = store.find("demo:1.1.0")
    blobs = sorted((path for path in store.blobs.iterdir()), key=lambda path: path.stat().st_size)[-2:]
    for path in blobs:
        spoil(store, Digest(path.name))
    done = bundle("verify", "--store", store.root, "-o", "json", check=False)
    assert done.code == 12
    assert sorted(bad["digest"] for bad in done.json["bad"]) == sorted(f"sha256:{path.name}" for path in blobs)
    assert not done.json["ok"]
    text = refusal(bundle("verify", str(model.name), "--store", store.root, check=False))
    assert all(path.name in text for path in blobs)


def test_an_executable_that_no_bundle_pins_is_not_run_unnoticed(store: Store) -> None:
    (store.root / "bundle").write_bytes(b"#!/bin/sh\necho another program\n")
    done = bundle("verify", "--store", store.root, check=False)
    assert done.code == 12
    hint = refusal(done).partition("hint: ")[2].splitlines()[0]
    subprocess.run(hint, shell=True, check=True)
    bundle("verify", "--store", store.root)


def test_diff_reads_locks_and_bundles_alike_and_ends_well_where_they_differ(store: Store, tmp_path: Path) -> None:
    lock = tmp_path / "new.lock.json"
    lock.write_bytes(read_lock(store, store.find("demo:1.1.0")).encode())
    found = bundle("diff", "demo:1.0.0", lock, "--store", store.root, "-o", "json").json
    assert found["added"]["blobs"] == 2  # the file, and the model's manifest
    assert 5_000 < found["added"]["bytes"] < 7_000
    assert {move["what"] for move in found["moved"]} == {"version", "model base: part-00002.safetensors"}
    assert "what a host that has demo:1.0.0 is sent" in bundle("diff", "demo:1.0.0", lock, "--store", store.root).out


def test_gc_deletes_nothing_while_a_build_needs_the_store_and_says_who_does(store: Store) -> None:
    stray = store.put(b"fetched, and not listed yet", RAW)
    with leasing(store, "build"):
        done = bundle("gc", "--store", store.root, check=False)
    assert done.code == 11
    assert "bundle build: process" in refusal(done)
    assert store.has(stray)
    bundle("gc", "--store", store.root)
    assert not store.has(stray)


def test_a_name_that_is_none_of_ours_is_left_alone(store: Store) -> None:
    strange = [store.blobs / "notes.txt", store.partial / "a-file-of-mine"]
    for path in strange:
        path.write_text("mine")
    said = bundle("gc", "--store", store.root, "-o", "json").json
    assert said["left_alone"] == sorted(map(str, strange))
    assert all(path.exists() for path in strange)


def test_two_gcs_at_once_both_end_well(store: Store) -> None:
    for number in range(200):
        store.put(b"stray %d" % number, RAW)
    command = [sys.executable, "-m", "bundler", "gc", "-q", "--store", str(store.root)]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
    assert [process.communicate()[1] for process in both] == [b"", b""]
    assert [process.returncode for process in both] == [0, 0]
    verify_all(store, store.bundles(), Silence())


VICTIM = """
import os, signal, sys
from pathlib import Path
from bundler.core.events import BytesMoved
from bundler.operations.gc import gc
from bundler.store import layout
from bundler.store.layout import Store

left = int(sys.argv[2])
class Killer:
    def emit(self, event):
        global left
        left -= 1
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
if left == 0:
    layout.Store._write_index = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
gc(Store.open(Path(sys.argv[1])), Killer(), drop=["old"])
"""


def test_gc_killed_at_any_moment_leaves_bundles_whole_and_the_next_ends_it(tmp_path: Path) -> None:
    chance = random.Random(1)
    store = Store.create(tmp_path / "store")
    keep = make_bundle(store, [1_000] * 10, name="keep:1")
    kills = 0
    for turn in range(20):
        make_bundle(store, [1_000] * 10, name="old:1", seed=5)  # shares the agent alone
        victim = [sys.executable, "-c", VICTIM, str(store.root), str(0 if turn == 0 else chance.randrange(1, 16))]
        done = subprocess.run(victim, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
        kills += done.returncode == -signal.SIGKILL
        assert done.returncode == -signal.SIGKILL, done.stderr
        verify_all(store, [keep], Silence())
        listed = {str(entry.name) for entry in store.bundles()}
        assert listed == ({"keep:1", "old:1"} if turn == 0 else {"keep:1"})
        verify_all(store, store.bundles(), Silence())
    assert kills == 20
    bundle("gc", "--store", store.root)
    there = {Digest(path.name) for path in store.blobs.iterdir()}
    assert there == {member.blob.digest for member in closure(store, keep.root)}


def test_a_bill_of_materials_is_the_same_bytes_each_time(store: Store) -> None:
    first, second = (bundle("sbom", "demo:1.0.0", "--store", store.root, "-q").out for _ in range(2))
    assert first == second
    assert json.loads(first)["specVersion"] == "1.6"


def test_a_blob_that_gc_may_take_is_one_that_no_other_tool_lists(store: Store) -> None:
    """`skopeo copy ... oci:STORE:name` and `oras` list what they bring in the same index."""
    foreign = store.put(b"brought by another tool", "application/x")
    store.record([Descriptor("application/x", foreign.digest, foreign.size).named("theirs")])
    bundle("gc", "--store", store.root)
    assert store.has(foreign)
