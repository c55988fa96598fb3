"""One run of one verb: how much it says and where, its progress display, its log in the state directory."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from bundler.cli.progress import Display, display
from bundler.core.events import Event, Events

KEPT_LOGS = 50
KEPT_LINES = 20_000


@dataclass
class _Session:
    verb: str = "bundle"
    verbosity: int = 0
    color: str = "auto"
    shown: Display | None = None
    log: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))


_session = _Session()


def begin(verb: str, *, verbosity: int, quiet: bool, progress: str, events: str | None, color: str) -> Events:
    """Start a run. Returns where its operations send their events."""
    _session.verb, _session.verbosity, _session.color = verb, verbosity, color
    kind = "json" if events == "json" else "quiet" if quiet else progress
    _session.shown = display(kind, verbosity, sys.stderr, coloured=coloured(sys.stderr))
    return _Recorded(_session.shown)


def end() -> None:
    """Leave the terminal as a person would like to find it."""
    if _session.shown:
        _session.shown.close()


def verbosity() -> int:
    """0, or how often -v was given."""
    return _session.verbosity


def coloured(stream: IO[str]) -> bool:
    """Whether to colour what goes to this stream (no-color.org; --color)."""
    if _session.color != "auto":
        return _session.color == "always"
    return stream.isatty() and not os.environ.get("NO_COLOR")


def write_log(trace: str) -> Path | None:
    """Keep what this run said, and a traceback, in the state directory. Returns the path, None if that fails."""
    try:
        state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state")
        directory = state / "bundle" / "logs"
        path = directory / f"{time.strftime('%Y%m%d-%H%M%S')}-{_session.verb}-{os.getpid()}.log"
        directory.mkdir(parents=True, exist_ok=True)
        for old in sorted(directory.glob("*.log"))[:-KEPT_LOGS]:
            old.unlink(missing_ok=True)
        text = "\n".join([" ".join(sys.argv), *_session.log, trace])
        path.write_text(text, encoding="utf-8", errors="backslashreplace")  # whatever the locale, and the arguments
    except (OSError, RuntimeError):  # a log that can't be kept must not hide the error that it is about
        return None
    return path


class _Recorded:
    """Keeps the events (but not each chunk of bytes) for the log, and passes all of them on."""

    def __init__(self, inner: Events) -> None:
        self._inner = inner

    def emit(self, event: Event) -> None:
        """Record and pass on."""
        from bundler.core.events import BytesMoved

        if not isinstance(event, BytesMoved):
            _session.log.append(f"{time.strftime('%H:%M:%S')} {event}")
        with suppress(OSError, ValueError):  # whoever read our stderr has gone: that is no fault of the data
            self._inner.emit(event)
