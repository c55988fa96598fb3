"""Which blob goes when, over which stream, and what is told of it."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.events import BytesMoved, Event, Silence
from bundler.store.closure import Member
from bundler.transport.destination import Destination
from bundler.transport.parallel import together
from bundler.transport.refusals import ConnectionLost, UnknownHostKey
from bundler.transport.shipment import LOT_BLOBS, LOT_BYTES, SMALL, Shipment
from bundler.transport.split import RANGE, SPLIT_FROM, Range, Split, merged
from bundler.transport.wire import Cancelled

HOST = Destination("intranet", "/data")


def member(size: int, name: str = "") -> Member:
    return Member(Descriptor("x", Digest.of(f"{size}{name}".encode()), size), name or str(size))


def lots(shipment: Shipment) -> list[list[int]]:
    return [[member.blob.size for member in lot] for lot in iter(shipment.take, ())]


def test_the_largest_go_first_each_alone_and_the_small_in_lots() -> None:
    small = [member(1000, str(number)) for number in range(LOT_BLOBS + 5)]
    shipment = Shipment([*small, member(SMALL * 2), member(SMALL * 9)], frozenset(), Silence())
    assert shipment.lots() == 4
    assert lots(shipment) == [[SMALL * 9], [SMALL * 2], [1000] * LOT_BLOBS, [1000] * 5]
    assert shipment.lots() == 0


@given(st.lists(st.integers(0, 3 * SMALL), max_size=200))
def test_nothing_is_left_out_and_no_lot_is_too_large(sizes: list[int]) -> None:
    shipment = Shipment([member(size, str(at)) for at, size in enumerate(sizes)], frozenset(), Silence())
    taken = lots(shipment)
    assert sorted(size for lot in taken for size in lot) == sorted(sizes)
    assert all(len(lot) == 1 or (len(lot) <= LOT_BLOBS and sum(lot) <= LOT_BYTES) for lot in taken)


def test_what_did_not_arrive_is_the_next_to_go_and_the_host_is_asked_how_much_it_has() -> None:
    large, larger = member(2 * SMALL), member(3 * SMALL)
    shipment = Shipment([large, larger], frozenset({large.blob.digest.hex}), Silence())
    lot = shipment.take()
    assert lot == (larger,)
    assert shipment.begun(lot) == ()
    shipment.give_back(lot)
    assert shipment.take() == (larger,)
    assert shipment.begun((larger, large)) == (larger.blob.digest.hex, large.blob.digest.hex)


def test_a_byte_that_goes_twice_is_told_of_once_and_counted_twice() -> None:
    told: list[Event] = []

    class Ears:
        def emit(self, event: Event) -> None:
            told.append(event)

    blob = member(100, "base: x")
    shipment = Shipment([blob], frozenset(), Ears())
    for position, sent in ((40, 40), (20, 0), (60, 40), (100, 40)):
        shipment.reached(blob, position, sent)
    assert told == [BytesMoved("push", "base: x", count) for count in (40, 20, 40)]
    assert shipment.sent == 120


def test_a_lost_connection_ends_its_own_task_only() -> None:
    done = threading.Event()

    def lost() -> None:
        raise ConnectionLost(HOST, "reset")

    error = together([lost, done.set], 2, threading.Event())
    assert isinstance(error, ConnectionLost)
    assert done.is_set()


def test_any_other_failure_ends_all_and_leaves_no_trace() -> None:
    cancelled = threading.Event()
    seen: list[bool] = []

    def waits() -> None:
        seen.append(cancelled.wait(30))
        raise Cancelled

    def fails() -> None:
        raise UnknownHostKey(HOST, "h", ())

    with pytest.raises(UnknownHostKey):
        together([waits, fails], 2, cancelled)
    assert seen == [True]
    assert not cancelled.is_set()


@given(st.integers(1, 5 * RANGE), st.lists(st.tuples(st.integers(0, 5 * RANGE), st.integers(1, RANGE)), max_size=9))
def test_of_a_blob_in_ranges_all_that_is_missing_goes_and_little_else(size: int, there: list[tuple[int, int]]) -> None:
    split = Split.begin(member(size), "first", [(at, at + count) for at, count in there], 4 * RANGE)
    before = split.position
    sent = 0
    while split.left:
        part = split.take()
        assert part.count <= RANGE
        split.came(part)
        sent += part.count
    assert split.arrived == [(0, size)]
    assert split.prefix == split.position == size
    assert sent <= size - before + len(there) * (256 << 10)


def test_a_range_that_did_not_arrive_is_the_next_and_goes_in_halves() -> None:
    split = Split.begin(member(2 * RANGE), "first", [], 0)
    lost = split.take()
    split.give_back(lost)
    halves = [split.take(), split.take()]
    assert [(part.offset, part.count) for part in halves] == [(0, RANGE // 2), (RANGE // 2, RANGE // 2)]
    split.came(halves[1])
    assert split.prefix == 0
    split.came(halves[0])
    assert split.prefix == RANGE
    assert merged([(5, 5), (3, 4), (1, 3)]) == [(1, 4)]


def test_the_last_large_blobs_are_left_to_the_conductor_and_go_whole_when_it_is_gone() -> None:
    blobs = [member(SPLIT_FROM + number) for number in range(3)]
    shipment = Shipment([*blobs, member(10)], frozenset(), Silence(), carriers=2)
    assert shipment.conducted
    assert shipment.work(wait=True) == (blobs[2],)
    assert shipment.work(wait=True) == (blobs[1],)
    assert shipment.claim() == blobs[0]
    split = shipment.split(blobs[0], "first", [(0, SPLIT_FROM - RANGE)], SPLIT_FROM)
    part = shipment.work(wait=False)
    assert isinstance(part, Range)
    assert (part.offset, part.count) == (SPLIT_FROM - RANGE, RANGE)
    shipment.came(part)
    assert shipment.beyond(split, 0) == blobs[0].blob.size
    shipment.conductor_left()
    assert shipment.work(wait=True) == (blobs[0],)
    assert shipment.begun((blobs[0],)) == (blobs[0].blob.digest.hex,)
    assert [one.blob.size for one in shipment.take()] == [10]
    assert shipment.work(wait=True) == ()


def test_who_leads_does_not_wait_for_connections_that_are_all_lost() -> None:
    blob = member(SPLIT_FROM)
    shipment = Shipment([blob], frozenset(), Silence(), carriers=2)
    assert shipment.claim() == blob
    split = shipment.split(blob, "first", [], 0)
    shipment.carrier_left()
    shipment.carrier_left()
    assert shipment.beyond(split, 0) == 0
