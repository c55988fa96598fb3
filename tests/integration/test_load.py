"""Images from a store into a real engine, over the loopback registry."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from image_maker import image

from bundler.core.events import Silence
from bundler.core.reference import BundleName
from bundler.engine.docker import DockerEngine
from bundler.engine.load import load
from bundler.engine.loopback_registry import serving
from bundler.manifest.lock import LockedImage
from bundler.store.layout import Store
from scripts.world.engine import Engine

BUNDLE = BundleName("small", "1")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "store")


@pytest.fixture
def stored(store: Store, tmp_path: Path) -> LockedImage:
    """A small image in the store, of another digest in every run."""
    made = image(str(tmp_path).encode())
    config, *layers = (store.put(blob, "x") for blob in made.blobs)
    manifest = store.put(made.manifest, made.media_type)
    return LockedImage("serve", "made by hand", manifest, (config, *layers))


@pytest.fixture
def engine(online_engine: Engine, stored: LockedImage, monkeypatch: pytest.MonkeyPatch) -> Iterator[DockerEngine]:
    monkeypatch.setenv("DOCKER_HOST", online_engine.host)
    connected = DockerEngine.connect()
    yield connected
    if found := connected.image(stored.manifest, stored.blobs[0]):
        online_engine.docker("rmi", "-f", found)


def names(engine: Engine, image: str) -> list[str]:
    """All names of an image, by tag and by digest."""
    shown = engine.docker("inspect", "-f", '{{join .RepoTags "\\n"}}\n{{join .RepoDigests "\\n"}}', image).stdout
    return shown.split()


def test_an_image_whose_loader_was_killed_before_it_got_its_name_is_named_by_the_next_up(
    engine: DockerEngine, online_engine: Engine, store: Store, stored: LockedImage
) -> None:
    """An image without a name is what `docker image prune` deletes, and the loopback's says nothing to people."""
    with serving(store, (stored,)) as address:
        engine.pull(f"{address}/{BUNDLE.name}/serve@{stored.manifest.digest}", lambda *_: None)
    done = load(store, BUNDLE, (stored,), engine, Silence())
    assert done.loaded == ()
    found = names(online_engine, done.ids["serve"])
    assert "small/serve:1" in found
    assert not [name for name in found if name.startswith("127.0.0.1:")]
    assert load(store, BUNDLE, (stored,), engine, Silence()) == done
    assert names(online_engine, done.ids["serve"]) == found
