"""Networks fail. What was fetched is kept, what is wrong is never stored, and the user is told which and why."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from scripted_server import Fault, ScriptedServer

from bundler.core.descriptor import Descriptor
from bundler.core.errors import NetworkFailed, NoSpace
from bundler.core.events import BytesMoved, Event, Silence, StepEnded, StepStarted, Warned
from bundler.core.reference import Reference
from bundler.sources.crew import WrongSource
from bundler.sources.fetch import FetchResult, fetch
from bundler.sources.http import Http, Timeouts
from bundler.sources.registry import Registry
from bundler.sources.retry import GaveUp, Retries, RetryPolicy
from bundler.sources.source import Download, Stream
from bundler.store.layout import Store

SIZE = 2_500_000
CONTENT = random.Random(3).randbytes(SIZE)
BLOB = Descriptor.of(CONTENT, "application/octet-stream")
QUICK = RetryPolicy(attempts=4, first=0.001, longest=0.002)


@dataclass
class Recorder:
    events: list[Event] = field(default_factory=list)

    def emit(self, event: Event) -> None:
        self.events.append(event)

    @property
    def warnings(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Warned)]


@dataclass
class Carrier:
    """A scripted registry with blobs, and a store to fetch them into."""

    server: ScriptedServer
    store: Store
    heard: Recorder = field(default_factory=Recorder)
    timeouts: Timeouts = field(default_factory=lambda: Timeouts(connect=5, read=5))

    def path(self, blob: Descriptor = BLOB) -> str:
        return f"/v2/a/b/blobs/{blob.digest}"

    def offer(self, *contents: bytes) -> list[Download]:
        reference = Reference.parse(f"{self.server.address}/a/b:1")
        source = Registry(reference, Http(timeouts=self.timeouts), Retries())
        found = []
        for number, content in enumerate(contents):
            blob = Descriptor.of(content, "application/octet-stream")
            self.server.files[self.path(blob)] = content
            found.append(Download(blob, f"app: layer {number}", source))
        return found

    def fetch(self, *faults: Fault, streams: int = 4) -> FetchResult:
        downloads = self.offer(CONTENT)
        self.server.fail(self.path(), *faults)
        return fetch(downloads, self.store, self.heard, streams, QUICK)

    def begin(self, count: int) -> None:
        """What an earlier run left."""
        with self.store.writer(BLOB.digest, BLOB.size) as writer:
            writer.write(CONTENT[:count])

    def ranges(self) -> list[str | None]:
        return [request.range for request in self.server.asked(self.path())]

    def whole(self) -> bool:
        return self.store.path(BLOB.digest).read_bytes() == CONTENT


@pytest.fixture
def carrier(tmp_path: Path) -> Iterator[Carrier]:
    with ScriptedServer() as server:
        yield Carrier(server, Store.create(tmp_path / "store"))


@pytest.mark.parametrize("fault", [Fault(cut=1_000_000), Fault(reset=1_000_000)], ids=["cut", "reset"])
def test_a_connection_that_breaks_is_taken_up_again_where_it_broke(carrier: Carrier, fault: Fault) -> None:
    result = carrier.fetch(fault)
    assert carrier.whole()
    first, second = carrier.ranges()
    assert first is None
    assert second is not None  # a reset may throw away what the kernel had not handed over yet
    assert 0 < int(second.removeprefix("bytes=").rstrip("-")) <= 1_000_000
    assert result.bytes == SIZE
    assert "trying again" in carrier.heard.warnings[0]


def test_a_server_that_falls_silent_is_left_and_asked_again(carrier: Carrier) -> None:
    carrier.timeouts = Timeouts(connect=5, read=0.2)
    carrier.fetch(Fault(stall=1_000_000))
    assert carrier.whole()
    assert carrier.ranges() == [None, "bytes=1000000-"]
    assert f"{carrier.server.address} fell silent" in carrier.heard.warnings[0]


def test_a_server_that_never_answers_is_left_and_asked_again(carrier: Carrier) -> None:
    carrier.timeouts = Timeouts(connect=5, read=0.2)
    carrier.fetch(Fault(silent=True))
    assert carrier.whole()


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(carrier: Carrier, status: int) -> None:
    carrier.fetch(Fault(status=status), Fault(status=status, headers={"Retry-After": "0"}))
    assert carrier.whole()
    assert len(carrier.ranges()) == 3


def test_a_server_that_is_busy_for_hours_ends_the_build_with_its_name(carrier: Carrier) -> None:
    with pytest.raises(GaveUp, match=f"{carrier.server.address} can't answer now") as error:
        carrier.fetch(Fault(status=429, headers={"Retry-After": "7200"}))
    assert error.value.because == "it answers with HTTP status 429, too many requests"
    assert "docker login" in str(error.value.hint)


def test_a_network_that_stays_bad_ends_the_build_and_keeps_what_came(carrier: Carrier) -> None:
    with pytest.raises(GaveUp, match=f"{carrier.server.address} broke off"):
        carrier.fetch(Fault(cut=1_200_000), *[Fault(cut=0)] * 3)
    assert carrier.store.begun(BLOB) == 1_200_000
    assert not carrier.store.has(BLOB)
    assert carrier.fetch().resumed == 1_200_000
    assert carrier.whole()


def test_what_an_earlier_run_left_is_not_fetched_again(carrier: Carrier) -> None:
    carrier.begin(2_000_000)
    result = carrier.fetch()
    assert carrier.ranges() == ["bytes=2000000-"]
    assert (result.bytes, result.resumed) == (500_000, 2_000_000)
    assert carrier.whole()


def test_what_an_earlier_run_left_complete_needs_no_network(carrier: Carrier) -> None:
    carrier.begin(SIZE)
    result = carrier.fetch()
    assert (carrier.ranges(), result.bytes) == ([], 0)
    assert carrier.whole()


def test_a_server_without_ranges_sends_all_again_and_the_blob_is_right(carrier: Carrier) -> None:
    carrier.begin(2_000_000)
    assert carrier.fetch(Fault(ignore_range=True)).bytes == SIZE
    assert carrier.whole()


def test_a_server_that_sends_another_range_than_asked_is_not_believed(carrier: Carrier) -> None:
    carrier.begin(2_000_000)
    assert carrier.fetch(Fault(shift_range=-1)).bytes == SIZE  # nothing of the wrong range was taken
    assert carrier.whole()
    assert carrier.ranges() == ["bytes=2000000-", None]


def test_a_range_that_the_server_can_not_satisfy_is_asked_for_whole(carrier: Carrier) -> None:
    carrier.begin(2_000_000)
    carrier.fetch(Fault(status=416))
    assert carrier.whole()


def test_a_flipped_bit_is_fetched_once_more(carrier: Carrier) -> None:
    assert carrier.fetch(Fault(flip=True)).bytes == 2 * SIZE
    assert carrier.whole()


def test_a_flipped_bit_in_what_an_earlier_run_left_is_mended(carrier: Carrier) -> None:
    with carrier.store.writer(BLOB.digest, BLOB.size) as writer:
        writer.write(b"x" * 1_000_000)
    carrier.fetch()
    assert carrier.whole()
    assert carrier.ranges() == ["bytes=1000000-", None]


def test_a_source_that_is_wrong_twice_is_named_and_nothing_is_stored(carrier: Carrier) -> None:
    with pytest.raises(WrongSource) as error:
        carrier.fetch(Fault(flip=True), Fault(flip=True))
    assert str(error.value) == f"the bytes of app: layer 0 from {carrier.server.address}/a/b are wrong"
    assert str(BLOB.digest) in str(error.value.because)
    assert not carrier.store.has(BLOB)
    assert carrier.store.begun(BLOB) == 0


def test_a_longer_body_than_stated_is_not_stored(carrier: Carrier) -> None:
    downloads = carrier.offer(CONTENT)
    carrier.server.files[carrier.path()] = CONTENT + b"more"
    with pytest.raises(WrongSource, match="are wrong"):
        fetch(downloads, carrier.store, Silence(), policy=QUICK)
    assert not carrier.store.has(BLOB)


def test_a_shorter_body_than_stated_is_told_as_such(carrier: Carrier) -> None:
    downloads = carrier.offer(CONTENT)
    carrier.server.files[carrier.path()] = CONTENT[:-1]
    with pytest.raises(NetworkFailed) as error:
        fetch(downloads, carrier.store, Silence(), policy=QUICK)
    assert not carrier.store.has(BLOB)
    assert str(SIZE - 1) in str(error.value.because)


def test_an_answer_that_is_a_page_of_a_captive_portal_is_not_stored(carrier: Carrier) -> None:
    downloads = carrier.offer(CONTENT)
    carrier.server.files[carrier.path()] = b"<html>please accept the terms</html>"
    with pytest.raises(NetworkFailed, match="sent too little"):
        fetch(downloads, carrier.store, Silence(), policy=QUICK)
    assert not carrier.store.has(BLOB)


def test_a_redirect_to_storage_is_followed(carrier: Carrier) -> None:
    with ScriptedServer("localhost") as storage:
        storage.files["/bucket"] = CONTENT
        storage.fail("/bucket", Fault(cut=1_000_000))
        there = Fault(status=307, headers={"Location": f"{storage.url}/bucket"})
        carrier.fetch(there, there)
        assert carrier.whole()
        assert [request.range for request in storage.requests] == [None, "bytes=1000000-"]


def test_a_signed_address_never_gets_into_an_error(carrier: Carrier) -> None:
    with ScriptedServer("localhost") as storage:
        there = Fault(status=307, headers={"Location": f"{storage.url}/bucket?X-Signature=canary-sig"})
        with pytest.raises(NetworkFailed) as error:
            carrier.fetch(there)
        shown = f"{error.value}{error.value.because}{error.value.hint}{carrier.heard.warnings}"
        assert "canary" not in shown


def test_redirects_in_a_circle_end(carrier: Carrier) -> None:
    loop = Fault(status=302, headers={"Location": carrier.path()})
    with pytest.raises(NetworkFailed, match="redirects in circles"):
        carrier.fetch(*[loop] * 50)


def test_no_room_is_said_with_figures_before_anything_is_fetched(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "free_bytes", lambda _: 2_000_000)
    with pytest.raises(NoSpace, match=r"needs 2\.5 MB more, and .* has 2\.0 MB free") as error:
        carrier.fetch()
    assert str(carrier.store.root) in str(error.value)
    assert carrier.server.requests == []


def test_what_was_begun_counts_so_that_a_full_disk_can_still_be_finished(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    carrier.begin(1_000_000)
    monkeypatch.setattr(Store, "free_bytes", lambda _: 1_600_000)
    carrier.fetch()
    assert carrier.whole()


def test_the_largest_blob_starts_first_so_that_it_is_not_waited_for_at_the_end(carrier: Carrier) -> None:
    downloads = carrier.offer(b"a" * 10, b"b" * 3000, b"c" * 200)
    fetch(downloads, carrier.store, Silence(), streams=1)
    sizes = {carrier.path(download.blob): download.blob.size for download in downloads}
    assert [sizes[request.path] for request in carrier.server.requests] == [3000, 200, 10]


def test_progress_adds_up_to_the_total_whatever_goes_wrong_on_the_way(carrier: Carrier) -> None:
    carrier.begin(500_000)
    carrier.fetch(Fault(reset=700_000), Fault(ignore_range=True, flip=True), Fault(cut=1_000_000))
    (started,) = [event for event in carrier.heard.events if isinstance(event, StepStarted)]
    (ended,) = [event for event in carrier.heard.events if isinstance(event, StepEnded)]
    assert started.total == SIZE
    assert sum(event.count for event in carrier.heard.events if isinstance(event, BytesMoved)) == SIZE
    assert "from before" in ended.summary


def test_one_failure_stops_the_other_streams_soon_and_keeps_what_they_have(carrier: Carrier) -> None:
    """The other stream waits for a silent server, with ten minutes of patience."""
    carrier.timeouts = Timeouts(connect=5, read=600)
    other = random.Random(5).randbytes(SIZE + 1)
    stuck, broken = carrier.offer(other, CONTENT)
    carrier.server.fail(carrier.path(stuck.blob), Fault(stall=1_000_000))

    waits = threading.Event()

    class Heard(Recorder):
        def emit(self, event: Event) -> None:
            super().emit(event)
            if sum(one.count for one in self.events if isinstance(one, BytesMoved)) >= 1_000_000:
                waits.set()

    class FailsOnceTheOtherWaits:
        name, suspicion, remedy = "late", "none", "none"

        def open(self, _blob: Descriptor, _offset: int) -> Stream:
            assert waits.wait(10)
            raise NetworkFailed("no such blob")

    with pytest.raises(NetworkFailed, match="no such blob"):
        fetch([stuck, Download(broken.blob, broken.label, FailsOnceTheOtherWaits())], carrier.store, Heard())
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("fetch-")] == []
    assert carrier.store.begun(stuck.blob) == 1_000_000


@pytest.mark.parametrize("kind", [IndexError, KeyError, RuntimeError, SystemExit])
def test_a_mistake_of_ours_in_a_stream_is_never_taken_for_success(carrier: Carrier, kind: type[BaseException]) -> None:
    class Broken:
        name, suspicion, remedy = "broken", "none", "none"

        def open(self, _blob: Descriptor, _offset: int) -> Stream:
            raise kind("a bug")

    with pytest.raises(kind, match="a bug"):
        fetch([Download(BLOB, "a blob", Broken())], carrier.store, Silence())


def test_nothing_to_fetch_is_done_at_once(carrier: Carrier) -> None:
    assert fetch([], carrier.store, Silence()) == FetchResult((), (), 0, 0)


def test_an_empty_blob_is_stored_without_a_request(carrier: Carrier) -> None:
    (download,) = carrier.offer(b"")
    fetch([download], carrier.store, Silence())
    assert carrier.store.has(download.blob)
    assert carrier.server.requests == []
