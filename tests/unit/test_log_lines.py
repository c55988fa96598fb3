"""What a container says comes in pieces: a line that is torn, lost or endless misleads who looks for the cause."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from bundler.core.events import Event, Noted
from bundler.engine.docker import DockerEngine
from bundler.engine.log_lines import _LONGEST, lines
from bundler.operations.jobs import _keep_log

SAID = "step 1\r\nloss 0.5\n\n  File \"train.py\"\r 10%\r 20%\nwörter 好\nlast, and no end".encode()
LINES = ["step 1", "loss 0.5", '  File "train.py"', " 10%", " 20%", "wörter 好", "last, and no end"]


@pytest.mark.parametrize("seed", range(20))
def test_lines_are_the_same_wherever_the_pieces_end(seed: int) -> None:
    r = random.Random(seed)
    cuts = sorted(r.sample(range(len(SAID)), r.randrange(0, 12)))
    pieces = [SAID[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(SAID)], strict=True)]
    assert list(lines(pieces)) == LINES


def test_a_container_that_says_nothing_or_blanks_has_no_lines() -> None:
    """Blank ones would take the place of those that say why a job failed."""
    assert list(lines([])) == list(lines([b"\n", b" \r\n", b"\n"])) == []


def test_a_line_that_never_ends_is_cut_and_what_follows_is_read() -> None:
    begun, *rest = lines([b"." * _LONGEST, b"!" * _LONGEST, b"\nshort\n"])
    assert begun == "!" * _LONGEST
    assert rest == ["short"]


def test_a_jobs_log_has_every_byte_and_its_events_every_line(tmp_path: Path) -> None:
    """`bundle logs` shows the file when the container is gone; the last words of a job that died may have no end."""
    heard: list[Event] = []
    engine = cast(DockerEngine, SimpleNamespace(logs=lambda *_, **__: iter([SAID[:9], SAID[9:]])))
    log = tmp_path / "new" / "train.log"
    _keep_log("1", "train", log, engine, SimpleNamespace(emit=heard.append))
    assert log.read_bytes() == SAID
    assert heard == [Noted("train", line) for line in LINES]
