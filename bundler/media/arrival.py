"""What a bundle's volumes bring into a store: metadata first, then only those blobs that it names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.durable import explained, sync, write_file
from bundler.core.media_types import BUNDLE, INDEXES, LOCK, MANIFESTS, OCI_INDEX
from bundler.core.reference import BundleName
from bundler.media.assembly import Assembly
from bundler.media.header import INDEX_FILE, Piece
from bundler.media.volume import BadVolume, Volume
from bundler.store.closure import Member, children, closure
from bundler.store.contents import read_lock
from bundler.store.layout import BundleEntry, Store, decode_index
from bundler.store.writer import WrongBytes

_METADATA = {LOCK, *INDEXES, *MANIFESTS}
_DEPTH = 4


def take_metadata(store: Store, volume: Volume) -> tuple[tuple[Member, ...], tuple[Descriptor, ...]]:
    """Store a volume's root, and the manifests and the lock that it names. Returns all blobs of the bundle, and what
    the index is to list of it. Raises BadVolume."""
    pieces = {piece.digest: piece for piece in volume.header.pieces if piece.is_blob and not piece.is_part}
    root = volume.header.root
    name = volume.header.bundle
    if root not in pieces:
        raise BadVolume(volume.path, "it does not carry its bundle's root")
    descriptor = Descriptor(OCI_INDEX, root, pieces[root].size, artifact_type=BUNDLE).named(name)
    _walk(store, volume, pieces, descriptor, 0)
    members = closure(store, descriptor)
    read_lock(store, BundleEntry(BundleName.parse(name), descriptor))
    return members, _entries(volume, {member.blob.digest for member in members})


def _walk(store: Store, volume: Volume, pieces: dict[Digest, Piece], node: Descriptor, depth: int) -> None:
    piece = pieces.get(node.digest)
    if piece is None or depth > _DEPTH:
        raise BadVolume(volume.path, f"it lacks the bundle's {node.media_type} {node.digest}")
    raw = volume.small(piece)
    if not store.has(node):
        store.put(raw, node.media_type)
    if node.media_type == LOCK:
        return
    for child in children(raw, node):
        if child.media_type in _METADATA:
            _walk(store, volume, pieces, child, depth + 1)


def _entries(volume: Volume, digests: set[Digest]) -> tuple[Descriptor, ...]:
    index = next((piece for piece in volume.header.pieces if piece.path == INDEX_FILE), None)
    if index is None:
        raise BadVolume(volume.path, "it has no index.json")
    entries = decode_index(volume.small(index), f"the index of volume {volume.path}")
    name = volume.header.bundle
    roots = [entry for entry in entries if entry.artifact_type == BUNDLE]
    named = all(entry.reference == name or (entry.reference or "").startswith(f"{name}/") for entry in entries)
    if [root.digest for root in roots] != [volume.header.root] or not named:
        raise BadVolume(volume.path, "its index.json lists another bundle than its header names")
    if not {entry.digest for entry in entries} <= digests:
        raise BadVolume(volume.path, "its index.json lists what the bundle does not consist of")
    return entries


def check_named(volume: Volume, sizes: dict[Digest, int]) -> None:
    """Every blob in a volume is one of the bundle's, of that size. Raises BadVolume."""
    for piece in volume.header.pieces:
        if piece.is_blob and sizes.get(piece.digest) != piece.blob_size:
            raise BadVolume(volume.path, f"{piece.path} does not belong to {volume.header.bundle}")


def landed(store: Store, piece: Piece) -> bool:
    """Whether a blob, or a part of one, is in the store already."""
    blob = Descriptor("", piece.digest, piece.blob_size)
    return store.has(blob) or (piece.is_part and Assembly(store, piece.digest, piece.whole).has(piece))


def take_blob(store: Store, volume: Volume, piece: Piece, moved: Callable[[int], None]) -> None:
    """Take a whole blob out of a volume, behind what there is of it. Raises BadVolume, NoSpace."""
    with store.writer(piece.digest, piece.size) as writer:
        moved(writer.offset)
        begun = writer.offset
        try:
            for chunk in volume.chunks(piece, begun):
                writer.write(chunk)
                moved(len(chunk))
            writer.commit()
            return
        except WrongBytes as error:
            if not begun:
                raise BadVolume(volume.path, f"{piece.path}: {error.because}") from error
    take_blob(store, volume, piece, lambda _: None)  # what an earlier import had begun was wrong, and is forgotten


def adopt(store: Store, volume: Volume, pieces: Iterable[Piece], moved: Callable[[int], None]) -> None:
    """Hash whole blobs that `tar -xf` put into this very store. A wrong one is removed. Raises BadVolume."""
    wrong = []
    for piece in pieces:
        path = volume.path / piece.path
        if path.is_symlink() or not path.is_file():
            continue  # another volume's list was unpacked and its blobs not: they are missing
        if path.stat().st_size != piece.size or Digest.of_file(path) != piece.digest:
            path.unlink()
            wrong.append(piece.path)
            continue
        with explained(path):
            os.chmod(path, 0o444)
            sync(path)
        moved(piece.size)
    with explained(store.blobs):
        sync(store.blobs)
    if wrong:
        raise BadVolume(volume.path / volume.header.file_name, f"{', '.join(wrong)}: other bytes than the name says")


def remember(store: Store, volume: Volume) -> None:
    """Keep a volume's list, so that a later import can say which volumes are missing."""
    path = store.root / volume.header.path
    raw = volume.header.encode()
    if not path.is_file() or path.read_bytes() != raw:
        write_file(path, raw)
