"""What `bundle push` shows: of one host, of several, and of a dry run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bundler.cli.table import table
from bundler.core.records import to_json
from bundler.core.size import format_duration, format_size
from bundler.operations.push import PushResult
from bundler.operations.push_plan import PushPlan
from bundler.operations.push_report import Pushed, Report
from bundler.store.layout import BundleEntry


def text(report: Report) -> str:
    """A line for each host."""
    rows = [_row(pushed) for pushed in report.pushes]
    return f"{table(['HOST', 'SENT', 'WAS THERE', 'TIME', 'RECEIPT'], rows)}\n{report.bundle}: root {report.root}"


def _row(pushed: Pushed) -> tuple[str, ...]:
    if pushed.failure or not (pushed.sent and pushed.present):
        return (pushed.destination, "FAILED", "", "", "")
    return (
        pushed.destination,
        f"{pushed.sent.blobs} ({format_size(pushed.sent.bytes)})",
        f"{pushed.present.blobs} ({format_size(pushed.present.bytes)})",
        format_duration(pushed.seconds or 0),
        pushed.receipt or "",
    )


def plans_document(bundle: BundleEntry, plans: Sequence[PushPlan]) -> dict[str, Any]:
    """A dry run as data: one document for one host, a list for several."""
    documents = [_plan_document(plan) for plan in plans]
    common = {"bundle": str(bundle.name), "root": str(bundle.root.digest), "dry_run": True}
    return {**common, **documents[0]} if len(documents) == 1 else {**common, "plans": documents}


def _plan_document(plan: PushPlan) -> dict[str, Any]:
    return {
        "host": plan.host,
        "directory": plan.directory,
        "to_send": [to_json(parcel) for parcel in plan.parcels],
        "bytes": plan.bytes,
        "present": to_json(plan.present),
        "free": plan.free,
        "rate": to_json(plan.rate) if plan.rate else None,
        "seconds": None if plan.seconds is None else round(plan.seconds, 2),
    }


def plans_text(bundle: BundleEntry, plans: Sequence[PushPlan]) -> str:
    """A dry run for people: a table for each host, the largest blob first."""
    return "\n\n".join(_plan_text(bundle, plan) for plan in plans)


def _plan_text(bundle: BundleEntry, plan: PushPlan) -> str:
    sizes = [(parcel.label, format_size(parcel.size), format_size(parcel.bytes)) for parcel in plan.parcels]
    there = f"{plan.present.blobs} blobs are there ({format_size(plan.present.bytes)})"
    lines = [table(("TO SEND", "SIZE", "BYTES"), sizes)] if sizes else []
    lines.append(f"{bundle.name} to {plan.host}:{plan.directory}: {_amount(plan)}; {there}")
    free = "" if plan.free is None else f"{format_size(plan.free)} free there; "
    return "\n".join([*lines, f"  {free}nothing was sent or changed"])


def _amount(plan: PushPlan) -> str:
    if not plan.parcels:
        return "nothing to send"
    amount = f"{len(plan.parcels)} blobs, {format_size(plan.bytes)} to send"
    if plan.rate is None or plan.seconds is None:
        return f"{amount}; how fast the way is can't be told before the first push"
    speed = f"{format_size(plan.rate.bytes_per_second)}/s ({plan.rate.source})"
    return f"{amount}, about {format_duration(plan.seconds)} at {speed}"


def one_document(bundle: BundleEntry, result: PushResult) -> dict[str, Any]:
    """A push to one host as data."""
    return {
        "bundle": str(bundle.name),
        "root": str(bundle.root.digest),
        "host": result.host,
        "directory": result.directory,
        "sent": to_json(result.sent),
        "present": to_json(result.present),
        "moved": result.moved,
        "verified": result.verified,
        "seconds": round(result.seconds, 2),
        "receipt": str(result.receipt),
    }


def one_text(bundle: BundleEntry, result: PushResult) -> str:
    """A push to one host for people."""
    sent = f"{result.sent.blobs} blobs sent ({format_size(result.sent.bytes)})"
    present = f"{result.present.blobs} were there ({format_size(result.present.bytes)})"
    unverified = "" if result.verified else "  the host hashed nothing: `bundle up` there does, before it uses any\n"
    return (
        f"{bundle.name} is on {result.host} in {result.directory}: {sent}, {present}, "
        f"{format_duration(result.seconds)}\n"
        f"  root {bundle.root.digest}\n"
        f"{unverified}"
        f"  receipt {result.receipt}\n"
        f"  there: {result.directory}/bundle up {bundle.name}"
    )
