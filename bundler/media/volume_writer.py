"""Writing a volume: each blob read once and hashed on its way, the volume hashed too, named only when whole."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from bundler.core.digest import Digest
from bundler.core.durable import WriteBehind, explained, publish
from bundler.core.errors import IntegrityFailed
from bundler.core.owner import Owner
from bundler.media import sums
from bundler.media.header import Header, Piece, encode_end
from bundler.media.tar import END, member_header, padding
from bundler.store.layout import MissingBlob, Store
from bundler.store.writer import gone

_CHUNK = 4 << 20
_BUFFERS = 4
_TEMPORARY = re.compile(r"\.(.+\.tar)\.(\w{0,8}-[\w-]{0,8}?-\d+-\d*)")


class BlobDamaged(IntegrityFailed):
    """A blob of the store that is to be exported is not what its name says."""

    def __init__(self, digest: Digest, store: Store, label: str, problem: str) -> None:
        super().__init__(
            f"{label} ({digest}) in {store.root} is damaged: {problem}",
            because="the bytes on this disk are not those that were built; the volume that it belongs to was not named",
            hint=f"rm -f {shlex.quote(str(store.path(digest)))}   # then build and export again: it goes on",
        )


class TarFile:
    """A tar under a temporary name beside its final one, hashed in passing; a context manager."""

    def __init__(self, path: Path) -> None:
        self._final = path
        self._path = path.with_name(f".{path.name}.{Owner.me().key}")

    def __enter__(self) -> TarFile:
        with explained(self._final):
            self._file = open(self._path, "wb", buffering=0)
        self._written = 0
        self._behind = WriteBehind(self._file.fileno())
        self._pool = ThreadPoolExecutor(1, "volume")  # one thread a hash keeps the order
        self._blob_pool = ThreadPoolExecutor(1, "blob")
        self._hash = hashlib.sha256()
        self._buffers = [bytearray(_CHUNK) for _ in range(_BUFFERS)]
        self._busy: list[list[Future[None]]] = [[] for _ in range(_BUFFERS)]
        return self

    def write(self, data: bytes | memoryview) -> Future[None]:
        """Append bytes, which must stay as they are until the result is there. Raises NoSpace."""
        hashed = self._pool.submit(self._hash.update, data)
        with explained(self._final):
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]
            self._written += len(data)
            self._behind.reached(self._written)
        return hashed

    def add(self, path: str, data: bytes, mode: int) -> None:
        """Append a small member."""
        self.write(member_header(path, len(data), mode) + data + bytes(padding(len(data))))

    def copy(
        self, source: Path, offset: int, size: int, hashes: list[hashlib._Hash], moved: Callable[[int], None]
    ) -> int:
        """Append bytes of a file, and feed these hashes. Returns how many there were."""
        left = size
        turn = 0
        with source.open("rb", buffering=0) as file:
            file.seek(offset)
            while left:
                for pending in self._busy[turn]:
                    pending.result()
                buffer = self._buffers[turn]
                count = file.readinto(memoryview(buffer)[: min(left, _CHUNK)])
                if not count:
                    break
                view = memoryview(buffer)[:count]
                feeding = [self._blob_pool.submit(digest.update, view) for digest in hashes]
                self._busy[turn] = [*feeding, self.write(view)]
                left -= count
                moved(count)
                turn = (turn + 1) % _BUFFERS
        self._settle()
        return size - left

    def _settle(self) -> None:
        for pending in [future for futures in self._busy for future in futures]:
            pending.result()
        self._busy = [[] for _ in range(_BUFFERS)]

    def finish(self) -> Digest:
        """Give it its name, durably. Returns its digest."""
        self.write(END).result()
        self._file.close()
        with explained(self._final):
            publish(self._path, self._final)
        return Digest(self._hash.hexdigest())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()
        self._blob_pool.shutdown()
        self._file.close()
        self._path.unlink(missing_ok=True)


class BlobReader:
    """Puts a store's blobs, whole or in parts, into tars; a blob's hash goes on from volume to volume."""

    def __init__(self, store: Store, label: Callable[[Digest], str], moved: Callable[[str, int], None]) -> None:
        self._store = store
        self._label = label
        self._moved = moved
        self._cut: dict[Digest, tuple[int, hashlib._Hash]] = {}

    def put(self, tar: TarFile, piece: Piece) -> Digest:
        """Append a blob or a part of one. Returns the digest of these bytes. Raises BlobDamaged, MissingBlob."""
        label = self._label(piece.digest)
        own = hashlib.sha256()
        hashes = [own]
        if piece.is_part:
            reached, running = self._cut.pop(piece.digest, (0, hashlib.sha256()))
            if reached != piece.offset:  # the volumes before it are not written in this run: read, not written
                running = self._prefix(piece)
            hashes.append(running)
        path = self._store.path(piece.digest)
        try:
            length = path.stat().st_size
            if length != piece.blob_size:
                raise BlobDamaged(
                    piece.digest, self._store, label, f"it has {length} bytes, should have {piece.blob_size}"
                )
            tar.write(member_header(piece.path, piece.size, piece.mode))
            count = tar.copy(path, piece.offset, piece.size, hashes, lambda n: self._moved(label, n))
        except FileNotFoundError:
            raise MissingBlob(piece.digest, self._store.root) from None
        tar.write(bytes(padding(piece.size)))
        whole = hashes[-1]
        end = piece.offset + piece.size
        if count != piece.size or (end == piece.blob_size and whole.hexdigest() != piece.digest.hex):
            raise BlobDamaged(piece.digest, self._store, label, f"its bytes have the digest sha256:{whole.hexdigest()}")
        if piece.is_part:
            self._cut[piece.digest] = (end, whole)
        return Digest(own.hexdigest())

    def _prefix(self, piece: Piece) -> hashlib._Hash:
        running = hashlib.sha256()
        left = piece.offset
        with self._store.path(piece.digest).open("rb", buffering=0) as file:
            while left and (chunk := file.read(min(left, _CHUNK))):
                running.update(chunk)
                left -= len(chunk)
        return running


def write_volume(volume: Header, directory: Path, reader: BlobReader, loose: dict[str, bytes]) -> Digest:
    """Write a volume and state its digest in SHA256SUMS. Raises BlobDamaged, MissingBlob, NoSpace."""
    sums.forget(directory, volume.file_name)
    with explained(directory):
        (directory / volume.file_name).unlink(missing_ok=True)  # of another bundle, or not whole: its room is counted
    ends: dict[str, Digest] = {}
    with TarFile(directory / volume.file_name) as tar:
        tar.add(volume.path, volume.encode(), 0o644)
        for piece in volume.pieces:
            if not piece.is_blob:
                tar.add(piece.path, loose[piece.path], piece.mode)
                continue
            digest = reader.put(tar, piece)
            if piece.is_part:
                ends[piece.path] = digest
        tar.add(volume.end_path, encode_end(ends), 0o644)
        digest = tar.finish()
    sums.state(directory, volume.file_name, digest)
    return digest


def is_whole(volume: Header, directory: Path) -> bool:
    """Whether this very volume lies there already, stated in SHA256SUMS and read again."""
    path = directory / volume.file_name
    stated = sums.read(directory).get(volume.file_name)
    if stated is None or not path.is_file() or path.stat().st_size != volume.bytes:
        return False
    raw = volume.encode()
    expected = member_header(volume.path, len(raw), 0o644) + raw
    with path.open("rb") as file:
        if file.read(len(expected)) != expected:
            return False
    return Digest.of_file(path) == stated


def clear(directory: Path, stem: str) -> None:
    """Remove what killed exports of this bundle left under temporary names."""
    for found in directory.glob(f".{stem}.*"):
        match = _TEMPORARY.fullmatch(found.name)
        if match and gone(match[2]):
            found.unlink(missing_ok=True)


def own_bytes(directory: Path, names: set[str]) -> int:
    """Bytes that files of these names take there: an export run again has their room too."""
    return sum(os.stat(directory / name).st_size for name in names if (directory / name).is_file())
