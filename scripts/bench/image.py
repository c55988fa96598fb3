"""An image for measuring: made of this machine's programs and of what does not compress, 2.2 GB unpacked."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from isal import isal_zlib

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.media_types import OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST
from bundler.manifest.lock import LockedImage
from bundler.sources.oci_manifest import oci_manifest
from bundler.store.ingest import Ingest
from bundler.store.layout import Store

LAYERS = (900, 560, 340, 220, 130, 90)
"""Sizes in MB, unpacked; together 2.2 GB, about 1.2 GB in gzip, uneven as an image's layers are."""


def make_image(store: Store) -> LockedImage:
    """An image in this store, named nowhere in its index."""
    programs = _programs()
    layers, diff_ids = [], []
    for megabytes in LAYERS:
        layer, unpacked = _layer(store, programs, megabytes * 1_000_000)
        layers.append(layer)
        diff_ids.append(str(unpacked))
    document = {
        "os": "linux",
        "architecture": "amd64",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    config = store.put(json.dumps(document).encode(), OCI_CONFIG)
    manifest = store.put(oci_manifest(config, layers), OCI_MANIFEST)
    return LockedImage("serve", "made to be measured", manifest, (config, *layers))


def _programs() -> Iterator[Path]:
    """The files of this machine that an image of a Python program would have: libraries, programs, text."""
    for root in (sys.prefix, "/usr/lib", "/usr/share", "/usr/bin"):
        for path in sorted(Path(root).rglob("*")):
            if path.is_file() and not path.is_symlink():
                yield path


def _layer(store: Store, programs: Iterator[Path], size: int) -> tuple[Descriptor, Digest]:
    """A gzipped layer of so many bytes unpacked: each file of this machine's, then a third of its size of noise."""
    unpacked = hashlib.sha256()
    squeeze = isal_zlib.compressobj(level=2, wbits=31)
    with Ingest(store) as blob:

        def take(data: bytes) -> int:
            unpacked.update(data)
            blob.write(squeeze.compress(data))
            return len(data)

        with tarfile.open(fileobj=_Sink(take), mode="w|", bufsize=1 << 20) as tar:
            taken = 0
            while taken < size:
                path = next(programs)
                content = path.read_bytes()
                content += os.urandom(len(content) // 3)
                entry = tarfile.TarInfo(str(path).lstrip("/"))
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
                taken += entry.size
        blob.write(squeeze.flush())
        return blob.commit(OCI_LAYER_GZIP), Digest(unpacked.hexdigest())


class _Sink(io.RawIOBase):
    """A file that hands on what is written to it."""

    def __init__(self, take: Callable[[bytes], int]) -> None:
        self._take = take

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any) -> int:
        """Hand it on."""
        return self._take(bytes(data))
