"""Leases: what a running build has fetched is not deleted, and a dead one keeps nobody from tidying up."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from bundler.core.owner import Owner
from bundler.store.layout import Store
from bundler.store.leases import COLLECTOR, LEASES, StoreInUse, collecting, leasing
from bundler.store.locking import Held


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "store")


def test_whoever_deletes_is_refused_while_anyone_needs_the_store_and_told_all_of_them(store: Store) -> None:
    with leasing(store, "build"), leasing(store, "push"), pytest.raises(StoreInUse) as error, collecting(store):
        pass
    assert [lease.purpose for lease in error.value.leases] == ["build", "push"]
    assert error.value.exit_code == 11
    with collecting(store):
        pass
    assert list((store.root / LEASES).iterdir()) == []


def test_a_dead_owners_lease_holds_nobody_up_and_is_removed(store: Store) -> None:
    me = Owner.me()
    dead = Owner(me.host, me.machine, "an earlier boot", 1, "1")
    (store.root / LEASES).mkdir()
    for name in ("build", ".lock"):
        (store.root / LEASES / f"{name}.{dead.key.replace(' ', '_')}.1").write_text(json.dumps(dead.to_json()))
    with collecting(store):
        assert [path.name for path in (store.root / LEASES).iterdir()] == [COLLECTOR]


def test_a_lease_of_another_machine_is_never_taken_for_dead(store: Store) -> None:
    (store.root / LEASES).mkdir()
    other = Owner("elsewhere", "0123456789abcdef", "boot", 1, "1")
    (store.root / LEASES / f"import.{other.key}.1").write_text(json.dumps(other.to_json()))
    with pytest.raises(StoreInUse, match="bundle import: process 1 on elsewhere"), collecting(store):
        pass


def test_a_verb_that_comes_while_gc_runs_waits_for_it_and_then_goes_on(store: Store) -> None:
    leased, deleted = threading.Event(), threading.Event()
    order: list[str] = []

    def build() -> None:
        with leasing(store, "build"):
            order.append("build")
            leased.set()

    with collecting(store):
        thread = threading.Thread(target=build)
        thread.start()
        assert not leased.wait(0.2)
        order.append("gc")
        deleted.set()
    thread.join()
    assert order == ["gc", "build"]


def test_a_gc_that_does_not_end_is_named(store: Store) -> None:
    with collecting(store), pytest.raises(Held, match=r"process \d+ on"), leasing(store, "build", patience=0):
        pass
    with collecting(store):
        assert [path.name for path in (store.root / LEASES).iterdir()] == [COLLECTOR]


def test_a_lock_that_a_killed_gc_left_holds_nobody_up(store: Store) -> None:
    me = Owner.me()
    (store.root / LEASES).mkdir()
    dead = Owner(me.host, me.machine, "an earlier boot", 1, "1")
    (store.root / LEASES / COLLECTOR).write_text(json.dumps(dead.to_json()))
    with leasing(store, "build", patience=0):
        pass
    with collecting(store):
        pass


def test_one_process_may_need_the_store_twice(store: Store) -> None:
    with leasing(store, "build"):
        with leasing(store, "lock"):
            pass
        with pytest.raises(StoreInUse), collecting(store):
            pass
