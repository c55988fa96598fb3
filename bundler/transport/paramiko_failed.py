"""The one exception of the paramiko client's process."""

from __future__ import annotations

from bundler.transport.paramiko_request import Failure


class ClientFailed(Exception):
    """There is no login, or no more."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.word)
        self.failure = failure
