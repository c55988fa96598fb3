"""What a bundle says of itself."""

from __future__ import annotations

from bundler.core.media_types import LOCK
from bundler.core.strict_json import MalformedJson
from bundler.manifest.lock import Lock
from bundler.store.closure import children
from bundler.store.layout import BundleEntry, Store


def read_lock(store: Store, bundle: BundleEntry) -> Lock:
    """The bundle's lock: the first blob that its root names, its bytes checked. Raises IntegrityFailed."""
    listed = children(store.read(bundle.root.digest), bundle.root)
    if not listed or listed[0].media_type != LOCK:
        raise MalformedJson(f"the root of {bundle.name}", "its first entry is not a lock")
    lock = Lock.parse(store.read(listed[0].digest), f"the lock of {bundle.name}")
    if lock.bundle != bundle.name:
        raise MalformedJson(f"the index of {store.root}", f"it lists {lock.bundle} under the name {bundle.name}")
    return lock
