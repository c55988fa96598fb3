"""Events as JSON lines: for programs, and for a bundle on another machine that tells of its work."""

from __future__ import annotations

import json
import time
from dataclasses import asdict

from bundler.core.events import BytesMoved, Event, Noted, StepEnded, StepStarted, Warned
from bundler.core.records import from_json
from bundler.core.strict_json import MalformedJson, parse_object

_KINDS: dict[str, type[Event]] = {kind.__name__: kind for kind in (StepStarted, BytesMoved, StepEnded, Noted, Warned)}


def encode(event: Event) -> str:
    """An event as a JSON object on one line, with its kind and the time (seconds since 1970)."""
    return json.dumps({"event": type(event).__name__, "time": round(time.time(), 3), **asdict(event)})


def decode(line: str) -> Event | None:
    """The event that a line tells of; None where it is none that we know."""
    try:
        document = parse_object(line.encode(), "an event")
        kind = _KINDS.get(str(document.pop("event", "")))
        document.pop("time", None)
        return from_json(kind, document, "an event") if kind else None
    except MalformedJson:
        return None
