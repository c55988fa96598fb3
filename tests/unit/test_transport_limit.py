"""A ceiling on the bytes a second: what a user loses without it is the line that others share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundler.transport.limit import Limit


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@given(
    rate=st.integers(16 << 10, 10**10),
    asks=st.lists(st.tuples(st.integers(1, 1 << 20), st.floats(0, 0.5), st.integers(0, 1 << 20)), max_size=60),
)
def test_over_any_time_no_more_is_sent_than_the_rate_and_one_burst(
    rate: int, asks: list[tuple[int, float, int]]
) -> None:
    clock = Clock()
    limit = Limit(rate, clock)
    sent: list[tuple[float, int]] = []
    for wanted, pause, unsent in asks:
        granted, _ = limit.grant(wanted)
        assert granted <= wanted
        back = min(granted, unsent)
        limit.give_back(back)
        sent.append((clock.now, granted - back))
        clock.now += pause
    for first, (since, _) in enumerate(sent):
        for last in range(first, len(sent)):
            count = sum(count for _, count in sent[first : last + 1])
            assert count <= rate * (sent[last][0] - since) + limit.burst + 1


@given(rate=st.integers(16 << 10, 10**9), wanted=st.integers(1, 1 << 20))
def test_who_waits_as_long_as_it_is_told_is_granted_something(rate: int, wanted: int) -> None:
    clock = Clock()
    limit = Limit(rate, clock)
    while limit.grant(1 << 40)[0]:
        pass
    _, pause = limit.grant(wanted)
    clock.now += pause * (1 + 1e-9) + 1e-9
    assert limit.grant(wanted)[0]


@pytest.mark.parametrize("rate", [16 << 10, 50 << 20])
def test_all_of_the_rate_can_be_used(rate: int) -> None:
    clock = Clock()
    limit = Limit(rate, clock)
    sent = 0
    while clock.now < 100:
        granted, pause = limit.grant(1 << 20)
        sent += granted
        clock.now += max(pause, 0 if granted else 1e-6)
    assert sent >= 0.99 * 100 * rate
