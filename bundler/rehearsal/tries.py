"""What is made of one training step and of one answer."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bundler.core.size import format_duration, format_size
from bundler.node.findings import Finding, Severity, good
from bundler.rehearsal import report as said
from bundler.rehearsal.absences import urls
from bundler.rehearsal.report import Report

_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Exit|Interrupt|Enabled|Warning)?: \S")
ENDED = {137: "it was killed (out of memory?)", 139: "it crashed", 142: "it took longer than it may"}
"""Exit codes of signals (128 + SIGKILL, SIGSEGV, SIGALRM)."""


def stepped(
    check: str, code: int, report: Report, last: Sequence[str], seconds: float, predicted: int = 0
) -> Finding:
    """A training that was to end after one step: its exit code tells, and files or hosts that it missed say why.

    `predicted` is what the lock expects of a GPU, in bytes, with what is outside torch's count; 0 where it expects
    nothing. Torch's peak of one step stays below it: its records are seldom the longest, and AdamW has no states yet.
    """
    missed = ", ".join(dict.fromkeys((*(one.what for one in report.sightings if one.kind == "host"), *urls(last))))
    what = f"one training step, with loading and saving, in {format_duration(seconds)}{_held(report, predicted)}"
    if not code and missed:
        return Finding(check, Severity.WARN, f"{what}; it wanted to reach {missed}, and went on without")
    if not code and 0 < predicted < report.peak_bytes:
        return Finding(check, Severity.WARN, what, why="it took more than was predicted: longer records may not fit")
    if not code:
        return good(check, what)
    what = ENDED.get(code) or _error(last) or f"it ended with exit code {code}"
    reached = f"it wanted to reach {missed}, and ended: " if missed else ""
    return Finding(check, Severity.BLOCK, f"one training step: {reached}{what}", why=" | ".join(last))


def _held(report: Report, predicted: int) -> str:
    if not report.peak_bytes:
        return ""
    beside = f"; the lock predicts {format_size(predicted)} in all" if predicted else ""
    return f"; torch held up to {format_size(report.peak_bytes)} of a GPU{beside}"


def _error(last: Sequence[str]) -> str:
    """The last line that names an exception, as a traceback ends."""
    return next((line[:300] for line in reversed(last) if _EXCEPTION.match(line)), "")


def answered(check: str, code: int, report: Report, last: Sequence[str]) -> Finding:
    """A service that was to give one answer."""
    answer = next(report.all(said.Answer), None)
    if answer and answer.text.strip():
        text = " ".join(answer.text.split())[:120]
        return good(check, f"up in {format_duration(answer.seconds)}, and answered: {text}")
    failed = report.failures.get("answer")
    what = failed.error if isinstance(failed, said.Failed) else ENDED.get(code, f"exit code {code}")
    return Finding(check, Severity.BLOCK, f"one answer: {what if not answer else 'it is empty'}", why=" | ".join(last))
