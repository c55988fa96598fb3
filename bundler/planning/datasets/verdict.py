"""What became of a dataset's records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from bundler.planning.datasets.lengths import Lengths
    from bundler.planning.datasets.prints import Prints


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record lies. Numbers count from 1; `line` is 0 where there are none (a whole file)."""

    file: str
    record: int
    line: int

    def __str__(self) -> str:
        where = f", line {self.line}" if self.line else ""
        return f"{self.file}, record {self.record}{where}" if self.record else f"{self.file}{where}"


@dataclass(frozen=True, slots=True)
class Dropped:
    """A record that LLaMA-Factory leaves out of the training, saying so in its log at most."""

    number: int
    place: Place
    reason: str


class Raises(Exception):
    """LLaMA-Factory would die of this. `str()` says of what; `error` is the class that it raises."""

    def __init__(self, reason: str, error: str = "ValueError", *, place: Place | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.error = error
        self.place = place


class CannotRead(Exception):
    """We can't tell: a type of file, or a size, that this program does not read."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the whole run ends, and the record of which, when it is one's fault."""

    reason: str
    error: str
    place: Place | None

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}" if self.place else self.reason


NoteKind = Literal[
    "duplicate", "empty answer", "placeholder", "overlap", "missing file", "single class", "first turn only"
]
PLACES = 3
"""So many places of a kind are kept."""


@dataclass(frozen=True, slots=True)
class Noted:
    """Something to look at that LLaMA-Factory would not mind: how often, and where (the first PLACES of them)."""

    kind: NoteKind
    count: int
    places: tuple[Place, ...]
    example: str = ""

    @property
    def first(self) -> Place:
        """Where first."""
        return self.places[0]

    def __str__(self) -> str:
        shown = f" ({self.example})" if self.example else ""
        return f"{self.kind}: {self.count}, first at {self.first}{shown}"


@dataclass(frozen=True, slots=True)
class DatasetVerdict:
    """What LLaMA-Factory would make of a dataset.

    `kept` + `dropped_count` = `records` unless `failure` says that nothing is trained at all. `dropped` lists the
    first DROPPED_LISTED only; `dropped_reasons` counts them all. `unread` says why nothing can be told.
    `prints` identify the kept records, to compare datasets with each other in the same process; None where nothing
    was judged. `lengths` are None where no tokens were counted; `lengths_why` says why, or what the counts leave out.
    """

    records: int = 0
    kept: int = 0
    dropped: tuple[Dropped, ...] = ()
    dropped_count: int = 0
    dropped_reasons: Mapping[str, int] = field(default_factory=dict)
    failure: Failure | None = None
    unread: str | None = None
    notes: tuple[Noted, ...] = ()
    prints: Prints | None = field(default=None, repr=False)
    lengths: Lengths | None = None
    lengths_why: str | None = None

    @property
    def usable(self) -> bool:
        """Whether at least one record reaches the training, as far as can be told."""
        return self.unread is not None or (self.failure is None and self.kept > 0)


DROPPED_LISTED = 100
"""So many dropped records are listed one by one."""
