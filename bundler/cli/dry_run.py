"""What `bundle build --dry-run` shows."""

from __future__ import annotations

from typing import Any

from bundler.cli.table import table
from bundler.core.size import format_duration, format_size
from bundler.operations.build import DryRun
from bundler.store.layout import Store


def document(rehearsed: DryRun, store: Store, rate: int | None) -> dict[str, Any]:
    """As data. `rate` is bytes a second, where it was given."""
    found, locked = rehearsed.preflight, rehearsed.locked
    return {
        "bundle": str(locked.lock.bundle),
        "artifacts": [
            {"kind": one.kind, "name": one.name, "bytes": one.bytes, "present": one.present, "missing": one.missing}
            for one in found.shares
        ],
        "to_build": list(locked.unbuilt),
        "to_fetch": found.to_fetch,
        "to_write": found.to_write,
        "file_systems": [{"path": str(store.root), "free": found.need.free_bytes, "needed": found.need.bytes}],
        "fits": found.need.bytes <= found.need.free_bytes,
        "seconds": round(found.to_fetch / rate, 1) if rate else None,
    }


def text(rehearsed: DryRun, store: Store, rate: int | None) -> str:
    """For people."""
    found, locked = rehearsed.preflight, rehearsed.locked
    rows = [
        (f"{one.kind} {one.name}", *(format_size(count) for count in (one.bytes, one.present, one.missing)))
        for one in found.shares
    ]
    lines = [table(["ARTIFACT", "IN ALL", "THERE", "TO COME"], rows), ""]
    for name in locked.unbuilt:
        lines.append(f"image {name} would be built: its base is counted, what is built on it is not known yet")
    fits = "" if found.need.bytes <= found.need.free_bytes else ": IT DOES NOT FIT"
    lines.append(f"{locked.lock.bundle}: {found} in {store.root}{fits}")
    if rate:
        lines.append(f"  at {format_size(rate)}/s: {format_duration(found.to_fetch / rate)}")
    return "\n".join([*lines, "nothing was built, and no lock was written"])
