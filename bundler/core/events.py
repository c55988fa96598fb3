"""What an operation says while it runs. The command line draws it; tests record it; nothing else listens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StepStarted:
    """A stretch of work begins. `total` is the bytes that it will move, None where it moves none."""

    step: str
    total: int | None = None


@dataclass(frozen=True, slots=True)
class BytesMoved:
    """`count` more bytes of `item` (a file, a layer) have been moved in this step."""

    step: str
    item: str
    count: int


@dataclass(frozen=True, slots=True)
class StepEnded:
    """The stretch of work is over; `summary` says in a few words what came of it."""

    step: str
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Noted:
    """A detail of a step: a line of a builder, of a training log. Shown with -v."""

    step: str
    text: str


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that the user should know and that stops nothing."""

    text: str


Event = StepStarted | BytesMoved | StepEnded | Noted | Warned


class Events(Protocol):
    """Where an operation sends its events. May be called from several threads."""

    def emit(self, event: Event) -> None:
        """Take one event; never raises, never blocks for long."""


class Silence:
    """Hears everything and says nothing."""

    def emit(self, event: Event) -> None:
        """Drop the event."""
