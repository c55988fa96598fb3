"""What becomes of each dataset: kept and dropped records, their lengths, and what a person should look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from bundler.report.figures import count, per_cent
from bundler.report.histogram import Bucket, histogram
from bundler.report.parts import words
from bundler.report.svg import figure, rect, text

_WARNINGS = {
    "duplicates": "records that are there more than once",
    "empty_answers": "empty answers",
    "placeholders": "placeholders that were left in",
    "overlap": "records that are also in data to measure on",
}
_LONGEST = 10
"""So many of the longest records are listed."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """Token lengths of a dataset: the histogram, and the same as rows of a table."""

    chart: Markup | None
    buckets: tuple[Bucket, ...]
    tokenizer: str
    cutoff: int
    records: int
    sampled: bool
    truncated: int
    truncated_share: float
    median: int
    p95: int
    longest: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class WarningView:
    """Something to look at: how many records, and where the first of them are."""

    kind: str
    records: int
    places: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DatasetView:
    """One dataset. `chart` is None where nothing could be counted."""

    name: str
    records: int
    kept: int
    dropped: int
    chart: Markup | None
    reasons: tuple[tuple[str, int], ...]
    listed: tuple[tuple[str, str], ...]
    failure: str
    unread: str
    notes: tuple[str, ...]
    warnings: tuple[WarningView, ...]
    lengths: Lengths | None
    lengths_why: str


def datasets(data: Mapping[str, Any]) -> tuple[DatasetView, ...]:
    """Of the member `data` of a plan."""
    return tuple(_dataset(name, one) for name, one in data.items())


def _dataset(name: str, one: Mapping[str, Any]) -> DatasetView:
    judged = not one.get("unread") and one["records"] > 0
    reasons = sorted(one["reasons"].items(), key=lambda item: (-item[1], item[0]))
    counted, places = one.get("warnings") or {}, one.get("warning_places") or {}
    return DatasetView(
        name,
        one["records"],
        one["kept"],
        one["dropped"],
        _kept(name, one["records"], one["kept"], one["dropped"]) if judged else None,
        tuple(reasons),
        tuple((record["place"], record["reason"]) for record in one["records_dropped"]),
        one.get("failure") or "",
        one.get("unread") or "",
        tuple(one.get("notes") or ()),
        tuple(
            WarningView(_WARNINGS.get(kind, words(kind)), many, tuple(places.get(kind, ())))
            for kind, many in counted.items()
            if many
        ),
        _lengths(name, one["lengths"]) if one.get("lengths") else None,
        one.get("lengths_why") or "",
    )


def _kept(name: str, records: int, kept: int, dropped: int) -> Markup:
    """One bar: what reaches the training, and what does not. Where it would fail, the rest is neither."""
    title = f"Records of {name}"
    described = f"Of {count(records)} records {count(kept)} are kept and {count(dropped)} dropped."
    return figure(title, described, 24, _kept_bar(records, kept, dropped))


def _kept_bar(records: int, kept: int, dropped: int) -> Iterator[Markup]:
    yield rect(0, 0, 1, 24, "track")
    if kept:
        yield rect(0, 0, kept / records, 24, "part mint", f"kept: {count(kept)}")
    if dropped:
        yield rect(kept / records, 0, dropped / records, 24, "part orange", f"dropped: {count(dropped)}")
    for at, share, said in ((0.0, kept / records, "kept"), (kept / records, dropped / records, "dropped")):
        if share > 0.25:
            yield text(at + share / 2, 16.5, f"{said} {per_cent(share)}", "letter", "middle")


def _lengths(name: str, one: Mapping[str, Any]) -> Lengths:
    shown = _buckets(one.get("histogram") or ())
    return Lengths(
        histogram(name, shown, one["cutoff_len"]) if shown else None,
        shown,
        one["tokenizer"],
        one["cutoff_len"],
        one["records"],
        one.get("sampled", False),
        one["truncated"],
        one["truncated_share"],
        one["median"],
        one["p95"],
        tuple((record["place"], record["tokens"]) for record in one["longest"][:_LONGEST]),
    )


def _buckets(found: Sequence[Mapping[str, int]]) -> tuple[Bucket, ...]:
    return tuple(Bucket(one["from"], one["to"], one["records"]) for one in found)
