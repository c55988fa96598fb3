"""What the hubs' own libraries have downloaded before is linked, once it was hashed; never fetched, never trusted."""

from __future__ import annotations

from pathlib import Path

import pytest
from hubs import HF, MS, REPO, WEIGHTS, resolve

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.events import Silence
from bundler.core.media_types import RAW
from bundler.core.owner import Owner
from bundler.manifest.lock import Origin
from bundler.sources.cached import adopt_cached
from bundler.sources.fetch import fetch
from bundler.sources.models import model_downloads
from bundler.store import adopt as adopting
from bundler.store.adopt import adopt
from bundler.store.closure import closure
from bundler.store.layout import Store
from bundler.store.verify import verify
from scripts.world.hub import Hub, ModelScope

DIGEST = Digest.of(WEIGHTS)
BLOB = Descriptor(RAW, DIGEST, len(WEIGHTS))
pytestmark = pytest.mark.usefixtures("ms", "hf")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "store")


def cache_huggingface(tmp_path: Path, hf: Hub) -> Path:
    """Fill the cache as huggingface_hub does."""
    from huggingface_hub import snapshot_download

    cache = tmp_path / "hf" / "hub"
    return Path(snapshot_download(REPO, cache_dir=cache, endpoint=hf.endpoint))


def cache_modelscope() -> Path:
    """Fill the cache as modelscope does."""
    from modelscope.hub.snapshot_download import snapshot_download

    return Path(snapshot_download(REPO))


def quiet(count: int) -> None:
    """Hear nothing."""


@pytest.mark.parametrize("origin", [MS, HF], ids=["modelscope", "huggingface"])
@pytest.mark.parametrize("cache", ["modelscope", "huggingface"])
def test_a_cached_model_is_linked_and_not_downloaded(
    ms: ModelScope, hf: Hub, store: Store, tmp_path: Path, origin: Origin, cache: str
) -> None:
    there = cache_modelscope() if cache == "modelscope" else cache_huggingface(tmp_path, hf)
    ms.faults.clear()
    hf.faults.clear()
    model = resolve(store, origin)
    adopted = adopt_cached([model], store, Silence())
    assert adopted.files >= 1
    fetched = fetch(model_downloads(model), store, Silence())
    assert DIGEST not in [blob.digest for blob in fetched.fetched]
    assert ms.faults.count(file="model.safetensors") + hf.faults.count(file="model.safetensors") == 0
    assert verify(store, closure(store, model.manifest), Silence()).bad == ()
    assert (there / "model.safetensors").read_bytes() == WEIGHTS


def test_a_damaged_file_in_a_cache_is_passed_over_and_fetched(hf: Hub, store: Store, tmp_path: Path) -> None:
    cached = (cache_huggingface(tmp_path, hf) / "model.safetensors").resolve()
    damaged = WEIGHTS[:-1] + b"x"
    cached.write_bytes(damaged)
    model = resolve(store, HF)
    assert not store.has(BLOB)
    adopt_cached([model], store, Silence())
    assert not store.has(BLOB)
    assert list(store.partial.iterdir()) == []
    fetch(model_downloads(model), store, Silence())
    assert store.path(DIGEST).read_bytes() == WEIGHTS
    assert cached.read_bytes() == damaged
    assert cached.stat().st_mode & 0o200, "a file that was not taken stays as it was"


def test_what_a_killed_build_was_linking_is_removed_and_linked_again(hf: Hub, store: Store, tmp_path: Path) -> None:
    cached = cache_huggingface(tmp_path, hf) / "model.safetensors"
    me = Owner.me()
    dead = Owner(me.host, me.machine, "earlier-boot", 1, "1")
    left = store.partial / f"ingest-{'ab' * 8}.{dead.key}"
    left.hardlink_to(cached.resolve())
    model = resolve(store, HF)
    adopt_cached([model], store, Silence())
    assert store.has(BLOB)
    assert list(store.partial.iterdir()) == []


def test_a_store_without_a_cache_is_filled_from_the_hub(store: Store) -> None:
    model = resolve(store, HF)
    assert adopt_cached([model], store, Silence()).files == 0


def test_a_file_is_taken_without_a_second_copy(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adopting, "FICLONE", 0)  # a file system that can't share blocks
    file = tmp_path / "file"
    file.write_bytes(WEIGHTS)
    assert adopt(store, BLOB, file, quiet)
    assert store.path(DIGEST).samefile(file)
    assert file.stat().st_mode & 0o777 == 0o444


def test_what_replaces_a_linked_file_in_the_cache_leaves_the_blob_alone(store: Store, tmp_path: Path) -> None:
    file, fresh = tmp_path / "file", tmp_path / "fresh"
    file.write_bytes(WEIGHTS)
    fresh.write_bytes(b"new")
    adopt(store, BLOB, file, quiet)
    fresh.rename(file)
    assert store.path(DIGEST).read_bytes() == WEIGHTS


def test_a_file_of_another_file_system_is_copied(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adopting, "_shared", lambda *_: False)
    file = tmp_path / "file"
    file.write_bytes(WEIGHTS)
    assert adopt(store, BLOB, file, quiet)
    assert not store.path(DIGEST).samefile(file)
    assert store.path(DIGEST).read_bytes() == WEIGHTS
    file.write_bytes(WEIGHTS[::-1])
    store.path(DIGEST).unlink()
    assert not adopt(store, BLOB, file, quiet)
    assert not store.has(BLOB)


@pytest.mark.parametrize("what", ["shorter", "longer", "other", "absent", "directory", "link to nothing"])
def test_what_is_not_the_file_is_not_taken(store: Store, tmp_path: Path, what: str) -> None:
    file = tmp_path / "file"
    contents = {"shorter": WEIGHTS[:-1], "longer": WEIGHTS + b"x", "other": WEIGHTS[::-1]}
    if what in contents:
        file.write_bytes(contents[what])
    elif what == "directory":
        file.mkdir()
    elif what == "link to nothing":
        file.symlink_to(tmp_path / "nothing")
    assert not adopt(store, BLOB, file, quiet)
    assert not store.has(BLOB)
    assert list(store.partial.iterdir()) == []
