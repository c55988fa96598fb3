"""What a bundle says of itself."""

from __future__ import annotations

from bundler.core.digest import Digest
from bundler.core.durable import write_file
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


def place_agent(store: Store, digest: Digest) -> None:
    """Lay the agent beside the blobs, executable, where another or none lies. Raises MissingBlob, IntegrityFailed."""
    agent = store.root / "bundle"
    content = store.read(digest)
    if not agent.is_file() or agent.read_bytes() != content or not agent.stat().st_mode & 0o100:
        write_file(agent, content, mode=0o755)
