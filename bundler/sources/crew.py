"""The threads that fetch: a blob each, all stopped by the first failure, none of their bytes thrown away."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable

from bundler.core.errors import IntegrityFailed
from bundler.core.events import BytesMoved, Events, Warned
from bundler.sources.ranges import part_size
from bundler.sources.retry import Notify, Retries, RetryPolicy, Transient, describe_wait
from bundler.sources.source import Download, Elsewhere, Stream
from bundler.sources.widening import Widening
from bundler.store.layout import Store
from bundler.store.writer import BlobWriter, WrongBytes

STEP = "fetch"
GRACE = 5.0
"""Seconds that the streams get to end in after a failure or Ctrl-C; one that waits to connect is left behind."""


class WrongSource(IntegrityFailed):
    """A source gave wrong bytes twice."""

    def __init__(self, download: Download, last: WrongBytes) -> None:
        super().__init__(
            f"the bytes of {download.label} from {download.source.name} are wrong",
            because=f"{last.because}; they should have {download.blob.digest}. {download.source.suspicion}",
            hint=download.source.remedy,
        )


class _Stopped(Exception):
    """Another stream failed, or the user wants an end."""


class Crew:
    """The threads that fetch, and what they share: so many streams in all."""

    def __init__(self, store: Store, events: Events, policy: RetryPolicy, streams: int) -> None:
        self.moved = 0
        self.resumed = 0
        self._store = store
        self._events = events
        self._policy = policy
        self._streams = streams
        self._queue: deque[Download] = deque()
        self._busy = 0
        self._failure: BaseException | None = None
        self._stop = threading.Event()
        self._settled = threading.Event()
        self._lock = threading.Lock()
        self._open: set[Stream] = set()

    def work(self, todo: Iterable[Download]) -> None:
        """Fetch all of these. Raises the first failure."""
        self._queue.extend(todo)
        self._busy = min(self._streams, len(self._queue))
        threads = [
            threading.Thread(target=self._serve, name=f"{STEP}-{number}", daemon=True) for number in range(self._busy)
        ]
        for thread in threads:
            thread.start()
        try:
            if threads:
                self._settled.wait()
        finally:
            self._end()
            deadline = time.monotonic() + GRACE
            for thread in threads:
                thread.join(max(0.0, deadline - time.monotonic()))
        if self._failure is not None:
            raise self._failure

    def _serve(self) -> None:
        try:
            while (download := self._next()) is not None:
                self._bring(download)
        except _Stopped:
            pass
        except BaseException as failure:  # noqa: BLE001 - raised again by the thread that called fetch
            with self._lock:
                self._failure = self._failure or failure
            self._settled.set()
        finally:
            with self._lock:
                self._busy -= 1
                if self._busy == 0:
                    self._settled.set()

    def _next(self) -> Download | None:
        self._halt()
        with self._lock:
            return self._queue.popleft() if self._queue else None

    def _end(self) -> None:
        """Stop what still runs, and wake what waits for bytes; after a good end nothing does."""
        self._stop.set()
        with self._lock:
            for stream in self._open:
                stream.abort()

    def _bring(self, download: Download) -> None:
        blob = download.blob
        bar = _Bar(self._events, download.label)
        with self._store.writer(blob.digest, blob.size) as writer:
            bar.reach(writer.offset)
            with self._lock:
                self.resumed += writer.offset
            clean, again = writer.offset == 0, True
            while True:
                try:
                    return self._pour(download, writer, bar)
                except WrongBytes as error:
                    # A partial of another time, or a byte flipped on the way: once more from the beginning. Or a
                    # mirror that sends something else: from the next.
                    writer.restart()
                    source = download.source
                    if clean and isinstance(source, Elsewhere) and source.doubt(blob):
                        continue
                    if not again:
                        raise WrongSource(download, error) from error
                    clean, again = True, False

    def _pour(self, download: Download, writer: BlobWriter, bar: _Bar) -> None:
        blob = download.blob
        if writer.offset < blob.size:
            self._halt()
            retries = Retries(self._policy, self._pause, notify=self._say(download))
            size = part_size(self._streams)
            stream = Widening(download.source, blob, writer.offset, self._share, size, retries)
            if stream.offset != writer.offset:
                writer.restart()
            with self._lock:
                self._open.add(stream)
            try:
                self._halt()  # a stop that came while it opened
                for chunk in stream:
                    self._halt()
                    writer.write(chunk)
                    with self._lock:
                        self.moved += len(chunk)
                    bar.reach(writer.offset)
            finally:
                with self._lock:
                    self._open.discard(stream)
                stream.close()
        writer.commit()

    def _share(self) -> int:
        """Connections that a blob may use: more than one when fewer blobs are left than streams."""
        with self._lock:
            return 1 if self._queue else self._streams // max(1, self._busy)

    def _halt(self) -> None:
        if self._stop.is_set():
            raise _Stopped

    def _pause(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise _Stopped

    def _say(self, download: Download) -> Notify:
        def say(failure: Transient, delay: float) -> None:
            if not self._stop.is_set():
                self._events.emit(Warned(f"{download.label}: {describe_wait(failure, delay)}"))

        return say


class _Bar:
    """Tells how far a blob is, and never the same byte twice, so that a step's bytes add up to its total."""

    def __init__(self, events: Events, label: str) -> None:
        self._events = events
        self._label = label
        self._reached = 0

    def reach(self, offset: int) -> None:
        if offset > self._reached:
            self._events.emit(BytesMoved(STEP, self._label, offset - self._reached))
            self._reached = offset
