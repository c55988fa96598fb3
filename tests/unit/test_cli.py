"""What a person sees: help, errors, progress."""

from __future__ import annotations

import io
import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from bundler.cli import failure, session
from bundler.cli.main import VERBS, cli
from bundler.cli.progress import Drawn, JsonLines, Plain, Quiet
from bundler.cli.table import table
from bundler.core.errors import BundlerError, IntegrityFailed
from bundler.core.events import BytesMoved, Event, Noted, StepEnded, StepStarted, Warned

WORK: tuple[Event, ...] = (
    StepStarted("fetch", 2_000_000),
    BytesMoved("fetch", "serve: layer 1", 1_500_000),
    BytesMoved("fetch", "base: model.safetensors", 500_000),
    Noted("fetch", "a detail"),
    Warned("the mirror is slow"),
    StepEnded("fetch", "2 blobs"),
)


@pytest.mark.parametrize("verb", [verb for verbs in VERBS.values() for verb in verbs])
def test_every_verb_has_help_with_an_example_that_can_be_pasted(verb: str) -> None:
    shown = CliRunner().invoke(cli, [verb, "--help"])
    assert shown.exit_code == 0, shown.output
    assert f"bundle {verb}" in shown.output


def test_the_first_screen_shows_the_three_verbs_of_the_first_day_first() -> None:
    shown = CliRunner().invoke(cli, ["--help"]).output
    assert len(shown.splitlines()) <= 48
    order = [shown.index(f"\n  {verb} ") for verb in ("build", "push", "up", "lock", "status", "verify")]
    assert order == sorted(order)


def test_an_unknown_verb_is_a_usage_error() -> None:
    assert CliRunner().invoke(cli, ["biuld"]).exit_code == 2


def test_an_error_says_what_why_and_the_command_that_mends_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    error = IntegrityFailed("a blob is bad", because="its digest differs", hint="bundle push demo host")
    assert failure.report(error) == 12
    said = capsys.readouterr().err
    log = next(tmp_path.rglob("*.log"))
    assert said == f"error: a blob is bad\n  its digest differs\n\nhint: bundle push demo host\nlog:  {log}\n"
    assert "IntegrityFailed" in log.read_text()


def test_a_fault_of_our_own_is_told_as_one_and_keeps_its_traceback_in_the_log(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert failure.report(ZeroDivisionError("division by zero")) == 1
    said = capsys.readouterr().err
    assert "this is a fault in bundle itself" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("error", "code"),
    [(KeyboardInterrupt(), 130), (click.Abort(), 130), (click.UsageError("x"), 2), (BundlerError("x"), 1)],
)
def test_each_end_has_its_exit_code(
    error: BaseException, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert failure.report(error) == code


def test_only_so_many_logs_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    logs = tmp_path / "bundle" / "logs"
    logs.mkdir(parents=True)
    for number in range(80):
        (logs / f"20200101-{number:06}-up-1.log").touch()
    written = session.write_log("trace")
    kept = sorted(logs.iterdir())
    assert len(kept) == session.KEPT_LOGS + 1
    assert kept[-1] == written


def show(display: Plain | Quiet | Drawn | JsonLines) -> None:
    for event in WORK:
        display.emit(event)
    display.close()


def test_off_a_terminal_a_step_ends_with_a_line_that_sums_it_up() -> None:
    out = io.StringIO()
    show(Plain(out, 0))
    lines = out.getvalue().splitlines()
    assert lines[0] == "warning: the mirror is slow"
    assert lines[1].startswith("fetch: 2 blobs (2.0 MB in 0.0 s, ")
    assert len(lines) == 2


def test_v_shows_the_details() -> None:
    out = io.StringIO()
    show(Plain(out, 1))
    assert "fetch | a detail" in out.getvalue()


def test_q_shows_warnings_alone() -> None:
    out = io.StringIO()
    show(Quiet(out))
    assert out.getvalue() == "warning: the mirror is slow\n"


def test_a_terminal_shows_each_stream_a_total_and_the_time_left() -> None:
    out = io.StringIO()
    drawn = Drawn(out, 0, coloured=False)
    drawn.emit(StepStarted("fetch", 2_000_000))
    drawn.emit(BytesMoved("fetch", "serve: layer 1", 1_500_000))
    drawn._last = 0.0
    drawn.emit(BytesMoved("fetch", "base: model.safetensors", 0))
    drawn.close()
    shown = out.getvalue()
    assert "  serve: layer 1  1.5 MB" in shown
    assert "█" * 18 + "░" * 6 + " fetch: 1.5 MB of 2.0 MB, " in shown
    assert " left" in shown
    assert "\x1b[36m" not in shown


def test_programs_get_an_object_a_line() -> None:
    out = io.StringIO()
    show(JsonLines(out))
    events = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [event["event"] for event in events] == [type(event).__name__ for event in WORK]
    assert events[1]["count"] == 1_500_000


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert session.coloured(Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not session.coloured(Terminal())


def test_a_table_with_chinese_names_still_has_straight_columns() -> None:
    assert table(("NAME", "X"), [("模型", "1"), ("base", "2")]).splitlines() == ["NAME  X", "模型  1", "base  2"]
