"""The tar for `docker load`: what is streamed is what `export --docker` writes, byte for byte."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest

from bundler.core.digest import Digest
from bundler.engine.load import unpacked_size
from bundler.manifest.lock import LockedImage
from bundler.media import docker_image
from bundler.store.layout import MissingBlob, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "store")


@pytest.fixture
def image(store: Store) -> LockedImage:
    """One layer twice, as images with empty layers have it."""
    manifest, config, layer = (store.put(text * 700, "x") for text in (b"manifest", b"config", b"layer"))
    return LockedImage("serve", "made by hand", manifest, (config, layer, layer))


def test_the_stream_is_a_tar_with_every_blob_once_and_as_long_as_was_said(store: Store, image: LockedImage) -> None:
    moved: list[int] = []
    raw = b"".join(docker_image.stream(store, image, "demo/serve:1", lambda _, count: moved.append(count)))
    assert len(raw) == docker_image.size(image, "demo/serve:1")
    assert sum(moved) == sum(blob.size for blob in docker_image.blobs(image))
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        found = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    blobs = {name: data for name, data in found.items() if name.startswith("blobs/")}
    assert len(blobs) == 3
    assert all(Digest.of(data).hex == name.rpartition("/")[2] for name, data in blobs.items())
    (listed,) = json.loads(found["manifest.json"])
    assert listed["RepoTags"] == ["demo/serve:1"]
    assert len(listed["Layers"]) == 2


def test_a_blob_that_went_missing_ends_the_stream_with_its_name(store: Store, image: LockedImage) -> None:
    store.path(image.blobs[1].digest).unlink()
    with pytest.raises(MissingBlob, match=image.blobs[1].digest.hex):
        list(docker_image.stream(store, image, "demo/serve:1", lambda *_: None))


def test_the_room_that_a_layer_needs_is_what_its_gzip_says(tmp_path: Path) -> None:
    packed, plain = tmp_path / "packed", tmp_path / "plain"
    packed.write_bytes(gzip.compress(bytes(5_000_000)))
    plain.write_bytes(bytes(3000))
    assert unpacked_size(packed) == 5_000_000
    assert unpacked_size(plain) == 3000
