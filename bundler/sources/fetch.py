"""Bringing blobs into the store: each once, what is there skipped, what was begun continued, all of it hashed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.events import Events, StepEnded, StepStarted
from bundler.core.size import format_size
from bundler.sources.crew import STEP, Crew
from bundler.sources.retry import RetryPolicy
from bundler.sources.source import Download
from bundler.store.layout import Store
from bundler.store.space import need, require


@dataclass(frozen=True, slots=True)
class FetchResult:
    """What was fetched and what was there. `bytes` came over the wire, `resumed` were in the store from before."""

    fetched: tuple[Descriptor, ...]
    present: tuple[Descriptor, ...]
    bytes: int
    resumed: int


def fetch(
    downloads: Iterable[Download],
    store: Store,
    events: Events,
    streams: int = 4,
    policy: RetryPolicy | None = None,
) -> FetchResult:
    """Fetch what the store lacks, the largest first, over several connections at once.

    Raises NoSpace before anything moves where the store's file system is too small; NetworkFailed; WrongSource.
    After an error or Ctrl-C the other streams end too; what they have written is kept, and continued next time.
    """
    wanted: dict[Digest, Download] = {}
    for download in downloads:
        wanted.setdefault(download.blob.digest, download)
    missing = store.missing(download.blob for download in wanted.values())
    todo = sorted((wanted.pop(blob.digest) for blob in missing), key=lambda download: -download.blob.size)
    there = tuple(download.blob for download in wanted.values())
    total = sum(blob.size for blob in missing)
    require(store, need(store, missing))
    events.emit(StepStarted(STEP, total))
    crew = Crew(store, events, policy or RetryPolicy(), streams)
    crew.work(todo)
    events.emit(StepEnded(STEP, _summary(crew, len(todo), len(there))))
    return FetchResult(missing, there, crew.moved, crew.resumed)


def _summary(crew: Crew, fetched: int, present: int) -> str:
    resumed = f", {format_size(crew.resumed)} from before" if crew.resumed else ""
    return f"{fetched} blobs, {format_size(crew.moved)}{resumed}; {present} were there"
