"""What an index reaches: which blobs each thing that it lists needs, what two of them share, what no one needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Set

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.media_types import BUNDLE
from bundler.store.closure import closure
from bundler.store.layout import Store

Blobs = Mapping[Digest, int]
"""Blobs with their sizes in bytes."""


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


def reached(store: Store, entries: Iterable[Descriptor]) -> dict[str, Blobs]:
    """For each owner in an index, all blobs that it needs. Raises IntegrityFailed where a manifest can't be read."""
    return {
        owner: {member.blob.digest: member.blob.size for entry in found for member in closure(store, entry)}
        for owner, found in owners(entries).items()
    }


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
