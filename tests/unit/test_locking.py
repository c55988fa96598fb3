"""Locks whose owners die: many wait, one goes on."""

from __future__ import annotations

import json
import multiprocessing
import os
from contextlib import suppress
from multiprocessing.connection import wait
from pathlib import Path

import pytest

from bundler.core.owner import Owner
from bundler.store.locking import Held, holder, holding

WAITERS = 8
DEATHS = 40
TWO_AT_ONCE = 7


def _hold_and_die(lock: Path, alone: Path) -> None:
    """Take the lock, look whether anyone else has it, and die with it, as after kill -9."""
    status = 1
    with suppress(BaseException), holding(lock, "the store"):
        status = TWO_AT_ONCE
        alone.touch(exist_ok=False)
        os.sched_yield()
        alone.unlink()
        status = 0
        os._exit(status)
    os._exit(status)


def test_of_many_who_see_a_dead_owner_one_at_a_time_has_the_lock(tmp_path: Path) -> None:
    """Two owners of one index would each write over what the other listed."""
    lock, alone = tmp_path / "index.lock", tmp_path / "alone"
    context = multiprocessing.get_context("fork")
    waiting = [context.Process(target=_hold_and_die, args=(lock, alone)) for _ in range(DEATHS)]
    endings: list[int | None] = []
    running = []
    while waiting or running:
        while waiting and len(running) < WAITERS:
            running.append(waiting.pop())
            running[-1].start()
        ended = wait([process.sentinel for process in running])
        for process in [process for process in running if process.sentinel in ended]:
            process.join()
            endings.append(process.exitcode)
            running.remove(process)
    assert set(endings) == {0}
    with holding(lock, "the store"):
        assert holder(lock) == Owner.me()
    assert list(tmp_path.iterdir()) == []


def _dead(path: Path) -> Owner:
    owner = Owner(Owner.me().host, Owner.me().machine, "an earlier boot", 1, "1")
    path.write_text(json.dumps(owner.to_json()))
    return owner


def test_whoever_died_while_breaking_a_lock_holds_nobody_up(tmp_path: Path) -> None:
    lock = tmp_path / "index.lock"
    for name in ("index.lock", "index.lock.stale", "index.lock.stale.stale"):
        _dead(tmp_path / name)
    with holding(lock, "the store", patience=5):
        assert holder(lock) == Owner.me()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_a_living_process_is_breaking_is_left_to_it(tmp_path: Path) -> None:
    lock, breaking = tmp_path / "index.lock", tmp_path / "index.lock.stale"
    dead = _dead(lock)
    breaking.write_text(json.dumps(Owner.me().to_json()))
    with pytest.raises(Held) as refused, holding(lock, "the store", patience=0):
        raise AssertionError("two owners")
    assert f"rm {breaking}" in str(refused.value.hint)
    assert holder(lock) == dead
