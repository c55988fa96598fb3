"""A large blob comes over several connections at once, and is the same bytes as over one, whatever goes wrong."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from image_maker import OCI_LAYER, MadeImage, Pusher, image
from scripted_server import Fault, ScriptedServer

from bundler.core.descriptor import Descriptor
from bundler.core.errors import NetworkFailed
from bundler.core.events import Event, Silence, Warned
from bundler.core.reference import Reference
from bundler.manifest.mirrors import Mirrors
from bundler.sources import mirrored, ranges
from bundler.sources.fetch import FetchResult, fetch
from bundler.sources.http import Http, Timeouts
from bundler.sources.hub import HubFiles
from bundler.sources.huggingface import HuggingFace
from bundler.sources.ranges import Ranges, part_size
from bundler.sources.registry import Registry as RegistrySource
from bundler.sources.retry import Retries, RetryPolicy
from bundler.sources.source import Download
from bundler.sources.widening import Widening
from bundler.store.layout import Store
from scripts.world.hub import Hub
from scripts.world.registry import Registry

SIZE = 3_000_001
CONTENT = random.Random(17).randbytes(SIZE)
BLOB = Descriptor.of(CONTENT, "application/octet-stream")
PATH = f"/v2/a/b/blobs/{BLOB.digest}"
PART = 1 << 18
QUICK = RetryPolicy(attempts=4, first=0.001, longest=0.002)


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is 64 MiB for users is 500 kB here, in parts of 256 KiB."""
    monkeypatch.setattr(ranges, "LARGE", 500_000)
    monkeypatch.setattr(ranges, "LONGEST", PART)


@dataclass
class Carrier:
    server: ScriptedServer
    store: Store
    warnings: list[str] = field(default_factory=list)

    def emit(self, event: Event) -> None:
        if isinstance(event, Warned):
            self.warnings.append(event.text)

    def source(self, patience: float = 5) -> RegistrySource:
        reference = Reference.parse(f"{self.server.address}/a/b:1")
        return RegistrySource(reference, Http(timeouts=Timeouts(connect=5, read=patience)), Retries())

    def fetch(self, *faults: Fault, streams: int = 4, patience: float = 5) -> FetchResult:
        self.server.fail(PATH, *faults)
        return fetch([Download(BLOB, "a layer", self.source(patience))], self.store, self, streams, QUICK)

    def spans(self) -> list[str]:
        return [str(request.range) for request in self.server.asked(PATH)]

    def whole(self) -> bool:
        return self.store.path(BLOB.digest).read_bytes() == CONTENT


@pytest.fixture
def carrier(tmp_path: Path) -> Iterator[Carrier]:
    with ScriptedServer() as server:
        server.files[PATH] = CONTENT
        yield Carrier(server, Store.create(tmp_path / "store"))


def spans(offset: int = 0) -> list[str]:
    return [f"bytes={first}-{min(first + PART, SIZE) - 1}" for first in range(offset, SIZE, PART)]


def test_a_blob_alone_is_asked_for_in_parts_each_once(carrier: Carrier) -> None:
    assert carrier.fetch().bytes == SIZE
    assert carrier.whole()
    assert sorted(carrier.spans()) == sorted(spans())


def test_what_an_earlier_run_left_is_not_asked_for_again(carrier: Carrier) -> None:
    with carrier.store.writer(BLOB.digest, BLOB.size) as writer:
        writer.write(CONTENT[:1_000_000])
    assert carrier.fetch().bytes == SIZE - 1_000_000
    assert carrier.whole()
    assert sorted(carrier.spans()) == sorted(spans(1_000_000))


def test_one_stream_asks_for_one_body(carrier: Carrier) -> None:
    carrier.fetch(streams=1)
    assert carrier.spans() == ["None"]


@pytest.mark.parametrize("fault", [Fault(cut=100_000), Fault(reset=100_000), Fault(status=503)])
def test_each_part_is_mended_by_itself(carrier: Carrier, fault: Fault) -> None:
    carrier.fetch(*[fault] * 3)
    assert carrier.whole()
    assert len(carrier.warnings) == 3


def test_a_part_that_stalls_is_asked_for_again_from_where_it_stood(carrier: Carrier) -> None:
    carrier.fetch(Fault(stall=100_000), patience=0.3)
    assert carrier.whole()
    assert f"bytes=100000-{PART - 1}" in carrier.spans()


def test_a_server_without_ranges_sends_all_of_it_once(carrier: Carrier) -> None:
    assert carrier.fetch(*[Fault(ignore_range=True)] * 9).bytes == SIZE
    assert carrier.whole()
    assert carrier.spans()[1:] == ["None"]


def test_a_server_that_sends_another_range_than_asked_is_not_believed(carrier: Carrier) -> None:
    assert carrier.fetch(Fault(shift_range=1)).bytes == SIZE
    assert carrier.whole()


