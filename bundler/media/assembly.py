"""A cut blob that grows in a store: its parts come in any order, each byte is written once, the whole is hashed."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress

from bundler.core.digest import Digest
from bundler.core.durable import WriteBehind, explained, publish, write_file
from bundler.core.strict_json import canonical, parse_object
from bundler.media.header import Piece
from bundler.media.volume import BadVolume, Volume
from bundler.store.layout import Store

_JOURNAL = "landed.json"
_WHOLE = "whole"


class Assembly:
    """`STORE/parts/sha256/<hex>/`: the file that grows, and a journal of the stretches that are synced in it.

    One process at a time: whoever imports holds the store's import lock.
    """

    def __init__(self, store: Store, digest: Digest, size: int) -> None:
        self._store = store
        self._digest = digest
        self._size = size
        self._directory = store.root / "parts" / "sha256" / digest.hex
        self._path = self._directory / _WHOLE

    def landed(self) -> set[tuple[int, int]]:
        """The stretches (first byte, bytes) that are there, each hashed and synced when it came."""
        try:
            length = self._path.stat().st_size
            document = parse_object((self._directory / _JOURNAL).read_bytes(), "journal")
            stretches = {(int(offset), int(size)) for offset, size in document["landed"]}
            return {(offset, size) for offset, size in stretches if offset + size <= length}
        except (OSError, ValueError, KeyError, TypeError):
            return set()

    def has(self, piece: Piece) -> bool:
        """Whether this part is there."""
        return (piece.offset, piece.size) in self.landed()

    def take(self, volume: Volume, piece: Piece) -> Iterator[int]:
        """Write a part in its place; yields bytes written. Raises BadVolume, NoSpace."""
        with explained(self._path):
            self._directory.mkdir(parents=True, exist_ok=True)
            if not self._path.is_file():
                (self._directory / _JOURNAL).unlink(missing_ok=True)  # of a file that was deleted
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        digest = hashlib.sha256()
        at = piece.offset
        behind = WriteBehind(handle, at)
        try:
            for chunk in volume.chunks(piece):
                digest.update(chunk)
                view = memoryview(chunk)
                with explained(self._path):
                    while view:
                        count = os.pwrite(handle, view, at)
                        view = view[count:]
                        at += count
                    behind.reached(at)
                yield len(chunk)
            with explained(self._path):
                os.fsync(handle)
        finally:
            os.close(handle)
        if digest.hexdigest() != volume.ends[piece.path].hex:
            raise BadVolume(volume.path, f"{piece.path} has other bytes than the volume's end says")
        landed = {*self.landed(), (piece.offset, piece.size)}
        write_file(self._directory / _JOURNAL, canonical({"landed": sorted(landed)}))
        if volume.unpacked and volume.path.samefile(self._store.root):
            (volume.path / piece.path).unlink()

    @property
    def complete(self) -> bool:
        """Whether the parts that are there cover the blob."""
        reached = 0
        for offset, size in sorted(self.landed()):
            if offset > reached:
                return False
            reached = max(reached, offset + size)
        return reached >= self._size

    def join(self) -> bool:
        """Hash the whole and give it the blob's name; False, and nothing is kept, where its bytes are wrong."""
        with explained(self._path):
            if self._path.stat().st_size != self._size or Digest.of_file(self._path) != self._digest:
                self.discard()
                return False
            publish(self._path, self._store.path(self._digest), mode=0o444)
            self.discard()
        return True

    def discard(self) -> None:
        """Forget all parts."""
        shutil.rmtree(self._directory, ignore_errors=True)
        with suppress(OSError):
            self._directory.parent.rmdir()
            self._directory.parent.parent.rmdir()

    @property
    def bytes(self) -> int:
        """Bytes that have landed."""
        return sum(size for _, size in self.landed())
