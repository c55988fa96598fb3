"""One contract for all sources: what the rest of the program may rely on, whoever the bytes come from."""

from __future__ import annotations

import os
import random
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from image_maker import OCI_LAYER, Pusher, image
from scripted_server import Fault, ScriptedServer

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.errors import BundlerError
from bundler.core.events import Silence
from bundler.core.reference import Reference
from bundler.sources import files
from bundler.sources.fallback import Fallback
from bundler.sources.fetch import fetch
from bundler.sources.http import Http, Timeouts
from bundler.sources.hub import HubFiles
from bundler.sources.huggingface import HuggingFace
from bundler.sources.mirrored import Mirrored
from bundler.sources.modelscope import ModelScope as ModelScopeAddress
from bundler.sources.registry import Registry as RegistrySource
from bundler.sources.retry import Retries, Retrying
from bundler.sources.source import BlobSource, Download, InParts
from bundler.sources.url import UrlFiles
from bundler.store.layout import Store
from scripts.world.hub import Hub, ModelScope
from scripts.world.registry import Registry

CONTENT = random.Random(7).randbytes(3_000_001)
MADE = image(CONTENT)
LAYER = Descriptor.of(MADE.blobs[1], OCI_LAYER)
MODEL = Descriptor.of(CONTENT, "application/octet-stream")

Case = tuple[BlobSource, Descriptor, bytes]


def registry_case(request: pytest.FixtureRequest) -> Case:
    registry: Registry = request.getfixturevalue("registry")
    repository = f"contract/{secrets.token_hex(6)}"
    text = Pusher(registry.address).push(repository, MADE, "1")
    return RegistrySource(Reference.parse(text), Http(), Retries()), LAYER, MADE.blobs[1]


def manifest_case(request: pytest.FixtureRequest) -> Case:
    source, _, _ = registry_case(request)
    return source, Descriptor.of(MADE.manifest, MADE.media_type), MADE.manifest


def hub_case(request: pytest.FixtureRequest) -> Case:
    hub: Hub = request.getfixturevalue("empty_hub")
    directory: Path = request.getfixturevalue("tmp_path") / "hub" / "acme" / "tiny"
    directory.mkdir(parents=True)
    (directory / "model.safetensors").write_bytes(CONTENT)
    paths = {MODEL.digest: "model.safetensors"}
    return HubFiles(HuggingFace(hub.endpoint), "acme/tiny", hub.commit("acme/tiny"), paths, Http()), MODEL, CONTENT


def local_case(request: pytest.FixtureRequest) -> Case:
    path: Path = request.getfixturevalue("tmp_path") / "weights"
    path.write_bytes(CONTENT)
    return files.LocalFiles(path, {MODEL.digest: path}), MODEL, CONTENT


def retrying_case(request: pytest.FixtureRequest) -> Case:
    source, blob, content = hub_case(request)
    return Retrying(source), blob, content


def mirrored_case(request: pytest.FixtureRequest) -> Case:
    registry: Registry = request.getfixturevalue("registry")
    reference = Reference.parse(Pusher(registry.address).push(f"contract/{secrets.token_hex(6)}", MADE, "1"))
    places = [RegistrySource(reference, Http(), Retries()) for _ in range(2)]
    return Mirrored(places, reference, Silence()), LAYER, MADE.blobs[1]


def modelscope_case(request: pytest.FixtureRequest) -> Case:
    hub: ModelScope = request.getfixturevalue("ms")
    files: Path = request.getfixturevalue("ms_files")
    (files / "model.safetensors").write_bytes(CONTENT)
    address = ModelScopeAddress(hub.endpoint, None, Http())
    paths = {MODEL.digest: "model.safetensors"}
    return HubFiles(address, "acme/tiny", hub.commit("acme/tiny"), paths, Http()), MODEL, CONTENT


def url_case(request: pytest.FixtureRequest) -> Case:
    hub_case(request)
    hub: Hub = request.getfixturevalue("empty_hub")
    url = f"{hub.endpoint}/acme/tiny/resolve/main/model.safetensors"
    return UrlFiles({MODEL.digest: url}, Http()), MODEL, CONTENT


def fallback_case(request: pytest.FixtureRequest) -> Case:
    source, blob, content = hub_case(request)
    return Fallback([UrlFiles({MODEL.digest: "http://127.0.0.1:9/"}, Http()), source]), blob, content


@pytest.fixture(
    params=[
        registry_case,
        manifest_case,
        hub_case,
        modelscope_case,
        url_case,
        local_case,
        retrying_case,
        mirrored_case,
        fallback_case,
    ],
    ids=lambda case: case.__name__,
)
def case(request: pytest.FixtureRequest) -> Case:
    make: Callable[[pytest.FixtureRequest], Case] = request.param
    return make(request)


