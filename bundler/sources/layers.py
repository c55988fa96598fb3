"""From a `docker save` stream to layers in the store: each once, compressed fast, the base's own left as they were.

Docker 20.10 to 24 write `ID/layer.tar` and symbolic links between them, later ones `blobs/sha256/HEX` (docker
save; moby image/tarexport/save.go). Both end with a `manifest.json` that says which file is which layer.
"""

from __future__ import annotations

import hashlib
import posixpath
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any, cast

from isal import isal_zlib

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest, MalformedDigest
from bundler.core.errors import IntegrityFailed
from bundler.core.events import BytesMoved, Events
from bundler.core.media_types import OCI_LAYER_GZIP
from bundler.core.strict_json import parse_object
from bundler.sources.squeeze import gzip_blocks
from bundler.store.ingest import Ingest
from bundler.store.layout import Store

CHUNK = 1 << 20
SMALL = 8 << 20
"""Configs and manifests are smaller than this many bytes; a layer may be too, and is told apart by its content."""
BLOBS = "blobs/sha256/"
GZIP = b"\x1f\x8b"
STEP = "export"


@dataclass(frozen=True, slots=True)
class SavedImage:
    """An image taken out of an engine: its config's bytes, unchanged, and its layers, base first."""

    config: bytes
    layers: tuple[Descriptor, ...]


def take_layers(
    stream: Iterable[bytes], known: Mapping[Digest, Descriptor], store: Store, events: Events
) -> SavedImage:
    """Read a `docker save` stream of one image into the store.

    `known` maps the digests of unpacked layers (diff ids) to layers that are in the store already: those keep
    their descriptor. Raises IntegrityFailed where the stream is not an image or contradicts its config.
    """
    try:
        return _assemble(*_read(stream, known, store, events))
    except (tarfile.ReadError, LookupError, TypeError) as error:
        raise IntegrityFailed(
            "the engine's export is not a whole image",
            because=f"{type(error).__name__}: {error}",
            hint="run it again; if it stays so: docker system df -v, and build the image again",
        ) from error


Documents = dict[str, bytes]
Layers = dict[str, tuple[Digest, Descriptor]]


def _read(
    stream: Iterable[bytes], known: Mapping[Digest, Descriptor], store: Store, events: Events
) -> tuple[Documents, Layers]:
    documents: Documents = {}
    layers: Layers = {}
    links: dict[str, str] = {}
    with tarfile.open(fileobj=cast(IO[bytes], _Reader(iter(stream))), mode="r|", bufsize=CHUNK) as tar:
        for entry in tar:
            if entry.issym() or entry.islnk():
                links[entry.name] = posixpath.normpath(posixpath.join(posixpath.dirname(entry.name), entry.linkname))
            elif entry.isfile():
                content = tar.extractfile(entry)
                assert content
                head = content.read(SMALL if entry.size < SMALL else CHUNK)
                if entry.size < SMALL and head[:1] in (b"{", b"["):
                    documents[entry.name] = head
                elif len(head) >= 512 or head[:2] == GZIP:  # a tar is never shorter; what is, is a version file
                    layers[entry.name] = _take_layer(head, content, _stated(entry.name), known, store, events)
    for name, target in links.items():
        if target in layers:
            layers[name] = layers[target]
    return documents, layers


def _assemble(documents: Documents, layers: Layers) -> SavedImage:
    listed = parse_object(b'{"images":' + documents["manifest.json"] + b"}", "the export's manifest.json")["images"][0]
    config = documents[listed["Config"]]
    stated = cast("list[str]", parse_object(config, "the image's config")["rootfs"]["diff_ids"])
    taken = [layers[name] for name in listed["Layers"]]
    if [str(diff_id) for diff_id, _ in taken] != stated:
        raise IntegrityFailed(
            "the engine's export contradicts itself",
            because="the unpacked layers do not have the digests that the image's config states",
            hint="docker system df -v   # an engine whose disk was full or damaged does this: build it again",
        )
    return SavedImage(config, tuple(blob for _, blob in taken))


def _stated(name: str) -> Digest | None:
    """The digest that an entry's name states: from Docker 25 on layers are named so, in 20.10 to 24 they are not."""
    try:
        return Digest.parse(f"sha256:{name.removeprefix(BLOBS)}") if name.startswith(BLOBS) else None
    except MalformedDigest:
        return None


def _take_layer(
    head: bytes,
    rest: IO[bytes],
    stated: Digest | None,
    known: Mapping[Digest, Descriptor],
    store: Store,
    events: Events,
) -> tuple[Digest, Descriptor]:
    """Compress one layer into the store. Returns the digest of the unpacked layer and the blob.

    A layer whose name says that the base brought it is hashed and goes no further.
    """
    unpacked = hashlib.sha256()
    packed = head[:2] == GZIP
    expand = isal_zlib.decompressobj(wbits=47)

    def passing() -> Iterator[bytes]:
        chunk = head
        while chunk:
            unpacked.update(expand.decompress(chunk) if packed else chunk)
            yield chunk
            events.emit(BytesMoved(STEP, "layers", len(chunk)))
            chunk = rest.read(CHUNK)

    if stated in known:
        for _ in passing():
            pass
        diff_id = Digest(unpacked.hexdigest())
        if diff_id != stated:
            raise IntegrityFailed(
                f"the engine's export has other bytes under the name {stated}",
                because=f"their digest is {diff_id}",
                hint="docker system df -v   # an engine whose disk was full or damaged does this: build it again",
            )
        return diff_id, known[diff_id]
    with Ingest(store) as blob:
        for piece in passing() if packed else gzip_blocks(passing()):
            blob.write(piece)
        diff_id = Digest(unpacked.hexdigest())
        if diff_id in known:
            return diff_id, known[diff_id]
        return diff_id, blob.commit(OCI_LAYER_GZIP)


class _Reader:
    """A file-like view of a stream of chunks, as tarfile wants it."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def read(self, count: int) -> bytes:
        pieces: list[bytes] = []
        while count > 0:
            if not self._rest:
                self._rest = next(self._chunks, b"")
                if not self._rest:
                    break
            piece, self._rest = self._rest[:count], self._rest[count:]
            pieces.append(piece)
            count -= len(piece)
        return b"".join(pieces)


def diff_ids(config: bytes) -> tuple[Digest, ...]:
    """The digests of an image's unpacked layers, base first (image-spec 1.1, config.md, rootfs.diff_ids)."""
    rootfs: dict[str, Any] = parse_object(config, "an image's config")["rootfs"]
    return tuple(Digest.parse(text) for text in rootfs["diff_ids"])
