"""Several sources of the same blobs as one: what the first can't give is read from the next."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.errors import NetworkFailed
from bundler.sources.http import NoRanges
from bundler.sources.retry import Transient
from bundler.sources.source import BlobSource, InParts, Stream


class Fallback:
    """Asks the sources in their order. The digest decides, so none of them has to be trusted.

    A blob that went well is never opened twice. So each opening counts against its source: when a stream broke off,
    or its bytes were wrong, the next source goes on with it. One that could not be opened comes later for all blobs.
    """

    def __init__(self, sources: Sequence[BlobSource]) -> None:
        self._sources = tuple(sources)
        self._opened: Counter[tuple[Digest, int]] = Counter()
        self._failed: Counter[int] = Counter()
        self._giving: dict[Digest, int] = {}
        self._reasons: dict[int, str] = {}
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """All of them."""
        return ", or ".join(source.name for source in self._sources)

    @property
    def suspicion(self) -> str:
        """The first source's, and which others could not be asked: what the rest has under this path may differ."""
        with self._lock:
            silent = "; ".join(f"{self._sources[at].name} gave nothing: {why}" for at, why in self._reasons.items())
        return f"{self._sources[0].suspicion}. {silent}" if silent else self._sources[0].suspicion

    @property
    def remedy(self) -> str:
        """The first source's."""
        return self._sources[0].remedy

    def open(self, blob: Descriptor, offset: int) -> Stream:
        """Begin to read from the best source that opens. Raises Transient where one of them may open later."""
        failures: list[NetworkFailed] = []
        for position in self._order(blob.digest):
            with self._lock:
                self._opened[blob.digest, position] += 1
            try:
                stream = self._sources[position].open(blob, offset)
                with self._lock:
                    self._giving[blob.digest] = position
                return stream
            except NetworkFailed as failure:
                with self._lock:
                    self._failed[position] += 1
                    self._reasons[position] = failure.what
                failures.append(failure)
        raise next((failure for failure in failures if isinstance(failure, Transient)), failures[0])

    def open_part(self, blob: Descriptor, offset: int, end: int) -> Stream:
        """Begin to read a part of a blob, from the source that gives it. Raises NoRanges, Transient, NetworkFailed."""
        with self._lock:
            giving = self._giving.get(blob.digest)
        *others, last = self._order(blob.digest) if giving is None else [giving]
        for position in others:
            try:
                return self._part(position, blob, offset, end)
            except NetworkFailed:
                continue  # nothing has come from any of them yet: the next is as good
        return self._part(last, blob, offset, end)

    def _part(self, position: int, blob: Descriptor, offset: int, end: int) -> Stream:
        source = self._sources[position]
        if not isinstance(source, InParts):
            raise NoRanges(source.name)
        return source.open_part(blob, offset, end)

    def _order(self, digest: Digest) -> list[int]:
        with self._lock:
            return sorted(range(len(self._sources)), key=lambda at: (self._opened[digest, at], self._failed[at], at))
