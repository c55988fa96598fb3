"""Several tasks at once, which end together when one of them fails for good."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

from bundler.transport.refusals import ConnectionFailed


def together(tasks: Sequence[Callable[[], None]], workers: int, cancelled: threading.Event) -> ConnectionFailed | None:
    """Run tasks in so many threads. Returns a connection that was lost for good, if one was.

    A lost connection ends its own task only: where a host allows fewer logins than we want, the others do the work.
    Any other failure, Ctrl-C too, sets `cancelled` until all tasks have noticed and ended, and is raised.
    """
    try:
        with ThreadPoolExecutor(max(1, workers)) as pool:
            futures = {pool.submit(task) for task in tasks}
            try:
                return _watch(futures)
            except BaseException:
                cancelled.set()
                for future in futures:
                    future.cancel()
                raise
    finally:
        cancelled.clear()


def _watch(pending: set[Future[None]]) -> ConnectionFailed | None:
    lost: ConnectionFailed | None = None
    while pending:
        done, pending = wait(pending, return_when=FIRST_EXCEPTION)
        for future in done:
            try:
                future.result()
            except ConnectionFailed as error:
                if not error.transient:
                    raise
                lost = error
    return lost
