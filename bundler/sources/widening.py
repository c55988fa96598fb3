"""A blob's stream that takes more connections when there are some to spare, and gives none of its bytes up for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bundler.core.descriptor import Descriptor
from bundler.sources import ranges
from bundler.sources.http import NoRanges
from bundler.sources.ranges import Ranges
from bundler.sources.retry import Retries, Retrying
from bundler.sources.source import BlobSource, InParts, Stream, rest_of


class Widening:
    """A Stream over as many connections as `share` says, asked at each chunk, where what is left is large enough.

    The next stream is open before the last is let go, so that a server that sends no parts costs nothing.
    """

    def __init__(
        self, source: BlobSource, blob: Descriptor, offset: int, share: Callable[[], int], size: int, retries: Retries
    ) -> None:
        """Opens the source at `offset`; `size` is the bytes of a part. Raises NetworkFailed."""
        self._source = source
        self._blob = blob
        self._share = share
        self._size = size
        self._retries = retries
        self._divisible = isinstance(source, InParts)
        self._connections = 1
        self._aborted = False
        self._current = self._wider(offset) or self._single(offset)
        self.offset = self._current.offset

    def __iter__(self) -> Iterator[bytes]:
        position = self.offset
        while position < self._blob.size:
            before = self._current
            try:
                for chunk in rest_of(before, position):
                    position += len(chunk)
                    yield chunk
                    if wider := self._wider(position):
                        before.close()
                        self._take(wider)
                        break
                else:
                    return
            except NoRanges:  # it sent some parts, and now does not: the rest in one piece
                before.close()
                self._divisible = False
                self._take(self._single(position))

    def _wider(self, position: int) -> Stream | None:
        """The rest over more connections; None where there are none to spare, or it would not pay."""
        connections = self._share()
        if not self._divisible or connections <= self._connections or self._blob.size - position <= ranges.LARGE:
            return None
        try:
            wider = Ranges(
                self._source, self._blob, position, connections=connections, size=self._size, retries=self._retries
            )
        except NoRanges:
            self._divisible = False
            return None
        self._connections = connections
        return wider

    def _single(self, position: int) -> Stream:
        return Retrying(self._source, self._retries).open(self._blob, position)

    def _take(self, stream: Stream) -> None:
        self._current = stream
        if self._aborted:
            stream.abort()

    def close(self) -> None:
        """Let go of all connections."""
        self._current.close()

    def abort(self) -> None:
        """End a read that another thread waits in."""
        self._aborted = True
        self._current.abort()
