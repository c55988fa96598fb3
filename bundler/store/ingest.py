"""Writing a blob whose digest is known only at its end (a layer that is being compressed)."""

from __future__ import annotations

import hashlib
import secrets
from types import TracebackType

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.durable import WriteBehind, explained, publish
from bundler.core.owner import Owner
from bundler.store.layout import Store
from bundler.store.writer import abandoned


def clear_abandoned(store: Store) -> None:
    """Remove what killed processes left of blobs that nothing can go on with."""
    for left in store.partial.glob("ingest-*"):
        if abandoned(left):
            left.unlink(missing_ok=True)


class Ingest:
    """Takes bytes and names them by their digest when they are whole; a context manager. Can't be resumed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._path = store.partial / f"ingest-{secrets.token_hex(8)}.{Owner.me().key}"
        self._hash = hashlib.sha256()
        self._size = 0

    def __enter__(self) -> Ingest:
        clear_abandoned(self._store)
        with explained(self._path):
            self._file = open(self._path, "xb", buffering=0)
        self._behind = WriteBehind(self._file.fileno())
        return self

    def write(self, chunk: bytes) -> None:
        """Append bytes. Raises NoSpace."""
        with explained(self._path):
            view = memoryview(chunk)
            while view:
                view = view[self._file.write(view) :]
            self._size += len(chunk)
            self._behind.reached(self._size)
        self._hash.update(chunk)

    def commit(self, media_type: str) -> Descriptor:
        """Give the blob its name. Returns its descriptor."""
        blob = Descriptor(media_type, Digest(self._hash.hexdigest()), self._size)
        with explained(self._path):
            publish(self._path, self._store.path(blob.digest), mode=0o444)
        return blob

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)
