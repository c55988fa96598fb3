"""One run of one verb: how much it says and where, its progress display, its log in the state directory."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:  # `status` says nothing on its way, and does without
    from bundler.cli.progress import Display
    from bundler.core.events import Event, Events

KEPT_LOGS = 50
KEPT_LINES = 20_000


@dataclass
class _Session:
    verb: str = "bundle"
    verbosity: int = 0
    color: str = "auto"
    kind: str = "quiet"
    shown: Display | None = None
    log: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))


_session = _Session()
_made_once = Lock()


def begin(verb: str, *, verbosity: int, quiet: bool, progress: str, events: str | None, color: str) -> Events:
    """Start a run. Returns where its operations send their events."""
    end()
    _session.verb, _session.verbosity, _session.color = verb, verbosity, color
    _session.kind = "json" if events == "json" else "quiet" if quiet else progress
    return _Recorded()


def end() -> None:
    """Leave the terminal as a person would like to find it."""
    if _session.shown:
        _session.shown.close()
        _session.shown = None


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


def _display() -> Display:
    """This run's display, made when there is something to show: `status`, which people run in loops, never has."""
    with _made_once:
        if _session.shown is None:
            from bundler.cli.progress import display

            _session.shown = display(_session.kind, _session.verbosity, sys.stderr, coloured=coloured(sys.stderr))
        return _session.shown


class _Recorded:
    """Keeps the events (but not each chunk of bytes) for the log, and shows all of them."""

    def emit(self, event: Event) -> None:
        """Record and show."""
        from bundler.core.events import BytesMoved

        if not isinstance(event, BytesMoved):
            _session.log.append(f"{time.strftime('%H:%M:%S')} {event}")
        with suppress(OSError, ValueError):  # whoever read our stderr has gone: that is no fault of the data
            _display().emit(event)
