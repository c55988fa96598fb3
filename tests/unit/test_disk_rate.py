"""The rate of the disk: that a checkpoint takes minutes is known before the training, and nothing is left behind."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from click.testing import CliRunner
from node_cases import FACTS, GIB, LOCK

from bundler.cli.main import cli
from bundler.core.events import Silence
from bundler.node.disk_floors import judge_disk
from bundler.node.disk_rate import DiskRate, measure
from bundler.node.findings import Severity
from bundler.operations.burn import try_disk

BLOCK = 16 << 20
FAST = DiskRate("/store", GIB, 0.6, GIB, 0.5, direct=True, same=True)


def ticking(step: float) -> Callable[[], float]:
    """A clock that goes on by this many seconds each time that it is looked at."""
    times = count()
    return lambda: next(times) * step


def test_a_disk_is_written_and_read_back_and_nothing_is_left(tmp_path: Path) -> None:
    found = measure(tmp_path, size=4 * BLOCK)
    assert (found.written, found.read, found.same) == (4 * BLOCK, 4 * BLOCK, True)
    assert found.write_rate > 0 < found.read_rate
    assert list(tmp_path.iterdir()) == []


def test_a_slow_disk_is_left_alone_after_the_time_that_was_set(tmp_path: Path) -> None:
    """Two seconds a look at the clock: of the many blocks three are written in five seconds."""
    found = measure(tmp_path, size=40 * BLOCK, patience=5, clock=ticking(2))
    assert found.written == 3 * BLOCK
    assert found.read == 3 * BLOCK


def test_a_disk_that_takes_seconds_for_a_block_is_judged_by_that_block(tmp_path: Path) -> None:
    found = measure(tmp_path, size=40 * BLOCK, patience=5, clock=ticking(60))
    assert (found.written, found.read) == (BLOCK, BLOCK)


def test_where_direct_access_is_refused_each_block_is_synced_so_that_the_time_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EINVAL, "Invalid argument")

    synced: list[int] = []
    monkeypatch.setattr("bundler.node.disk_rate.fcntl.fcntl", refuse)
    monkeypatch.setattr("bundler.node.disk_rate.os.fdatasync", synced.append)
    assert measure(tmp_path, size=3 * BLOCK).direct is False
    assert len(synced) == 3


def test_a_disk_that_gives_back_something_else_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.readv

    def flipping(descriptor: int, buffers: list[bytearray]) -> int:
        read = real(descriptor, buffers)
        buffers[0][BLOCK // 2] ^= 1
        return read

    monkeypatch.setattr("bundler.node.disk_rate.os.readv", flipping)
    found = measure(tmp_path, size=2 * BLOCK)
    assert judge_disk(found).severity is Severity.BLOCK


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_measurement_that_is_killed_leaves_no_file(tmp_path: Path, number: int) -> None:
    code = (
        "import os, sys; from pathlib import Path; from bundler.node import disk_rate\n"
        "def stop(*_): os.kill(os.getpid(), int(sys.argv[2]))\n"
        "disk_rate._read = stop\n"
        f"disk_rate.measure(Path(sys.argv[1]), size={BLOCK})"
    )
    command = [sys.executable, "-c", code, str(tmp_path), str(int(number))]
    ended = subprocess.run(command, check=False, capture_output=True, cwd=Path(__file__).parents[2])
    assert ended.returncode == -number, ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_nearly_full_disk_is_not_filled_up(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="too little room"):
        measure(tmp_path, size=1 << 60)


def test_where_there_is_no_store_yet_that_is_what_is_said(tmp_path: Path) -> None:
    told = try_disk(tmp_path / "none", None, Silence())
    assert (told.check, told.severity) == ("burn-disk", Severity.UNREADABLE)
    assert "No such file" in told.why


def test_the_rate_is_told_as_what_a_checkpoint_and_the_bundles_weights_take() -> None:
    assert judge_disk(FAST, 65 * 10**9).what == (
        "writes 1.8 GB/s, reads 2.1 GB/s: a checkpoint of 10.0 GB in 5.6 s, weights of 65.0 GB in 30 s"
    )


@pytest.mark.parametrize("slow", [replace(FAST, write_seconds=8.0), replace(FAST, read_seconds=8.0)])
def test_a_disk_slower_than_a_hard_disk_warns_with_what_it_costs(slow: DiskRate) -> None:
    told = judge_disk(slow)
    assert told.severity is Severity.WARN
    assert "134 MB/s" in told.what
    assert told.needed == "200 MB/s"


def test_the_bundles_largest_model_is_the_one_whose_loading_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bundler.operations.burn.measure", lambda _: FAST)
    assert "weights of 69.8 GB" in try_disk(Path("/store"), LOCK, Silence()).what


def test_without_gpus_the_disk_is_measured_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on the intranet host, where a training's checkpoints may lie too."""
    monkeypatch.setattr("bundler.cli.check.read_facts", lambda *_: replace(FACTS, gpus=()))
    monkeypatch.setattr("bundler.operations.burn.measure", lambda _: replace(FAST, read_seconds=8.0))
    said = CliRunner().invoke(cli, ["check", "--burn", "--store", str(tmp_path), "-o", "json"])
    told = {found["check"]: found["severity"] for found in json.loads(said.stdout)["findings"]}
    assert (told["burn"], told["burn-disk"]) == ("cannot read", "warn")
