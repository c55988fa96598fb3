"""The store: a directory that is an OCI image layout (image-spec 1.1, image-layout.md), see docs/format.md."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from bundler.core.descriptor import REF_NAME, Descriptor
from bundler.core.digest import Digest
from bundler.core.durable import explained, write_file
from bundler.core.errors import IntegrityFailed, UsageInvalid
from bundler.core.media_types import BUNDLE, OCI_INDEX
from bundler.core.reference import BundleName
from bundler.core.strict_json import LIMIT, MalformedJson, canonical, parse_object
from bundler.store.locking import holding
from bundler.store.writer import BlobWriter, begun

LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'


class NotAStore(UsageInvalid):
    """A directory that should be a store and is not."""

    def __init__(self, root: Path) -> None:
        super().__init__(
            f"{root} is not a store",
            because="it has no file 'oci-layout'",
            hint="bundle build --store DIR MANIFEST   # makes one; or name the right one with --store",
        )


class DamagedIndex(IntegrityFailed):
    """The list of what a store holds can't be read. The blobs may all be well: only their names are lost."""

    def __init__(self, path: Path, problem: str) -> None:
        quoted = shlex.quote(str(path))
        super().__init__(
            f"{path} can't be read",
            because=f"{problem}; it lists the store's bundles, whose blobs may all be well",
            hint=f"mv {quoted} {shlex.quote(f'{path}.damaged')}   # then build, push or import its bundles again: "
            "blobs that are there are kept. No gc before all are listed again: it deletes what no index names",
        )


class UnknownBundle(UsageInvalid):
    """A bundle that this store does not hold."""

    def __init__(self, wanted: str, root: Path, names: Iterable[str]) -> None:
        known = ", ".join(names) or "none"
        super().__init__(
            f"bundle {wanted!r} was not found in {root}. Bundles there: {known}",
            hint="name one of them as NAME or NAME:VERSION, or another store with --store",
        )


class AmbiguousBundle(UsageInvalid):
    """A name without a version, of which this store has several."""

    def __init__(self, wanted: str, root: Path, names: list[str]) -> None:
        super().__init__(
            f"{root} has {len(names)} versions of {wanted}: {', '.join(names)}",
            hint=f"say which one, for example {names[-1]}",
        )


class MissingBlob(IntegrityFailed):
    """A blob that should be in the store and is not."""

    def __init__(self, digest: Digest, root: Path) -> None:
        super().__init__(
            f"blob {digest} is not in {root}",
            because="it was never fetched or received whole, or was deleted",
            hint="run the command that filled this store (bundle build, bundle push) again: it sends what is missing",
        )


@dataclass(frozen=True, slots=True)
class BundleEntry:
    """A bundle that the index names: its name and its root's descriptor."""

    name: BundleName
    root: Descriptor


