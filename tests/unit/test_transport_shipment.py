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