def test_a_server_that_stops_sending_ranges_is_asked_for_the_rest_in_one(carrier: Carrier) -> None:
    carrier.fetch(Fault(), Fault(), Fault(), Fault(ignore_range=True), Fault(ignore_range=True))
    assert carrier.whole()
    assert carrier.store.missing([BLOB]) == ()


def test_a_part_of_another_version_is_found_out_by_the_digest(carrier: Carrier) -> None:
    carrier.fetch(Fault(), Fault(flip=True))
    assert carrier.whole()


def test_a_part_that_never_comes_ends_the_build_and_keeps_what_stood_before_it(carrier: Carrier) -> None:
    carrier.server.files[PATH] = CONTENT[: PART * 3]
    with pytest.raises(NetworkFailed):
        carrier.fetch()
    assert not carrier.store.has(BLOB)
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("fetch-")] == []


def test_parts_run_ahead_only_as_far_as_the_window_so_that_memory_is_bounded(carrier: Carrier) -> None:
    stream = Ranges(carrier.source(), BLOB, 0, connections=3, size=PART, retries=Retries(QUICK))
    chunks = iter(stream)
    taken = len(next(chunks))
    assert len(carrier.spans()) <= 3
    for chunk in chunks:
        taken += len(chunk)
        assert len(carrier.spans()) <= taken // PART + 3
    assert taken == SIZE


def test_all_streams_together_hold_no_more_than_the_memory_allows() -> None:
    assert all(part_size(streams) * streams <= ranges.MEMORY for streams in range(1, 33))


def test_a_blob_under_way_takes_the_connections_that_others_no_longer_need_and_loses_nothing(carrier: Carrier) -> None:
    came = bytearray()
    stream = Widening(carrier.source(), BLOB, 0, lambda: 1 if len(came) < 1_000_000 else 3, PART, Retries(QUICK))
    for chunk in stream:
        came += chunk
    assert came == CONTENT
    first, second, *_ = carrier.spans()
    assert first == "None"
    assert int(second.removeprefix("bytes=").partition("-")[0]) >= 1_000_000


def test_a_stream_that_is_ended_while_parts_stall_wakes_at_once(carrier: Carrier) -> None:
    carrier.server.fail(PATH, *[Fault(stall=1000)] * 4)
    stream = Ranges(carrier.source(300), BLOB, 0, connections=3, size=PART, retries=Retries(QUICK))
    ended = threading.Event()

    def read() -> None:
        with suppress(NetworkFailed):
            b"".join(stream)
        ended.set()

    threading.Thread(target=read, daemon=True).start()
    assert carrier.server.stalled.wait(10)
    stream.abort()
    assert ended.wait(10)


def test_a_real_registry_sends_parts(registry: Registry) -> None:
    made: MadeImage = image(CONTENT)
    text = Pusher(registry.address).push("ranges/app", made, "1")
    layer = Descriptor.of(made.blobs[1], OCI_LAYER)
    source = RegistrySource(Reference.parse(text), Http(), Retries())
    stream = Ranges(source, layer, 77, connections=3, size=PART, retries=Retries())
    assert b"".join(stream) == made.blobs[1][77:]


def test_a_hub_that_redirects_to_storage_sends_parts_of_it(empty_hub: Hub, tmp_path: Path) -> None:
    directory = tmp_path / "hub" / "acme" / "tiny"
    directory.mkdir(parents=True)
    (directory / "model.safetensors").write_bytes(CONTENT)
    hub, commit = HuggingFace(empty_hub.endpoint), empty_hub.commit("acme/tiny")
    source = HubFiles(hub, "acme/tiny", commit, {BLOB.digest: "model.safetensors"}, Http())
    store = Store.create(tmp_path / "store")
    fetch([Download(BLOB, "weights", source)], store, Silence())
    assert store.path(BLOB.digest).read_bytes() == CONTENT
    assert empty_hub.faults.count(file="model.safetensors") == len(spans())


def test_a_mirror_that_fails_between_parts_is_taken_over_by_the_registry(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirrored, "BRIEF", Retries(replace(QUICK, attempts=2)))
    with ScriptedServer() as mirror:
        mirror.files[PATH] = CONTENT
        mirror.fail(PATH, Fault(), Fault(), *[Fault(status=500)] * 40)
        reference = Reference.parse(f"{carrier.server.address}/a/b:1")
        mirrors = Mirrors({carrier.server.address: (mirror.address,)})
        source = mirrored.mirrored(carrier.source(), reference, mirrors, carrier)
        fetch([Download(BLOB, "a layer", source)], carrier.store, carrier, policy=QUICK)
        assert carrier.whole()
        assert len(mirror.asked(PATH)) >= 3
        assert len([text for text in carrier.warnings if "passed over" in text]) == 1
