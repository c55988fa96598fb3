"""Files that Hugging Face states no SHA-256 for, small or large: hashed on arrival, pinned, and fetched once.

The hub is a scripted server: it states what a test makes it state.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hubs import HF, QUICK, REPO, Recorder, resolve
from scripted_server import Fault as Answer
from scripted_server import ScriptedServer

from bundler.core.digest import Digest
from bundler.core.errors import IntegrityFailed, NoSpace
from bundler.core.events import BytesMoved, Silence
from bundler.sources import ranges
from bundler.sources.fetch import fetch
from bundler.sources.http import Http
from bundler.sources.hub import HubFiles, Offered, git_blob
from bundler.sources.hubs import hub_of
from bundler.sources.models import STEP, model_downloads
from bundler.sources.retry import GaveUp
from bundler.sources.unstated import bring, pinned_before
from bundler.store.layout import Store

LARGE = bytes(range(256)) * (17 << 12)
COMMIT = "0" * 40


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "store")


@pytest.fixture
def scripted(logged_out: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:  # noqa: ARG001
    with ScriptedServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def listing(server: ScriptedServer, *files: dict[str, object]) -> None:
    server.files[f"/api/models/{REPO}/revision/main"] = json.dumps({"id": REPO, "sha": COMMIT}).encode()
    server.files[f"/api/models/{REPO}/tree/{COMMIT}"] = json.dumps(list(files)).encode()


@pytest.mark.parametrize("path", ["../../etc/cron.d/x", "/etc/passwd", "a\\b", "a\nb", "a//b", "./a", "a/../b"])
def test_a_path_that_leads_out_of_the_models_directory_is_refused(
    scripted: ScriptedServer, store: Store, path: str
) -> None:
    listing(scripted, {"type": "file", "path": path, "size": 2, "oid": git_blob(b"{}")})
    with pytest.raises(IntegrityFailed, match="whose path is not safe"):
        resolve(store, HF)


@pytest.fixture
def large(scripted: ScriptedServer) -> str:
    """A file of 17 MiB without a SHA-256 at the hub, and its path there."""
    listing(scripted, {"type": "file", "path": "large.gguf", "size": len(LARGE), "oid": git_blob(LARGE)})
    path = f"/{REPO}/resolve/{COMMIT}/large.gguf"
    scripted.files[path] = LARGE
    return path


def test_a_large_file_without_a_hash_is_hashed_on_arrival_pinned_and_not_fetched_twice(
    scripted: ScriptedServer, large: str, store: Store
) -> None:
    (file,) = resolve(store, HF).files
    assert (file.digest, file.size) == (Digest.of(LARGE), len(LARGE))
    assert store.path(file.digest).read_bytes() == LARGE
    assert fetch(model_downloads(resolve(store, HF)), store, Silence()).fetched == ()
    assert list(store.partial.iterdir()) == []
    assert len(scripted.asked(large)) == 2  # there is no lock before, so the second `resolve` looks again


def test_a_large_file_that_the_lock_before_has_at_the_same_commit_is_not_fetched_to_be_hashed(
    scripted: ScriptedServer, large: str, store: Store, tmp_path: Path
) -> None:
    model = resolve(store, HF)
    other = Store.create(tmp_path / "other")
    assert resolve(other, HF, before=(model,)) == model
    assert len(scripted.asked(large)) == 1
    fetch(model_downloads(model), other, Silence())
    assert other.path(Digest.of(LARGE)).read_bytes() == LARGE
    moved = replace(model, revision="1" * 40)
    assert resolve(other, HF, before=(moved,)) == model
    assert len(scripted.asked(large)) == 3


def test_a_large_file_without_a_hash_goes_on_where_it_broke_off(
    scripted: ScriptedServer, large: str, store: Store
) -> None:
    scripted.fail(large, Answer(short=5 << 20), Answer(status=503))
    heard = Recorder()
    (file,) = resolve(store, HF, heard=heard).files
    assert file.digest == Digest.of(LARGE)
    assert [request.headers.get("Range") for request in scripted.asked(large)][1:] == [f"bytes={5 << 20}-"] * 2
    assert sum(event.count for event in heard.events if isinstance(event, BytesMoved)) == len(LARGE)


def test_a_very_large_file_without_a_hash_comes_over_several_connections(
    scripted: ScriptedServer, large: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "LARGE", 1 << 20)
    assert resolve(store, HF).files[0].digest == Digest.of(LARGE)
    assert len(scripted.asked(large)) == 3  # parts of 8 MiB


def test_a_large_file_of_a_branch_is_never_put_together_from_two_answers(
    scripted: ScriptedServer, large: str, store: Store
) -> None:
    http = Http()
    hub, _ = hub_of(HF, http)
    path = large.replace(COMMIT, "main")
    scripted.files[path] = LARGE
    scripted.fail(path, Answer(short=5 << 20))
    source = HubFiles(hub, REPO, "main", {}, http)
    (file,) = bring(source, [Offered("large.gguf", len(LARGE))], store, Silence(), QUICK, STEP)
    assert file.digest == Digest.of(LARGE)
    assert [one.headers.get("Range") for one in scripted.asked(path)] == [None, None]
    before = replace(resolve(store, HF), revision="main")
    assert pinned_before("large.gguf", len(LARGE), HF, before) is None


def test_a_large_file_with_a_flipped_bit_is_not_pinned(scripted: ScriptedServer, large: str, store: Store) -> None:
    scripted.fail(large, Answer(flip=True))
    with pytest.raises(IntegrityFailed, match=r"large\.gguf .* are wrong") as error:
        resolve(store, HF)
    assert "git hash" in str(error.value.because)
    assert [*store.blobs.iterdir(), *store.partial.iterdir()] == []


def test_a_large_file_that_has_no_room_is_refused_before_its_first_byte(scripted: ScriptedServer, store: Store) -> None:
    listing(scripted, {"type": "file", "path": "huge.safetensors", "size": 1 << 60, "oid": COMMIT})
    with pytest.raises(NoSpace):
        resolve(store, HF)
    assert scripted.asked(f"/{REPO}/resolve/{COMMIT}/huge.safetensors") == []


def test_a_hub_that_is_down_for_long_is_given_up(scripted: ScriptedServer, store: Store) -> None:
    scripted.fail(f"/api/models/{REPO}/revision/main", *[Answer(status=503)] * 60)
    with pytest.raises(GaveUp, match=f"{scripted.address} can't answer now"):
        resolve(store, HF)
