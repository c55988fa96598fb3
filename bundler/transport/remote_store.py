"""The seam of a push: a store on another machine, whatever carries the bytes there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.events import Events
from bundler.store.closure import Member
from bundler.store.layout import Store
from bundler.transport.place import Place

STEP_SEND = "push"
STEP_CHECK = "recheck"
"""The steps that a remote store's events belong to. Of each blob they tell as many bytes as it has: what was there
already from an earlier attempt is told at once, what goes over twice is told once."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a remote store has. Sizes in bytes; None where the host can't say.

    `whole` are blobs under their names, `begun` those that can be gone on with; both only by their length.
    """

    free_bytes: int | None = None
    free_inodes: int | None = None
    whole: Mapping[Digest, int] = field(default_factory=dict)
    begun: Mapping[Digest, int] = field(default_factory=dict)

    def has(self, blob: Descriptor) -> bool:
        """Whether a blob is there, by its length."""
        return self.whole.get(blob.digest) == blob.size


class RemoteStore(Protocol):
    """A store on another machine. Methods are called in this order; any but `close` may be left out or repeated."""

    @property
    def place(self) -> Place:
        """Where it is."""

    @property
    def host_keys(self) -> tuple[str, ...]:
        """The fingerprints that this machine knows the host by; empty where the transport has none."""

    @property
    def verifies(self) -> bool:
        """Whether the host hashes what arrives; else the node does, before it uses any of it."""

    def look(self) -> Holdings:
        """What is there, while nothing there is changed; an empty store where there is none.

        Raises ConnectionFailed, LacksTools, RemoteRefused.
        """

    def rate(self) -> float | None:
        """Bytes a second that go there, by a trial of about a second; None where none can be made.

        Raises ConnectionFailed.
        """

    def survey(self) -> Holdings:
        """Make a store there unless there is one, and say what it has.

        Raises ConnectionFailed, LacksTools, RemoteRefused, RemoteNoSpace.
        """

    def damaged(self, members: Sequence[Member], events: Events) -> tuple[Member, ...]:
        """Hash blobs that are there; those whose bytes are not what their names say."""

    def send(self, source: Store, members: Sequence[Member], events: Events) -> int:
        """Send blobs. Returns when each was hashed and synced there: the bytes that went over.

        Raises ConnectionFailed, RemoteNoSpace, RemoteRefused, SourceDamaged; all that has arrived is kept.
        """

    def commit(self, members: Sequence[Member], agent: Digest, entries: Sequence[Descriptor]) -> None:
        """Put the agent beside the blobs and list these entries in the index, last and under its lock.

        Raises RemoteIncomplete when one of the blobs is not there, RemoteLocked.
        """

    def cancel(self) -> None:
        """Have what other threads do here end soon. What they raise then means nothing."""

    def close(self) -> None:
        """Let go of the host."""
