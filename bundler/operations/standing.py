"""Which release a name without a version means: the one that was brought up last, whatever the store holds besides."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bundler.core import hint
from bundler.core.errors import UsageInvalid
from bundler.core.reference import BundleName
from bundler.operations.history import read_history
from bundler.operations.release_record import RELEASES, ReleaseRecord, read_release
from bundler.store.layout import BundleEntry, Store


class NoRelease(UsageInvalid):
    """No release of this name on this node, or none at all, or several and no name."""

    def __init__(self, wanted: str | None, store: Store, names: tuple[str, ...]) -> None:
        there = ", ".join(names) or "none"
        makes_one = f"{hint.bundle('up', 'NAME', store=store.root)}   # makes one"
        super().__init__(
            f"no release {wanted!r} in {store.root}. Releases there: {there}"
            if wanted
            else f"{store.root} has {len(names)} releases: {there}",
            hint="say which one" if len(names) > 1 and not wanted else makes_one,
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """A release's directory, and what its last `up` wrote there."""

    directory: Path
    record: ReleaseRecord

    @property
    def name(self) -> BundleName:
        """The bundle that was brought up last."""
        return BundleName.parse(self.record.bundle)


def standing(store: Store, wanted: str | None) -> Standing:
    """The release `NAME` or `NAME:VERSION` (the version is not looked at); the only one without. Raises NoRelease."""
    found = _all(store)
    name = wanted.partition(":")[0] if wanted else next(iter(found), "") if len(found) == 1 else ""
    if name not in found:
        raise NoRelease(wanted, store, tuple(found))
    return found[name]


def brought_up_last(store: Store, wanted: str) -> BundleEntry:
    """The bundle that was brought up last under a name, by its root; else the store's only one of that name.

    `NAME:VERSION` is the store's. Raises UnknownBundle, AmbiguousBundle.
    """
    if ":" in wanted or (there := _all(store).get(wanted)) is None:
        return store.find(wanted)
    known = [past.entry for past in read_history(there.directory).releases]
    entries = (*store.bundles(), *known)
    return next((entry for entry in entries if entry.root.digest == there.record.root), None) or store.find(wanted)


def _all(store: Store) -> dict[str, Standing]:
    """The releases of a store, by name."""
    found = {}
    for directory in sorted((store.root.resolve() / RELEASES).glob("*")):
        if directory.is_dir() and (record := read_release(directory)):
            found[directory.name] = Standing(directory, record)
    return found
