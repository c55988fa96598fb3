"""What an index reaches: which blobs each thing that it lists needs, what two of them share, what no one needs."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Set

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.errors import IntegrityFailed
from bundler.core.media_types import BUNDLE, EVIDENCE
from bundler.store.closure import reachable
from bundler.store.layout import Store

Blobs = Mapping[Digest, int]
"""Blobs with their sizes in bytes."""


class Unreadable(IntegrityFailed):
    """Bundles of which an index or a manifest can't be read; said once the others are done with."""

    def __init__(self, store: Store, damaged: Mapping[str, IntegrityFailed], because: str = "") -> None:
        names = ", ".join(damaged)
        first = next(iter(damaged.values()))
        causes = (first.what, first.because, because)
        super().__init__(
            f"{names} in {store.root} can't be read",
            because="; ".join(cause for cause in causes if cause),
            hint=first.hint or f"bundle verify --store {shlex.quote(str(store.root))}   # names all that is damaged",
        )


def owners(entries: Iterable[Descriptor]) -> dict[str, tuple[Descriptor, ...]]:
    """An index's entries by what they belong to: a bundle with its artifacts, or an entry alone of other tools."""
    entries = tuple(entries)
    bundles = {entry.reference for entry in entries if entry.artifact_type == BUNDLE and entry.reference}
    found: dict[str, tuple[Descriptor, ...]] = {}
    for entry in entries:
        name = entry.reference or str(entry.digest)
        bundle = name.partition("/")[0]
        owner = bundle if bundle in bundles else name
        found[owner] = (*found.get(owner, ()), entry)
    return found


def without(entries: Iterable[Descriptor], names: Set[str]) -> tuple[Descriptor, ...]:
    """An index's entries but for those that belong to these owners."""
    kept = ((owner, found) for owner, found in owners(entries).items() if owner not in names)
    return tuple(sorted((entry for _, found in kept for entry in found), key=lambda entry: entry.reference or ""))


def reached(store: Store, entries: Iterable[Descriptor]) -> tuple[dict[str, Blobs], dict[str, IntegrityFailed]]:
    """For each owner in an index all blobs that it needs, as far as its manifests can be read; and the first reason for
    each of which one can't be. What such an owner needs is not known: any blob of the store may be among it.

    Evidence that can't be read counts as none (referrers.py), and the bundle that it is of is whole without it.
    """
    needs: dict[str, Blobs] = {}
    damaged: dict[str, IntegrityFailed] = {}
    for owner, found in owners(entries).items():
        faults: list[IntegrityFailed] = []
        needs[owner] = {
            member.blob.digest: member.blob.size
            for entry in found
            for member in reachable(store, entry, [] if entry.artifact_type == EVIDENCE else faults)
        }
        if faults:
            damaged[owner] = faults[0]
    return needs, damaged


def alone(needs: Mapping[str, Blobs]) -> dict[str, Blobs]:
    """For each owner, the blobs that no other needs: what goes with it."""
    count = Counter(digest for blobs in needs.values() for digest in blobs)
    return {
        owner: {digest: size for digest, size in blobs.items() if count[digest] == 1} for owner, blobs in needs.items()
    }


def unreached(there: Blobs, needs: Mapping[str, Blobs]) -> Blobs:
    """Of the blobs that are there, those that no one needs."""
    needed = {digest for blobs in needs.values() for digest in blobs}
    return {digest: size for digest, size in there.items() if digest not in needed}