def test_a_blob_is_read_whole(case: Case) -> None:
    source, blob, content = case
    stream = source.open(blob, 0)
    assert stream.offset == 0
    assert b"".join(stream) == content


@pytest.mark.parametrize("part", [0.0001, 0.5, 0.9999])
def test_a_blob_is_read_from_the_offset_or_the_source_says_that_it_begins_again(case: Case, part: float) -> None:
    source, blob, content = case
    offset = int(len(content) * part)
    stream = source.open(blob, offset)
    assert stream.offset in (0, offset)
    assert b"".join(stream) == content[stream.offset :]


def test_the_last_byte_alone_can_be_asked_for(case: Case) -> None:
    source, blob, content = case
    stream = source.open(blob, len(content) - 1)
    assert b"".join(stream) == content[stream.offset :]


def test_no_chunk_is_empty_or_larger_than_a_thread_should_hold(case: Case) -> None:
    source, blob, _ = case
    assert all(0 < len(chunk) <= 1 << 20 for chunk in source.open(blob, 0))


def test_a_stream_that_is_closed_early_does_no_harm_to_the_next(case: Case) -> None:
    source, blob, content = case
    for _ in range(3):
        stream = source.open(blob, 0)
        next(iter(stream))
        stream.close()
        stream.close()
    assert b"".join(source.open(blob, 0)) == content


def test_many_threads_read_at_once(case: Case) -> None:
    source, blob, content = case
    results: list[bytes] = []
    threads = [threading.Thread(target=lambda: results.append(b"".join(source.open(blob, 0)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(map(len, results)) == {len(content)}
    assert set(results) == {content}


def test_abort_may_come_at_any_time_even_after_the_end(case: Case) -> None:
    source, blob, content = case
    stream = source.open(blob, 0)
    assert b"".join(stream) == content
    stream.abort()
    stream.close()
    stream.abort()


def test_a_source_says_what_it_is_and_why_it_might_be_wrong(case: Case) -> None:
    source, _, _ = case
    assert source.name
    assert source.suspicion
    assert source.remedy


def test_a_blob_that_is_gone_is_an_error_that_a_person_can_read(case: Case, tmp_path: Path) -> None:
    source, blob, _ = case
    for victim in (tmp_path / "weights", *tmp_path.glob("*/acme/tiny/model.safetensors")):
        victim.unlink(missing_ok=True)
    if isinstance(source, (RegistrySource, Mirrored)):
        blob = Descriptor(blob.media_type, Digest.of(os.urandom(8)), blob.size)
    with pytest.raises(BundlerError) as error:
        source.open(blob, 0)
    assert error.value.because


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        server.files["/v2/a/b/blobs/" + str(MODEL.digest)] = CONTENT
        yield server


@pytest.mark.parametrize("stall", [0, 1000])
def test_abort_wakes_a_reader_that_waits_for_a_server_that_says_nothing(server: ScriptedServer, stall: int) -> None:
    path = f"/v2/a/b/blobs/{MODEL.digest}"
    server.fail(path, Fault(stall=stall))
    patient = Http(timeouts=Timeouts(connect=5, read=300))
    source = RegistrySource(Reference.parse(f"{server.address}/a/b:1"), patient, Retries())
    stream = source.open(MODEL, 0)
    ended = threading.Event()

    def read() -> None:
        with suppress(BundlerError):
            b"".join(stream)
        ended.set()

    threading.Thread(target=read, daemon=True).start()
    assert server.stalled.wait(10)
    stream.abort()
    assert ended.wait(10)


@pytest.mark.parametrize(("first", "last"), [(0, 1), (1000, 5000), (2_000_000, 3_000_000)])
def test_a_source_that_gives_parts_gives_exactly_the_one_that_is_asked_for(case: Case, first: int, last: int) -> None:
    source, blob, content = case
    if not isinstance(source, InParts) or blob.media_type == MADE.media_type:
        return  # a manifest is never asked for in parts
    stream = source.open_part(blob, first, last)
    assert stream.offset == first
    assert b"".join(stream) == content[first:last]


def test_a_store_is_filled_from_each_source_alike(case: Case, tmp_path: Path) -> None:
    source, blob, content = case
    store = Store.create(tmp_path / "store")
    with store.writer(blob.digest, blob.size) as writer:
        writer.write(content[: len(content) // 3])
    result = fetch([Download(blob, "a blob", source)], store, Silence())
    assert store.path(blob.digest).read_bytes() == content
    assert result.bytes + result.resumed >= len(content)
