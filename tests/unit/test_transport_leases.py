"""A push holds up a gc on the host from its first word to its last: what has arrived is listed only at the end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bundler.core.events import Silence
from bundler.core.owner import Owner
from bundler.operations.gc import gc
from bundler.store.layout import Store
from bundler.store.leases import COLLECTOR, LEASES, StoreInUse
from bundler.transport import far_end
from bundler.transport.far_end import launcher, program
from bundler.transport.session import Session
from bundler.transport.wire import Launch
from tests.far_host import eventually


def start(directory: Path) -> Session:
    text = program(str(directory))
    session = Session(Launch(("sh", "-c", launcher(text))), text, stall=20.0)
    session.request("prepare")
    return session


def answers(session: Session) -> str:
    while not (answer := session.answer()).startswith(("ready ", "held ", "failed ")):
        pass
    return answer


def test_gc_on_the_host_refuses_while_a_push_is_connected(tmp_path: Path) -> None:
    session = start(tmp_path / "store")
    assert answers(session).startswith("ready ")
    store = Store.open(tmp_path / "store")
    with pytest.raises(StoreInUse, match="bundle push: process"):
        gc(store, Silence())
    session.close()
    eventually(lambda: not any((store.root / LEASES).iterdir()), "the far end gives its lease back")
    gc(store, Silence())


def test_a_push_that_was_killed_holds_no_gc_up(tmp_path: Path) -> None:
    session = start(tmp_path / "store")
    assert answers(session).startswith("ready ")
    store = Store.open(tmp_path / "store")
    (lease,) = (store.root / LEASES).iterdir()
    owner = Owner.parse(json.loads(lease.read_text()))
    assert not owner.dead
    session.abandon()
    eventually(lambda: owner.dead, "the far end ends")
    gc(store, Silence())
    assert list((store.root / LEASES).iterdir()) == []


def test_a_push_waits_for_a_gc_that_runs_and_says_who_runs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(far_end, "LOCK_SECONDS", 1)
    store = Store.create(tmp_path / "store")
    (store.root / LEASES).mkdir()
    (store.root / LEASES / COLLECTOR).write_text(json.dumps(Owner.me().to_json()))
    session = start(store.root)
    assert json.loads(answers(session).removeprefix("held leases/gc.lock "))["pid"] == Owner.me().pid
    session.close()
    assert [path.name for path in (store.root / LEASES).iterdir()] == [COLLECTOR]
    dead = Owner(Owner.me().host, Owner.me().machine, "an earlier boot", 1, "1")
    (store.root / LEASES / COLLECTOR).write_text(json.dumps(dead.to_json()))
    session = start(store.root)
    assert answers(session).startswith("ready ")
    session.close()
