"""Trying again: what, how often, how long, and when not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundler.core.descriptor import Descriptor
from bundler.core.errors import NetworkFailed
from bundler.sources.retry import GaveUp, Retries, Retrying, RetryPolicy, Transient, describe_wait
from bundler.sources.source import CHUNK, Stream

CONTENT = bytes(range(256)) * 16 * 1024  # 4 MiB
BLOB = Descriptor.of(CONTENT, "application/octet-stream")


@dataclass
class Script:
    """A source that does what it is told: each opening takes the next act."""

    acts: list[object]
    opened: list[int] = field(default_factory=list)
    name: str = "the source"
    suspicion: str = "none"
    remedy: str = "none"

    def open(self, blob: Descriptor, offset: int) -> Stream:
        assert blob == BLOB
        self.opened.append(offset)
        act = self.acts.pop(0)
        if isinstance(act, Exception):
            raise act
        assert isinstance(act, Serve)
        return act.begin(0 if act.from_zero else offset)


@dataclass
class Serve:
    """Sends `count` bytes, then ends or fails."""

    count: int = len(CONTENT)
    then: Exception | None = None
    from_zero: bool = False
    chunk: int = 300_000
    offset: int = 0
    closed: bool = False

    def begin(self, offset: int) -> Serve:
        self.offset = offset
        return self

    def __iter__(self) -> Iterator[bytes]:
        end = min(self.offset + self.count, len(CONTENT))
        for position in range(self.offset, end, self.chunk):
            yield CONTENT[position : min(position + self.chunk, end)]
        if self.then:
            raise self.then

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None: ...


@dataclass
class Clock:
    waits: list[float] = field(default_factory=list)

    def retries(self, **policy: float) -> Retries:
        return Retries(RetryPolicy(**policy), pause=self.waits.append, luck=lambda: 0.0)  # type: ignore[arg-type]


def lost() -> Transient:
    return Transient("the source broke off", because="connection reset by peer")


def test_a_connection_lost_in_the_middle_goes_on_where_it_stopped() -> None:
    clock = Clock()
    script = Script([Serve(1_000_000, lost()), Serve(2_000_000, lost()), Serve()])
    assert b"".join(Retrying(script, clock.retries()).open(BLOB, 0)) == CONTENT
    assert script.opened == [0, 1_000_000, 3_000_000]


def test_a_server_that_can_not_resume_sends_all_again_and_the_reader_sees_each_byte_once() -> None:
    script = Script([Serve(1_000_000, lost()), Serve(from_zero=True)])
    assert b"".join(Retrying(script, Clock().retries()).open(BLOB, 0)) == CONTENT


def test_a_body_that_ends_too_early_counts_as_a_failure() -> None:
    script = Script([Serve(1_000_000), Serve()])
    assert b"".join(Retrying(script, Clock().retries()).open(BLOB, 0)) == CONTENT
    assert script.opened == [0, 1_000_000]


def test_the_offset_that_was_asked_for_is_the_one_that_is_begun_at() -> None:
    stream = Retrying(Script([Serve()]), Clock().retries()).open(BLOB, 500)
    assert (stream.offset, b"".join(stream)) == (500, CONTENT[500:])


def test_a_source_that_never_gets_on_is_given_up_with_the_reason_and_the_number_of_tries() -> None:
    clock = Clock()
    script = Script([lost() for _ in range(9)])
    with pytest.raises(GaveUp, match="the source broke off") as error:
        Retrying(script, clock.retries(attempts=4)).open(BLOB, 0)
    assert error.value.because == "connection reset by peer; tried 4 times"
    assert len(script.opened) == 4
    assert clock.waits == [0.5, 1.0, 2.0]


def test_a_large_file_over_a_bad_line_arrives_because_progress_counts_anew() -> None:
    acts: list[object] = [Serve(CHUNK, lost(), chunk=CHUNK) for _ in range(3)]
    script = Script([*acts, Serve()])
    assert b"".join(Retrying(script, Clock().retries(attempts=2)).open(BLOB, 0)) == CONTENT


def test_a_trickle_of_bytes_is_no_progress_so_that_it_ends() -> None:
    script = Script([Serve(1, lost()) for _ in range(50)])
    with pytest.raises(GaveUp):
        list(Retrying(script, Clock().retries(attempts=5)).open(BLOB, 0))
    assert len(script.opened) == 5


def test_what_can_not_pass_by_itself_is_not_tried_again() -> None:
    script = Script([NetworkFailed("no such blob"), Serve()])
    with pytest.raises(NetworkFailed, match="no such blob"):
        Retrying(script, Clock().retries()).open(BLOB, 0)
    assert script.opened == [0]


def test_a_stream_that_failed_is_closed_before_the_next_is_opened() -> None:
    first = Serve(1_000_000, lost())
    b"".join(Retrying(Script([first, Serve()]), Clock().retries()).open(BLOB, 0))
    assert first.closed


def test_a_server_that_says_when_to_come_back_is_obeyed() -> None:
    clock = Clock()
    assert clock.retries().run(iter_of(Transient("busy", retry_after=17.0), "done")) == "done"
    assert clock.waits == [17.0]


def test_a_server_that_says_to_come_back_tomorrow_is_not_waited_for() -> None:
    clock = Clock()
    with pytest.raises(GaveUp, match="busy"):
        clock.retries().run(iter_of(Transient("busy", retry_after=86_400.0), "done"))
    assert clock.waits == []


def test_each_wait_is_said_so_that_a_silent_minute_is_no_riddle() -> None:
    heard: list[str] = []
    act = Retries(pause=lambda _: None, luck=lambda: 0.0, notify=lambda f, d: heard.append(describe_wait(f, d)))
    act.run(iter_of(lost(), "done"))
    assert heard == ["the source broke off: connection reset by peer; trying again in 0.5 s"]


@given(st.integers(1, 1000), st.floats(0, 1))
def test_waits_grow_but_stay_bounded(failures: int, luck: float) -> None:
    policy = RetryPolicy(attempts=2000)
    delay = policy.delay(failures, None, luck)
    assert delay is not None
    assert policy.first / 2 <= delay <= policy.longest


def iter_of(*results: object):  # type: ignore[no-untyped-def]
    waiting = list(results)

    def action() -> object:
        result = waiting.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    return action
