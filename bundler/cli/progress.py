"""Progress on stderr: drawn in place on a terminal, a line every five seconds elsewhere, JSON lines for programs."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import IO, Protocol

from bundler.core.event_lines import encode
from bundler.core.events import BytesMoved, Event, Noted, StepEnded, StepStarted, Warned
from bundler.core.size import format_duration, format_size

REDRAW = 0.1
PLAIN_EVERY = 5.0
STREAMS_SHOWN = 4
BAR = 24


class Display(Protocol):
    """Takes events, from any thread; `close` leaves the terminal in order."""

    def emit(self, event: Event) -> None:
        """Show an event."""

    def close(self) -> None:
        """Finish what is half drawn."""


def display(kind: str, verbosity: int, stream: IO[str], *, coloured: bool) -> Display:
    """The display for `auto`, `tty`, `plain`, `quiet` or `json`."""
    if kind == "json":
        return JsonLines(stream)
    if kind == "quiet":
        return Quiet(stream)
    if kind == "tty" or (kind == "auto" and stream.isatty()):
        return Drawn(stream, verbosity, coloured=coloured)
    return Plain(stream, verbosity)


@dataclass
class Step:
    """A step under way: bytes so far, of how many, since when, by stream."""

    name: str
    total: int | None
    began: float = field(default_factory=time.monotonic)
    done: int = 0
    streams: dict[str, int] = field(default_factory=dict)

    def add(self, event: BytesMoved) -> None:
        """Count bytes; the streams that moved last stand last."""
        self.done += event.count
        self.streams[event.item] = self.streams.pop(event.item, 0) + event.count

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self.began

    def line(self) -> str:
        """Bytes, rate and time left, as far as they are known."""
        if not self.done:
            return f"{self.name}: {format_duration(self.seconds)}"
        rate = self.done / max(self.seconds, 1e-3)
        text = f"{self.name}: {format_size(self.done)}"
        if self.total:
            left = max(0, self.total - self.done) / rate
            return f"{text} of {format_size(self.total)}, {format_size(rate)}/s, {format_duration(left)} left"
        return f"{text}, {format_size(rate)}/s"

    def ended(self, summary: str) -> str:
        """The last line: what came of it, in what time, at what rate."""
        if not self.done:
            return f"{self.name}: {summary or 'done'} ({format_duration(self.seconds)})"
        rate = format_size(self.done / max(self.seconds, 1e-3))
        moved = f"{format_size(self.done)} in {format_duration(self.seconds)}, {rate}/s"
        return f"{self.name}: {summary or 'done'} ({moved})"


class _Steps:
    """What the displays have in common: which steps are under way."""

    def __init__(self, stream: IO[str], verbosity: int) -> None:
        self._stream = stream
        self._verbosity = verbosity
        self._guard = threading.Lock()
        self._steps: dict[str, Step] = {}

    def emit(self, event: Event) -> None:
        """Keep account of the event and show it."""
        with self._guard:
            if isinstance(event, StepStarted):
                self._steps[event.step] = Step(event.step, event.total)
                self._tick()
            elif isinstance(event, BytesMoved):
                self._steps.setdefault(event.step, Step(event.step, None)).add(event)
                self._tick()
            elif isinstance(event, StepEnded):
                step = self._steps.pop(event.step, None) or Step(event.step, None)
                self._say(step.ended(event.summary))
            elif isinstance(event, Noted):
                self._note(event)
            elif isinstance(event, Warned):
                self._say(f"warning: {event.text}")

    def _note(self, event: Noted) -> None:
        if self._verbosity:
            self._say(f"{event.step} | {event.text}")
        else:
            self._tick()

    def _tick(self) -> None:
        """Something moved."""

    def _say(self, line: str) -> None:
        print(line, file=self._stream, flush=True)

    def close(self) -> None:
        """Nothing is half drawn."""


class Plain(_Steps):
    """For files and pipes."""

    _last = 0.0

    def _tick(self) -> None:
        now = time.monotonic()
        if now - self._last >= PLAIN_EVERY:
            first = not self._last
            self._last = now
            if not first:
                for step in self._steps.values():
                    self._say(step.line())


class Quiet(_Steps):
    """Only warnings."""

    def __init__(self, stream: IO[str]) -> None:
        super().__init__(stream, 0)

    def _say(self, line: str) -> None:
        if line.startswith("warning:"):
            super()._say(line)


class Drawn(_Steps):
    """For terminals: a line for each stream that moves, and one for the step."""

    def __init__(self, stream: IO[str], verbosity: int, *, coloured: bool) -> None:
        super().__init__(stream, verbosity)
        self._coloured = coloured
        self._drawn = 0
        self._last = 0.0
        self._stop = threading.Event()
        threading.Thread(target=self._clock, daemon=True).start()

    def _clock(self) -> None:
        """Times go on while nothing moves."""
        while not self._stop.wait(1.0):
            with self._guard:
                self._tick()

    def _tick(self) -> None:
        now = time.monotonic()
        if now - self._last >= REDRAW:
            self._last = now
            self._draw()

    def _draw(self) -> None:
        lines = [line for step in self._steps.values() for line in self._lines(step)]
        self._stream.write(self._clear() + "".join(f"{line}\n" for line in lines))
        self._stream.flush()
        self._drawn = len(lines)

    def _lines(self, step: Step) -> list[str]:
        streams = list(step.streams.items())[-STREAMS_SHOWN:]
        shown = [f"  {item[:60]}  {format_size(count)}" for item, count in streams] if step.total else []
        if not step.total:
            return [*shown, step.line()]
        filled = min(BAR, round(BAR * step.done / step.total))
        bar = "█" * filled + "░" * (BAR - filled)
        return [*shown, f"{self._paint(bar)} {step.line()}"]

    def _paint(self, text: str) -> str:
        return f"\x1b[36m{text}\x1b[0m" if self._coloured else text

    def _clear(self) -> str:
        return f"\x1b[{self._drawn}A\x1b[J" if self._drawn else ""

    def _say(self, line: str) -> None:
        self._stream.write(self._clear())
        self._drawn = 0
        super()._say(line)
        self._draw()

    def close(self) -> None:
        """Remove what is half drawn."""
        self._stop.set()
        with self._guard:
            self._stream.write(self._clear())
            self._stream.flush()
            self._drawn = 0
            self._steps.clear()


class JsonLines:
    """For programs: one JSON object a line."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._guard = threading.Lock()

    def emit(self, event: Event) -> None:
        """Write the event."""
        line = encode(event)
        with self._guard:
            print(line, file=self._stream, flush=True)

    def close(self) -> None:
        """Every line is whole."""
