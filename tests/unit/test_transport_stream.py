"""A stream whose connection breaks loses nothing that it had taken to send."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from bundler.core.events import Silence
from bundler.store.closure import closure
from bundler.store.layout import Store
from bundler.transport.connector import Connector
from bundler.transport.destination import Destination
from bundler.transport.refusals import ConnectionLost
from bundler.transport.shipment import Shipment
from bundler.transport.stream import Stream
from bundler.transport.wire import WireBroken
from tests.bundles import make_bundle


class Breaking:
    """A session that ends at the first request."""

    key = "far-end"
    backlog = 0

    def request(self, *words: str | int) -> None:
        raise WireBroken(f"gone at {words[0]}", -9, greeted=True)

    def heard(self) -> None:
        return None


class BrokenLine:
    """A connector whose sessions all break at once. A real one does so once in a thousand kills."""

    cancelled = threading.Event()

    @contextmanager
    def borrow(self) -> Iterator[Any]:
        try:
            yield Breaking()
        except WireBroken as broken:
            raise ConnectionLost(Destination("intranet", "/data"), broken.said) from broken


@pytest.mark.parametrize("lost_before", [(), ("another-far-end",)], ids=["the first", "after another was lost"])
def test_what_a_stream_had_taken_when_its_connection_broke_is_there_for_another_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost_before: tuple[str, ...]
) -> None:
    monkeypatch.setattr("bundler.transport.attempts.ATTEMPTS", 1)
    store = Store.create(tmp_path)
    members = closure(store, make_bundle(store).root)
    shipment = Shipment(members, frozenset(), Silence())
    for key in lost_before:
        shipment.disown(key)
    with pytest.raises(ConnectionLost):
        Stream(shipment, store, cast(Connector, BrokenLine())).run()
    left = {member for lot in iter(shipment.take, ()) for member in lot}
    assert left == set(members)
