"""`verify`: every byte of a bundle, or of all bundles of a store, is read again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.errors import IntegrityFailed
from bundler.core.events import Events
from bundler.store.closure import Member, reachable
from bundler.store.contents import read_lock
from bundler.store.layout import BundleEntry, Store
from bundler.store.leases import leasing
from bundler.store.verify import BadBlob, Verification
from bundler.store.verify import verify as verify_members

AGENT_FILE = "bundle"
"""The agent in a store's directory: a copy of a bundle's agent that may be executed."""


class BundleDamaged(IntegrityFailed):
    """Blobs of bundles are missing or wrong; names every one. `result` is all that was found."""

    def __init__(self, bundles: Sequence[BundleEntry], store: Store, result: Verification) -> None:
        bad = result.bad
        names = ", ".join(str(bundle.name) for bundle in bundles)
        files = shlex.join(str(store.path(blob.member.blob.digest)) for blob in bad)
        super().__init__(
            f"{len(bad)} of the {result.blobs} blobs of {names} in {store.root} are damaged:\n  "
            + "\n  ".join(map(str, bad)),
            because="the bytes on this disk are not those that were built",
            hint=f"rm -f {files}   # then push or build {names} to this store again: only these are sent",
        )
        self.result = result
        self.bad: tuple[BadBlob, ...] = bad


class ForeignAgent(IntegrityFailed):
    """The store's executable is not one that a bundle pins: nobody vouches for what it would do."""

    def __init__(self, store: Store, found: Digest, pinned: Descriptor) -> None:
        path = store.root / AGENT_FILE
        super().__init__(
            f"{path} is the agent of no bundle in {store.root}",
            because=f"its digest is {found}; it was changed, or the bundle that it came with was dropped",
            hint=shlex.join(("install", "-m", "755", str(store.path(pinned.digest)), str(path))),
        )


def verify(store: Store, bundle: BundleEntry, events: Events) -> Verification:
    """Read all blobs of a bundle. Raises BundleDamaged, naming every bad blob by artifact and file."""
    return verify_all(store, (bundle,), events)


def verify_all(store: Store, bundles: Sequence[BundleEntry], events: Events) -> Verification:
    """Read all blobs of these bundles, each once. Raises BundleDamaged, which names an index or a manifest that can't
    be read beside all other bad blobs; IntegrityFailed where a bundle's documents are whole and make no sense."""
    faults: list[IntegrityFailed] = []
    with leasing(store, "verify"):
        members: dict[Digest, Member] = {}
        for bundle in bundles:
            unread = len(faults)
            found = reachable(store, bundle.root, faults)
            if len(faults) == unread:
                faults += _contradictions(store, bundle, found)
            for member in found:
                label = member.label if len(bundles) == 1 else f"{bundle.name}: {member.label}"
                members.setdefault(member.blob.digest, replace(member, label=label))
        result = verify_members(store, members.values(), events)
    if result.bad:
        raise BundleDamaged(bundles, store, result)
    if faults:
        raise faults[0]
    return result


def _contradictions(store: Store, bundle: BundleEntry, members: Sequence[Member]) -> Iterator[IntegrityFailed]:
    """What the lock names is what runs: all of it must be below the root, or it would be used without being read."""
    below = {member.blob.digest for member in members}
    try:
        astray = [blob for blob in read_lock(store, bundle).blobs() if blob.digest not in below]
    except IntegrityFailed as fault:
        yield fault
        return
    if astray:
        yield IntegrityFailed(
            f"{bundle.name} contradicts itself: its lock names {len(astray)} blobs that its root does not list",
            because=f"the first is {astray[0].digest}; no build makes such a bundle",
            hint="have it built and pushed again, and ask where this one came from",
        )


def check_agent(store: Store) -> None:
    """Compare the store's executable with the agents that its bundles pin. Raises ForeignAgent, IntegrityFailed."""
    path = store.root / AGENT_FILE
    agents = [read_lock(store, bundle).agent.blob for bundle in store.bundles()]
    if not agents or not path.is_file():
        return
    found = Digest.of_file(path)
    if found not in {agent.digest for agent in agents}:
        raise ForeignAgent(store, found, agents[-1])
