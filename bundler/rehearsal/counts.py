"""What LLaMA-Factory made of the datasets, against what was predicted of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bundler.node.findings import Finding, Severity, good
from bundler.planning.datasets.verdict import DatasetVerdict
from bundler.rehearsal import report as said
from bundler.rehearsal.plain import first
from bundler.rehearsal.report import Report

PART = "data"


def counts(report: Report, predicted: Mapping[str, DatasetVerdict], workload: str) -> Iterator[Finding]:
    """A finding for each dataset, and one for all of them together."""
    told = tuple(report.all(said.Counted))
    for counted in told:
        yield _one(counted, predicted.get(counted.name), f"{workload}/{PART}/{counted.name}")
    whole = next(report.all(said.Whole), None)
    failed = report.failures.get(PART)
    check = f"{workload}/{PART}"
    if whole and whole.train == 0:
        yield Finding(check, Severity.BLOCK, "no sample is left to train on")
    elif whole:
        rest = f", {whole.eval} to measure on" if whole.eval else ""
        yield good(check, f"{whole.train if whole.train >= 0 else 'a stream of'} samples to train on{rest}")
    elif isinstance(failed, said.NotTried):
        yield Finding(check, Severity.NOT_TRIED, f"not tried: {failed.reason}")
    elif failed:
        causes = "; ".join(first(cause) for cause in failed.causes if cause)
        why = causes or "LLaMA-Factory's own loader ends so on these datasets"
        yield Finding(check, Severity.BLOCK, f"loading all of it: {first(failed.error)}", why=why)


def _one(counted: said.Counted, verdict: DatasetVerdict | None, check: str) -> Finding:
    if counted.error:
        agreed = bool(verdict and verdict.failure)
        why = f"predicted: {verdict.failure}" if verdict and verdict.failure else "it was not predicted"
        what = f"LLaMA-Factory dies of it: {first(counted.error)}"
        remedy = "mend the records, and build again" if agreed else ""
        return Finding(check, Severity.BLOCK, what, why=why, remedy=remedy)
    if counted.records < 0 or counted.kept < 0:
        return Finding(check, Severity.UNREADABLE, "it is read as a stream, whose records are not counted")
    what = f"{counted.kept} of {counted.records} records kept"
    if not counted.kept:
        reasons = "; ".join(f"{reason} ({n})" for reason, n in (verdict.dropped_reasons if verdict else {}).items())
        return Finding(
            check,
            Severity.BLOCK,
            f"all {counted.records} records are dropped",
            why=reasons or "LLaMA-Factory finds no valid sample in it",
            remedy="mend the dataset's formatting, columns or tags in the manifest, and build again",
        )
    if verdict is None or verdict.unread:
        reason = verdict.unread if verdict else "nothing was predicted of it"
        return Finding(check, Severity.UNREADABLE, f"{what}; the prediction: {reason}")
    foretold = 0 if verdict.failure else verdict.kept
    if (counted.kept, counted.records) != (foretold, verdict.records):
        return Finding(
            check,
            Severity.BLOCK,
            f"{what}, and {foretold} of {verdict.records} were predicted",
            why="the image's LLaMA-Factory reads these records in another way than this program knows",
            remedy="believe the image; and tell us, with the records and both versions",
        )
    if verdict.dropped_count:
        reasons = "; ".join(f"{reason} ({n})" for reason, n in verdict.dropped_reasons.items())
        return Finding(check, Severity.WARN, f"{what}, as predicted; the others are dropped silently", why=reasons)
    return good(check, f"{what}, as predicted")
