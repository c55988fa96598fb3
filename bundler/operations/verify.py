"""`verify`: every byte of a bundle is read again."""

from __future__ import annotations

from bundler.core.errors import IntegrityFailed
from bundler.core.events import Events
from bundler.store.closure import closure
from bundler.store.layout import BundleEntry, Store
from bundler.store.verify import BadBlob, Verification
from bundler.store.verify import verify as verify_members


class BundleDamaged(IntegrityFailed):
    """Blobs of a bundle are missing or wrong; names every one."""

    def __init__(self, bundle: BundleEntry, store: Store, bad: tuple[BadBlob, ...]) -> None:
        files = " ".join(str(store.path(blob.member.blob.digest)) for blob in bad)
        super().__init__(
            f"{len(bad)} of the blobs of {bundle.name} in {store.root} are damaged:\n  " + "\n  ".join(map(str, bad)),
            because="the bytes on this disk are not those that were built",
            hint=f"rm -f {files}   # then push or build {bundle.name} to this store again: only these are sent",
        )
        self.bad = bad


def verify(store: Store, bundle: BundleEntry, events: Events) -> Verification:
    """Read all blobs of a bundle. Raises BundleDamaged, naming every bad blob by artifact and file."""
    result = verify_members(store, closure(store, bundle.root), events)
    if result.bad:
        raise BundleDamaged(bundle, store, result.bad)
    return result
