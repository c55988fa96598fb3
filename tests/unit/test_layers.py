"""An image comes out of the engine once: base layers keep the registry's digests, new ones are compressed and named."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.errors import IntegrityFailed
from bundler.core.events import Silence
from bundler.sources.layers import diff_ids, take_layers
from bundler.store.layout import Store


def layer(name: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


BASE = layer("bin/sh", b"#!" * 10_000)
ADDED = layer("opt/venv/x.py", b"print()\n" * 300_000)
CONFIG = json.dumps({"rootfs": {"type": "layers", "diff_ids": [str(Digest.of(BASE)), str(Digest.of(ADDED))]}}).encode()


def docker_save(
    *, modern: bool, config: bytes = CONFIG, layers: tuple[bytes, ...] = (BASE, ADDED), link: bool = False
) -> bytes:
    """A `docker save` stream: 20.10's (`ID/layer.tar`) or 25's (`blobs/sha256/HEX`)."""
    out = io.BytesIO()
    names = [f"blobs/sha256/{Digest.of(raw).hex}" if modern else f"{n:064x}/layer.tar" for n, raw in enumerate(layers)]
    files = dict(zip(names, layers, strict=True)) | {f"{Digest.of(config).hex}.json": config}
    files["manifest.json"] = json.dumps([{"Config": f"{Digest.of(config).hex}.json", "Layers": names}]).encode()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, raw in files.items():
            entry = tarfile.TarInfo(name)
            if link and name == names[-1]:
                entry.type, entry.linkname = tarfile.SYMTYPE, f"../{names[0]}"
                tar.addfile(entry)
            else:
                entry.size = len(raw)
                tar.addfile(entry, io.BytesIO(raw))
        small = tarfile.TarInfo("0/VERSION")
        small.size = 3
        tar.addfile(small, io.BytesIO(b"1.0"))
    return out.getvalue()


def chunks(raw: bytes, size: int = 70_001) -> list[bytes]:
    return [raw[at : at + size] for at in range(0, len(raw), size)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path)


@pytest.mark.parametrize("modern", [False, True], ids=["docker 20.10", "docker 25"])
def test_layers_are_stored_in_order_and_unpack_to_what_the_config_says(store: Store, modern: bool) -> None:
    saved = take_layers(chunks(docker_save(modern=modern)), {}, store, Silence())
    assert saved.config == CONFIG
    assert [Digest.of(gzip.decompress(store.read(blob.digest))) for blob in saved.layers] == list(diff_ids(CONFIG))


@pytest.mark.parametrize("modern", [False, True], ids=["docker 20.10", "docker 25"])
def test_a_layer_of_the_base_keeps_the_registrys_digest_and_is_not_stored_again(store: Store, modern: bool) -> None:
    known = Descriptor("layer", Digest.of(b"as the registry compressed it"), 7)
    saved = take_layers(chunks(docker_save(modern=modern)), {Digest.of(BASE): known}, store, Silence())
    assert saved.layers[0] == known
    assert [path.name for path in store.blobs.iterdir()] == [saved.layers[1].digest.hex]


def test_the_same_layer_gives_the_same_blob_so_that_images_share_it(store: Store) -> None:
    first = take_layers(chunks(docker_save(modern=False)), {}, store, Silence())
    second = take_layers(chunks(docker_save(modern=True)), {}, store, Silence())
    assert first.layers == second.layers


def test_an_empty_layer_that_stands_twice_is_found_through_its_link(store: Store) -> None:
    config = json.dumps({"rootfs": {"diff_ids": [str(Digest.of(BASE))] * 2}}).encode()
    stream = docker_save(modern=False, config=config, layers=(BASE, BASE), link=True)
    assert len(set(take_layers(chunks(stream), {}, store, Silence()).layers)) == 1


def test_a_layer_that_the_engine_exports_compressed_is_kept_as_it_is(store: Store) -> None:
    packed = gzip.compress(BASE, mtime=0)
    config = json.dumps({"rootfs": {"diff_ids": [str(Digest.of(BASE))]}}).encode()
    saved = take_layers(chunks(docker_save(modern=True, config=config, layers=(packed,))), {}, store, Silence())
    assert saved.layers[0].digest == Digest.of(packed)


def test_an_export_that_contradicts_its_config_is_refused(store: Store) -> None:
    config = json.dumps({"rootfs": {"diff_ids": [str(Digest.of(b"other")), str(Digest.of(ADDED))]}}).encode()
    with pytest.raises(IntegrityFailed, match="contradicts itself"):
        take_layers(chunks(docker_save(modern=False, config=config)), {}, store, Silence())


def test_other_bytes_under_the_name_of_a_base_layer_are_refused(store: Store) -> None:
    raw = docker_save(modern=True).replace(b"#!#!", b"#!#?", 1)
    known = {Digest.of(BASE): Descriptor("layer", Digest.of(b"registry's"), 7)}
    with pytest.raises(IntegrityFailed, match="other bytes under the name"):
        take_layers(chunks(raw), known, store, Silence())


def test_an_export_cut_short_is_refused(store: Store) -> None:
    raw = docker_save(modern=False)
    with pytest.raises(IntegrityFailed, match="not a whole image"):
        take_layers(chunks(raw[: len(raw) // 2]), {}, store, Silence())
    assert list(store.partial.iterdir()) == []
