"""Whose fault it is that a blob arrived wrong."""

from __future__ import annotations

from bundler.core.digest import Digest
from bundler.store.closure import Member
from bundler.store.layout import Store
from bundler.transport.connector import Connector
from bundler.transport.remote_errors import DamagedInTransit, SourceDamaged

_TRIES = 3  # of one blob that is right here and arrives wrong


class Blame:
    """Reads what arrived wrong again here, and counts how often it did."""

    def __init__(self, source: Store, connector: Connector) -> None:
        self._source = source
        self._connector = connector
        self._tries: dict[str, int] = {}

    def arrived_wrong(self, member: Member, actual: str, *, resumed: bool) -> None:
        """Returns where it is worth another try. Raises SourceDamaged, DamagedInTransit.

        What an earlier push had left may be at fault where it was `resumed`: that is not held against anyone.
        """
        if resumed:
            return
        here = Digest.of_file(self._source.path(member.blob.digest))
        if here != member.blob.digest:
            raise SourceDamaged(member, self._source, f"its bytes have the digest {here}")
        hex_ = member.blob.digest.hex
        self._tries[hex_] = self._tries.get(hex_, 0) + 1
        if self._tries[hex_] >= _TRIES:
            raise DamagedInTransit(member, self._connector.place, actual)