class Store:
    """An OCI image layout whose blobs are immutable and appear only when whole, hashed and synced."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def open(cls, root: Path) -> Store:
        """A store that is there. Raises NotAStore."""
        if not (root / "oci-layout").is_file():
            raise NotAStore(root)
        return cls(root)

    @classmethod
    def create(cls, root: Path) -> Store:
        """A store that is there, or a new, empty one."""
        store = cls(root)
        with explained(root):
            store.blobs.mkdir(parents=True, exist_ok=True)
            store.partial.mkdir(exist_ok=True)
        if not (root / "index.json").exists():
            with holding(root / "index.lock", f"the index of {root}"):
                if not (root / "index.json").exists():  # another may have been first, and have listed a bundle since
                    store._write_index(())
        if not (root / "oci-layout").exists():
            write_file(root / "oci-layout", LAYOUT)
        return store

    @property
    def blobs(self) -> Path:
        """The directory of whole blobs, named by their SHA-256."""
        return self.root / "blobs" / "sha256"

    @property
    def partial(self) -> Path:
        """The directory of blobs in flight."""
        return self.root / "partial"

    def path(self, digest: Digest) -> Path:
        """Where a blob is, or would be."""
        return self.blobs / digest.hex

    def has(self, blob: Descriptor) -> bool:
        """Whether a blob is there, whole by its length; `verify` reads it."""
        try:
            return self.path(blob.digest).stat().st_size == blob.size
        except FileNotFoundError:
            return False

    def missing(self, blobs: Iterable[Descriptor]) -> tuple[Descriptor, ...]:
        """Those of these blobs that are not there, each once, in the order given."""
        return tuple({blob.digest: blob for blob in blobs if not self.has(blob)}.values())

    def read(self, digest: Digest, limit: int = LIMIT) -> bytes:
        """A small blob's bytes, checked. Raises MissingBlob, or IntegrityFailed where they are not its own."""
        path = self.path(digest)
        try:
            with path.open("rb") as blob:
                raw = blob.read(limit + 1)
        except FileNotFoundError:
            raise MissingBlob(digest, self.root) from None
        if len(raw) > limit or Digest.of(raw) != digest:
            raise IntegrityFailed(
                f"blob {digest} in {self.root} is not what its name says",
                because="the bytes on this disk changed after they were written, or it is too long to be metadata",
                hint=f"rm {shlex.quote(str(path))}   # then bundle build or push again: only this blob is sent",
            )
        return raw

    def writer(self, digest: Digest, size: int) -> BlobWriter:
        """A writer for a blob whose digest and size in bytes are known; it goes on where a dead one stopped."""
        return BlobWriter(self.partial, self.path(digest), digest, size)

    def begun(self, blob: Descriptor) -> int:
        """Bytes of a blob that are there already, in flight: a writer goes on behind them."""
        return min(begun(self.partial, blob.digest), blob.size)

    def put(self, data: bytes, media_type: str) -> Descriptor:
        """Store a small blob. Returns its descriptor."""
        blob = Descriptor.of(data, media_type)
        if not self.has(blob):
            with self.writer(blob.digest, blob.size) as writer:
                writer.restart()
                writer.write(data)
                writer.commit()
        return blob

    def index(self) -> tuple[Descriptor, ...]:
        """The descriptors of `index.json`: a root for each bundle, and each image and model in it."""
        path = self.root / "index.json"
        try:
            return decode_index(path.read_bytes(), str(path))
        except MalformedJson as error:
            raise DamagedIndex(path, error.because or "") from error
        except FileNotFoundError:
            raise NotAStore(self.root) from None

    def bundles(self) -> tuple[BundleEntry, ...]:
        """The bundles in this store, by name."""
        roots = (entry for entry in self.index() if entry.artifact_type == BUNDLE and entry.reference)
        return tuple(
            sorted(
                (BundleEntry(BundleName.parse(root.annotations[REF_NAME]), root) for root in roots),
                key=lambda entry: entry.name,
            )
        )

    def find(self, wanted: str) -> BundleEntry:
        """The bundle `name` or `name:version`. Raises UnknownBundle, AmbiguousBundle."""
        bundles = self.bundles()
        found = [entry for entry in bundles if wanted in (str(entry.name), entry.name.name)]
        if len(found) > 1:
            raise AmbiguousBundle(wanted, self.root, [str(entry.name) for entry in found])
        if not found:
            raise UnknownBundle(wanted, self.root, (str(entry.name) for entry in bundles))
        return found[0]

    def record(self, entries: Iterable[Descriptor]) -> None:
        """List named descriptors in the index, in the place of those that had the same names before."""
        fresh = tuple(entries)
        self.change_index(lambda old: merged(old, fresh))

    def change_index(self, change: Callable[[tuple[Descriptor, ...]], tuple[Descriptor, ...]]) -> None:
        """Rewrite the index under its lock. Raises LockedByAnother."""
        with holding(self.root / "index.lock", f"the index of {self.root}"):
            before = self.index()
            after = change(before)
            if after != before:
                self._write_index(after)

    def _write_index(self, entries: tuple[Descriptor, ...]) -> None:
        write_file(self.root / "index.json", encode_index(entries))

    def free_bytes(self) -> int:
        """Bytes that this process may still write to the store's file system."""
        status = os.statvfs(self.root)
        return status.f_bavail * status.f_frsize

    def free_files(self) -> int | None:
        """Files that may still be made there; None where the file system has no such limit (btrfs, some NFS)."""
        status = os.statvfs(self.root)
        return status.f_favail if status.f_files else None


def encode_index(entries: Iterable[Descriptor]) -> bytes:
    """The bytes of an `index.json` that lists these descriptors."""
    return canonical({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry.to_json() for entry in entries]})


def decode_index(raw: bytes, what: str) -> tuple[Descriptor, ...]:
    """The descriptors that an `index.json` lists; `what` names it in errors. Raises MalformedJson."""
    manifests = parse_object(raw, what).get("manifests")
    if not isinstance(manifests, list):
        raise MalformedJson(what, "it has no list 'manifests'")
    return tuple(Descriptor.parse(entry, what) for entry in manifests)


def merged(old: Iterable[Descriptor], fresh: Iterable[Descriptor]) -> tuple[Descriptor, ...]:
    """An index's entries after a bundle's have been recorded.

    All entries of the bundle's name are replaced, so that an artifact that it no longer has loses its name.
    """
    fresh = tuple(fresh)
    owned = {entry.reference for entry in fresh}
    prefixes = tuple(f"{entry.reference}/" for entry in fresh if entry.artifact_type == BUNDLE)
    kept = (e for e in old if e.reference not in owned and not (e.reference or "").startswith(prefixes))
    return tuple(sorted((*kept, *fresh), key=lambda entry: entry.reference or ""))
