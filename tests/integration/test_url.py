"""Files by URL: pinned by the SHA-256 that the manifest states, resumed, and refused where they are others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hubs import QUICK
from scripted_server import Fault, ScriptedServer

from bundler.core.digest import Digest
from bundler.core.errors import NetworkFailed
from bundler.core.events import Silence
from bundler.manifest.lock import LockedFiles
from bundler.sources import url
from bundler.sources.crew import WrongSource
from bundler.sources.fetch import fetch
from bundler.sources.url import UrlFailed, Wanted
from bundler.store.closure import closure
from bundler.store.layout import Store
from bundler.store.verify import verify

WEIGHTS = b"weights" * 300_000
DIGEST = Digest.of(WEIGHTS)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        server.files = {"/m/model.safetensors": WEIGHTS, "/m/config.json": b"{}", "/empty": b""}
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "store")


def resolve(server: ScriptedServer, store: Store, path: str = "/m/model.safetensors") -> LockedFiles:
    wanted = {
        "config.json": Wanted(f"{server.url}/m/config.json", Digest.of(b"{}")),
        "model.safetensors": Wanted(f"{server.url}{path}", DIGEST),
    }
    return url.resolve("base", wanted, store, Silence(), retries=QUICK)


def bring(files: LockedFiles, store: Store) -> None:
    fetch(url.downloads(files), store, Silence(), policy=QUICK.policy)
    assert verify(store, closure(store, files.manifest), Silence()).bad == ()


def test_a_model_by_url_is_carried_and_locking_downloads_nothing(server: ScriptedServer, store: Store) -> None:
    model = resolve(server, store)
    assert [(file.path, file.digest, file.size) for file in model.files][1] == ("model.safetensors", DIGEST, 2_100_000)
    assert {request.range for request in server.requests} == {"bytes=0-0"}
    bring(model, store)


def test_the_lock_alone_says_where_the_files_are(server: ScriptedServer, store: Store, tmp_path: Path) -> None:
    model = resolve(server, store)
    other = Store.create(tmp_path / "other")
    fetch(url.downloads(model), other, Silence())
    assert other.path(DIGEST).read_bytes() == WEIGHTS


def test_a_dataset_by_url_is_one_file(server: ScriptedServer, store: Store) -> None:
    wanted = {"pumps.json": Wanted(f"{server.url}/m/config.json", Digest.of(b"{}"))}
    bring(url.resolve("pumps", wanted, store, Silence(), dataset=True), store)


def test_an_empty_file_has_a_length_too(server: ScriptedServer, store: Store) -> None:
    server.fail("/empty", Fault(status=416, headers={"Content-Range": "bytes */0"}))
    wanted = {"empty.txt": Wanted(f"{server.url}/empty", Digest.of(b""))}
    (file,) = url.resolve("empty", wanted, store, Silence()).files
    assert file.size == 0


def test_a_server_without_ranges_says_its_length_all_the_same(server: ScriptedServer, store: Store) -> None:
    server.fail("/m/model.safetensors", Fault(ignore_range=True))
    bring(resolve(server, store), store)


def test_a_server_that_does_not_say_the_length_is_named(server: ScriptedServer, store: Store) -> None:
    server.fail("/m/model.safetensors", Fault(status=206, headers={"Content-Range": "bytes 0-0/*"}))
    with pytest.raises(NetworkFailed, match="does not say how long the file is"):
        resolve(server, store)


def test_a_redirect_is_followed(server: ScriptedServer, store: Store) -> None:
    moved = Fault(status=302, headers={"Location": f"{server.url}/m/model.safetensors"})
    server.fail("/old", moved, moved)
    bring(resolve(server, store, "/old"), store)


@pytest.mark.parametrize(
    "fault",
    [Fault(cut=1_500_000), Fault(reset=1_500_000), Fault(flip=True), Fault(status=503), Fault(short=9)],
    ids=["cut", "reset", "flipped", "unavailable", "short"],
)
def test_what_passes_by_itself_does_no_harm(server: ScriptedServer, store: Store, fault: Fault) -> None:
    model = resolve(server, store)
    server.fail("/m/model.safetensors", fault)
    bring(model, store)


def test_other_bytes_than_the_manifest_states_are_refused(server: ScriptedServer, store: Store) -> None:
    model = resolve(server, store)
    server.files["/m/model.safetensors"] = WEIGHTS[::-1]
    with pytest.raises(WrongSource, match=r"base: model\.safetensors from 127\.0\.0\.1:\d+ are wrong") as error:
        bring(model, store)
    assert "correct url or sha256 in the manifest" in str(error.value.hint)


def test_a_file_that_is_not_there_is_named(server: ScriptedServer, store: Store) -> None:
    with pytest.raises(UrlFailed, match=rf"{server.address} does not give /gone") as error:
        resolve(server, store, "/gone?token=canary")
    assert error.value.because == "it answers with HTTP status 404"
    assert "canary" not in str(vars(error.value))
