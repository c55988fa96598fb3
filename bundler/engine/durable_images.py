"""Whether an image that the engine holds is whole, after the machine may have stopped while it was unpacked.

An engine registers a layer when it has unpacked it, and syncs nothing (Docker 20.10, layer_store.go, graphdriver): a
power cut soon after leaves an image that can be inspected and whose files are empty. So each load is noted before it
begins, with the boot in which it runs, and noted again when all is synced. An image whose note is of another boot and
was never synced is read, and each layer compared with the diff id that its config names; an image without a note was
not loaded here, and is trusted as the engine trusts it.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from bundler.core.digest import Digest
from bundler.core.durable import write_file
from bundler.core.owner import Owner
from bundler.core.records import from_bytes, to_json
from bundler.core.strict_json import MalformedJson, canonical, parse_object
from bundler.engine.docker import DockerEngine
from bundler.engine.errors import EngineFailed, NoEngine
from bundler.manifest.lock import LockedImage
from bundler.store.layout import Store

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class LoadNote:
    """An image that was loaded into an engine: its manifest, the boot in which, and whether it is synced since."""

    manifest: Digest
    boot: str
    synced: bool = False


class LoadNotes:
    """The notes of one release, a file for each image."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def begun(self, image: LockedImage) -> None:
        """Say durably that an image is about to be loaded."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._write(image, LoadNote(image.manifest.digest, Owner.me().boot))

    def doubtful(self, image: LockedImage) -> bool:
        """Whether this image was loaded before the machine stopped, and nobody knows what reached the disk."""
        note = self._read(image)
        return note is not None and not note.synced and note.boot != Owner.me().boot

    def settle(self, images: tuple[LockedImage, ...]) -> None:
        """Sync all that was loaded and is not synced yet, and say so. At the end of an `up` it costs little."""
        unsettled = [(image, note) for image in images if (note := self._read(image)) and not note.synced]
        if unsettled:
            os.sync()
        for image, note in unsettled:
            self._write(image, LoadNote(note.manifest, note.boot, synced=True))

    def _path(self, image: LockedImage) -> Path:
        return self._directory / f"{image.name}.json"

    def _read(self, image: LockedImage) -> LoadNote | None:
        path = self._path(image)
        try:
            note = from_bytes(LoadNote, path.read_bytes(), str(path))
        except FileNotFoundError:
            return None
        except MalformedJson:  # a disk that lost this lost more
            return LoadNote(image.manifest.digest, "")
        return note if note.manifest == image.manifest.digest else None

    def _write(self, image: LockedImage, note: LoadNote) -> None:
        write_file(self._path(image), canonical(to_json(note), indent=2))


def whole(store: Store, image: LockedImage, found: str, engine: DockerEngine) -> bool:
    """Whether every layer that the engine gives back is what the image's config names. Reads the whole image.

    With overlay2 the engine puts each layer together from the files that it unpacked, so what a container would see
    is what is compared; the containerd image store gives back the compressed layers, which tells only of those.
    """
    config = parse_object(store.read(image.blobs[0].digest), f"the config of image {image.name}")
    unpacked = {str(digest) for digest in config.get("rootfs", {}).get("diff_ids", ())}
    compressed = {str(layer.digest) for layer in image.blobs[1:]}
    try:
        seen = set(_digests(engine.save(found)))
    except NoEngine:
        raise
    except (tarfile.TarError, EngineFailed):
        return False
    return unpacked <= seen or compressed <= seen


def _digests(chunks: Iterator[bytes]) -> Iterator[str]:
    """The SHA-256 of every file of a tar stream."""
    with tarfile.open(fileobj=cast(IO[bytes], _Reader(chunks)), mode="r|", bufsize=_CHUNK) as tar:
        for member in tar:
            if member.isfile() and (file := tar.extractfile(member)):
                digest = hashlib.sha256()
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
                yield f"sha256:{digest.hexdigest()}"


class _Reader:
    """Chunks as a file that can be read."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def read(self, size: int) -> bytes:
        while len(self._rest) < size and (chunk := next(self._chunks, b"")):
            self._rest += chunk
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken
