"""The datasets of a plan, as data and for people."""

from __future__ import annotations

from collections.abc import Iterator

from bundler.operations.judge_data import said
from bundler.planning.datasets.lengths import Lengths
from bundler.planning.datasets.verdict import DatasetVerdict, NoteKind

WARNINGS: dict[str, NoteKind] = {
    "duplicates": "duplicate",
    "empty_answers": "empty answer",
    "placeholders": "placeholder",
    "overlap": "overlap",
}
_STEPS = " ▁▂▃▄▅▆▇█"


def document(verdict: DatasetVerdict) -> dict[str, object]:
    """A verdict as data."""
    found = {note.kind: note for note in verdict.notes}
    kinds = {name: found.get(kind) for name, kind in WARNINGS.items()}
    return {
        "usable": verdict.usable,
        "records": verdict.records,
        "kept": verdict.kept,
        "dropped": verdict.dropped_count,
        "reasons": dict(verdict.dropped_reasons),
        "records_dropped": [{"place": str(one.place), "reason": one.reason} for one in verdict.dropped],
        "failure": str(verdict.failure) if verdict.failure else None,
        "unread": verdict.unread,
        "notes": [str(note) for note in verdict.notes],
        "warnings": {name: note.count if note else 0 for name, note in kinds.items()},
        "warning_places": {name: [str(place) for place in note.places] for name, note in kinds.items() if note},
        "lengths": _lengths(verdict.lengths) if verdict.lengths else None,
        "lengths_why": verdict.lengths_why,
    }


def _lengths(lengths: Lengths) -> dict[str, object]:
    return {
        "tokenizer": lengths.tokenizer,
        "cutoff_len": lengths.cutoff_len,
        "records": lengths.records,
        "sampled": lengths.sampled,
        "truncated": lengths.truncated,
        "truncated_share": round(lengths.truncated_share, 6),
        "tokens": lengths.tokens,
        "packed": lengths.packed,
        "median": lengths.median,
        "p95": lengths.p95,
        "longest": [{"place": str(one.place), "tokens": one.tokens} for one in lengths.longest],
        "histogram": [{"from": bar.first, "to": bar.end, "records": bar.records} for bar in lengths.histogram],
    }


def text(name: str, verdict: DatasetVerdict) -> Iterator[str]:
    """A verdict for people, in a few lines."""
    yield f"data {name}: {said(verdict)}"
    if verdict.failure:
        yield f"  {verdict.failure}"
    if lengths := verdict.lengths:
        longest = lengths.longest[0]
        share = f"{lengths.truncated} of {lengths.records}" + (" counted" if lengths.sampled else "")
        yield (
            f"  tokens: median {lengths.median}, 95 % up to {lengths.p95}, longest {longest.tokens} ({longest.place}); "
            f"cutoff_len {lengths.cutoff_len} truncates {share}"
        )
        yield f"  {picture(lengths)}"
    if verdict.lengths_why:
        yield f"  {'' if verdict.lengths else 'no token lengths: '}{verdict.lengths_why}"


def picture(lengths: Lengths) -> str:
    """The histogram in one line: a bar for each stretch, the highest one full; any record at all shows."""
    most = max(bar.records for bar in lengths.histogram)
    bars = "".join(_STEPS[-(-bar.records * (len(_STEPS) - 1) // most)] for bar in lengths.histogram)
    last = lengths.histogram[-1]
    return f"0 |{bars}| {last.first} and more"
