"""Which door of a host a push takes: a shell where there is one, else SFTP, else scp."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.errors import BundlerError
from bundler.core.events import Events
from bundler.store.closure import Member
from bundler.store.layout import Store
from bundler.transport.client import Client
from bundler.transport.limit import Limit
from bundler.transport.place import Place
from bundler.transport.remote_store import Holdings, RemoteStore
from bundler.transport.scp_store import STREAMS as SCP_STREAMS
from bundler.transport.scp_store import ScpStore
from bundler.transport.sftp_store import STREAMS as SFTP_STREAMS
from bundler.transport.sftp_store import SftpStore
from bundler.transport.shell_store import STREAMS, ShellStore

EXEC, SFTP, SCP = "exec", "sftp", "scp"


def open_door(client: Client, door: str, *, streams: int | None = None, limit: Limit | None = None) -> RemoteStore:
    """The store behind a login, by EXEC, SFTP or SCP. Asks nothing of the host yet."""
    if door == SCP:
        return ScpStore(client, streams=streams or SCP_STREAMS, limit=limit)
    if door == SFTP:
        return SftpStore(client, streams=streams or SFTP_STREAMS, limit=limit)
    return ShellStore(client, streams=streams or STREAMS, limit=limit)


class AnyDoor:
    """A remote store, or another in its place where the first question (`look` or `survey`) is refused.

    `otherwise` is told of the refusal and gives the next store to ask; None where there is none, and the refusal is
    raised.
    """

    def __init__(self, first: RemoteStore, otherwise: Callable[[BundlerError], RemoteStore | None]) -> None:
        self._store = first
        self._otherwise = otherwise
        self._open = False

    @property
    def place(self) -> Place:
        """See RemoteStore."""
        return self._store.place

    @property
    def host_keys(self) -> tuple[str, ...]:
        """See RemoteStore."""
        return self._store.host_keys

    @property
    def verifies(self) -> bool:
        """See RemoteStore."""
        return self._store.verifies

    def look(self) -> Holdings:
        """See RemoteStore."""
        return self._first(lambda store: store.look())

    def rate(self) -> float | None:
        """See RemoteStore."""
        return self._store.rate()

    def survey(self) -> Holdings:
        """See RemoteStore."""
        return self._first(lambda store: store.survey())

    def damaged(self, members: Sequence[Member], events: Events) -> tuple[Member, ...]:
        """See RemoteStore."""
        return self._store.damaged(members, events)

    def send(self, source: Store, members: Sequence[Member], events: Events) -> int:
        """See RemoteStore."""
        return self._store.send(source, members, events)

    def commit(self, members: Sequence[Member], agent: Digest, entries: Sequence[Descriptor]) -> None:
        """See RemoteStore."""
        self._store.commit(members, agent, entries)

    def cancel(self) -> None:
        """See RemoteStore."""
        self._store.cancel()

    def close(self) -> None:
        """See RemoteStore."""
        self._store.close()

    def _first(self, ask: Callable[[RemoteStore], Holdings]) -> Holdings:
        while True:
            try:
                found = ask(self._store)
            except BundlerError as refused:
                other = None if self._open else self._otherwise(refused)
                if other is None:
                    raise
                self._store.close()
                self._store = other
            else:
                self._open = True
                return found
