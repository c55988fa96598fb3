"""Which door of a host a push takes: a shell where there is one, else SFTP."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.events import Events, Warned
from bundler.store.closure import Member
from bundler.store.layout import Store
from bundler.transport.client import Client
from bundler.transport.limit import Limit
from bundler.transport.place import Place
from bundler.transport.refusals import NoSftp, NoShell
from bundler.transport.remote_errors import LacksTools
from bundler.transport.remote_store import Holdings, RemoteStore
from bundler.transport.sftp_store import STREAMS as SFTP_STREAMS
from bundler.transport.sftp_store import SftpStore
from bundler.transport.shell_store import STREAMS, ShellStore

AUTO, EXEC, SFTP = "auto", "exec", "sftp"
DOORS = (AUTO, EXEC, SFTP)


def open_door(
    client: Client, events: Events, *, door: str = AUTO, streams: int | None = None, limit: Limit | None = None
) -> RemoteStore:
    """The store behind a login, by one of DOORS. Asks nothing of the host yet."""
    by_sftp = SftpStore(client, streams=streams or SFTP_STREAMS, limit=limit)
    if door == SFTP:
        return by_sftp
    by_shell = ShellStore(client, streams=streams or STREAMS, limit=limit)
    return by_shell if door == EXEC else BestDoor(by_shell, by_sftp, events)


class BestDoor:
    """A store behind a login with a shell or, where that gives none that will do, with SFTP.

    The first question (`look` or `survey`) finds it out. Raises what the shell's door raises where neither opens.
    """

    def __init__(self, shell: RemoteStore, sftp: RemoteStore, events: Events) -> None:
        self._store = shell
        self._other: RemoteStore | None = sftp
        self._events = events

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
        other, self._other = self._other, None
        if other is None:
            return ask(self._store)
        try:
            return ask(self._store)
        except (NoShell, LacksTools) as refused:
            try:
                found = ask(other)
            except NoSftp:
                raise refused from None
            self._store.close()
            self._store = other
            because = "it goes by SFTP, and nothing there hashes what arrives"
            self._events.emit(Warned(f"{refused.what}: {because}"))
            return found
