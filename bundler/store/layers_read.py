"""An image's layer as a stream of tar: gzip, zstd or plain by its first bytes, hashed in passing."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, cast

from bundler.core.descriptor import Descriptor
from bundler.core.errors import BundlerError, IntegrityFailed
from bundler.core.events import BytesMoved, Events
from bundler.store.layout import MissingBlob, Store

CHUNK = 1 << 20
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"


class UnreadableLayer(IntegrityFailed):
    """A layer that is not the tar that its image says."""

    def __init__(self, layer: Descriptor, store: Store, problem: str) -> None:
        super().__init__(
            f"layer {layer.digest} in {store.root} can't be read",
            because=problem,
            hint="bundle verify   # reads every byte, and names what is damaged",
        )


@contextmanager
def open_layer(store: Store, layer: Descriptor, step: str, label: str, events: Events) -> Iterator[tarfile.TarFile]:
    """A layer's tar, to be read once from its front to its end, in constant memory; the rest is read at the end.

    Raises MissingBlob, and UnreadableLayer where it is damaged: found at the end, when the block has ended well.
    """
    path = store.path(layer.digest)
    if not path.is_file():
        raise MissingBlob(layer.digest, store.root)
    with path.open("rb", buffering=0) as file:
        watched = _Watched(file, step, label, events)
        buffered: IO[bytes] = io.BufferedReader(watched, CHUNK)
        try:
            with tarfile.open(fileobj=_expanded(buffered), mode="r|", bufsize=CHUNK) as tar:
                yield tar
            while buffered.read(CHUNK):
                pass
        except (tarfile.TarError, zlib.error, EOFError, ValueError) as error:
            raise UnreadableLayer(layer, store, f"{type(error).__name__}: {error}") from error
        if watched.digest.hexdigest() != layer.digest.hex:
            raise UnreadableLayer(layer, store, f"its bytes have the digest sha256:{watched.digest.hexdigest()}")


def _expanded(packed: IO[bytes]) -> IO[bytes]:
    head = cast(io.BufferedReader, packed).peek(4)[:4]
    if head[:2] == _GZIP:
        from isal import igzip

        return cast(IO[bytes], igzip.IGzipFile(fileobj=packed, mode="rb"))  # type: ignore[no-untyped-call]
    if head == _ZSTD:
        return _zstd(packed)
    return packed


def _zstd(packed: IO[bytes]) -> IO[bytes]:
    try:
        import zstandard
    except ImportError:
        raise BundlerError(
            "a layer is compressed with zstd, and the library zstandard is not installed here",
            hint="pip install zstandard   # or run this where the bundle was built",
        ) from None
    return cast(IO[bytes], zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True))


class _Watched(io.RawIOBase):
    """A file whose bytes are hashed and told of as they are read."""

    def __init__(self, file: IO[bytes], step: str, label: str, events: Events) -> None:
        self._file = cast(io.RawIOBase, file)
        self._told = (step, label, events)
        self.digest = hashlib.sha256()

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: object) -> int:
        """Read into a buffer."""
        view = memoryview(cast(bytearray, buffer))
        count = self._file.readinto(view) or 0
        self.digest.update(view[:count])
        step, label, events = self._told
        events.emit(BytesMoved(step, label, count))
        return count
