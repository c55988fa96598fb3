"""A remote store that is a directory of this machine (a mounted share, a disk), by the same rules."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.durable import write_file
from bundler.core.events import BytesMoved, Events, Silence
from bundler.store.closure import Member
from bundler.store.layout import Store
from bundler.store.verify import verify
from bundler.store.writer import WrongBytes
from bundler.transport.place import Place
from bundler.transport.remote_errors import RemoteIncomplete, SourceDamaged
from bundler.transport.remote_store import STEP_CHECK, STEP_SEND, Holdings

_CHUNK = 1 << 20


class DirectoryStore:
    """A store in a directory that is reached without a network."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def place(self) -> Place:
        """This machine, and the store's directory."""
        return Place(os.uname().nodename, str(self._root.absolute()), ("sh", "-c"))

    @property
    def host_keys(self) -> tuple[str, ...]:
        """None: nothing is authenticated."""
        return ()

    @property
    def verifies(self) -> bool:
        """This machine does."""
        return True

    def look(self) -> Holdings:
        """See RemoteStore."""
        if (self._root / "oci-layout").is_file():
            return self._holdings(Store.open(self._root))
        above = next(path for path in (self._root, *self._root.absolute().parents) if path.is_dir())
        status = os.statvfs(above)
        return Holdings(status.f_bavail * status.f_frsize, status.f_favail if status.f_files else None)

    def rate(self) -> None:
        """See RemoteStore. A disk says nothing before it is full of caches."""

    def survey(self) -> Holdings:
        """See RemoteStore."""
        return self._holdings(Store.create(self._root))

    def _holdings(self, store: Store) -> Holdings:
        status = os.statvfs(self._root)
        whole = {Digest(path.name): path.stat().st_size for path in store.blobs.iterdir() if len(path.name) == 64}
        names = {path.name.partition(".")[0] for path in store.partial.iterdir()}
        begun = {Digest(name): store.begun(Descriptor("", Digest(name), 1 << 62)) for name in names if len(name) == 64}
        inodes = status.f_favail if status.f_files else None
        return Holdings(store.free_bytes(), inodes, whole, {digest: size for digest, size in begun.items() if size})

    def damaged(self, members: Sequence[Member], events: Events) -> tuple[Member, ...]:
        """See RemoteStore."""
        bad = verify(Store.open(self._root), members, Silence()).bad
        for member in members:
            events.emit(BytesMoved(STEP_CHECK, member.label, member.blob.size))
        return tuple(blob.member for blob in bad)

    def send(self, source: Store, members: Sequence[Member], events: Events) -> int:
        """See RemoteStore."""
        store = Store.create(self._root)
        return sum(_copy(source, store, member, events) for member in members)

    def commit(self, members: Sequence[Member], agent: Digest, entries: Sequence[Descriptor]) -> None:
        """See RemoteStore."""
        store = Store.open(self._root)
        missing = [member for member in members if not store.has(member.blob)]
        if missing:
            raise RemoteIncomplete(self.place, missing)
        executable = self._root / "bundle"
        if not executable.is_file() or Digest.of_file(executable) != agent:
            write_file(executable, store.read(agent), mode=0o755)
        store.record(entries)

    def cancel(self) -> None:
        """Nothing can wait for ever here."""

    def close(self) -> None:
        """Nothing is held."""


def _copy(source: Store, store: Store, member: Member, events: Events, *, again: bool = True) -> int:
    """Copy one blob behind what is there of it. Returns the bytes that were read. Raises SourceDamaged."""
    blob = member.blob
    try:
        file = source.path(blob.digest).open("rb")
    except FileNotFoundError:
        raise SourceDamaged(member, source, "it is missing") from None
    with file, store.writer(blob.digest, blob.size) as writer:
        begun = writer.offset
        events.emit(BytesMoved(STEP_SEND, member.label, begun))
        file.seek(begun)
        try:
            while chunk := file.read(_CHUNK):
                writer.write(chunk)
                events.emit(BytesMoved(STEP_SEND, member.label, len(chunk)))
            writer.commit()
        except OSError as error:
            raise SourceDamaged(member, source, f"it can't be read: {error.strerror}") from error
        except WrongBytes as error:
            if not begun or not again:
                raise SourceDamaged(member, source, error.because or "its bytes are wrong") from error
        else:
            return blob.size - begun
    # What an earlier push left was wrong, and is forgotten now.
    return _copy(source, store, member, Silence(), again=False)
