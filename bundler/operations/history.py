"""Which bundles have come up as one release, so that there is a way back: `releases/NAME/history.json`."""

from __future__ import annotations

import shlex
import time
from collections.abc import Set
from dataclasses import dataclass, replace
from pathlib import Path

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.durable import write_file
from bundler.core.errors import IntegrityFailed
from bundler.core.records import from_bytes, to_json
from bundler.core.reference import BundleName
from bundler.core.strict_json import MalformedJson, canonical
from bundler.operations.release_record import RELEASES, read_release
from bundler.store.closure import closure
from bundler.store.layout import BundleEntry, Store
from bundler.store.reach import Blobs


@dataclass(frozen=True, slots=True)
class Past:
    """A bundle that came up to its end: its name, its root, and when it last did (UTC, ISO 8601)."""

    bundle: str
    root: Descriptor
    up_at: str

    @property
    def entry(self) -> BundleEntry:
        """The bundle, also where the store's index lists another one under its name by now."""
        return BundleEntry(BundleName.parse(self.bundle), self.root)


@dataclass(frozen=True, slots=True)
class History:
    """Each bundle once, in the order in which one took the place of the other; `current` came up last.

    `going_back` is the root of one that a `rollback` has begun to bring up again, until one has come up.
    """

    releases: tuple[Past, ...] = ()
    current: Digest | None = None
    going_back: Digest | None = None

    def came_up(self, bundle: BundleEntry, now: str) -> History:
        """With a bundle that has just come up: it goes to the end, behind the one in whose place it came."""
        last = [past for past in self.releases if past.root.digest == self.current != bundle.root.digest]
        others = [p for p in self.releases if p.root.digest not in (self.current, bundle.root.digest)]
        return History((*others, *last, Past(str(bundle.name), bundle.root, now)), bundle.root.digest)

    def went_back(self, bundle: BundleEntry, now: str) -> History:
        """With a bundle that has come up again by going back: it keeps its place, so that one can go back further."""
        again = (replace(past, up_at=now) if past.root.digest == bundle.root.digest else past for past in self.releases)
        return History(tuple(again), bundle.root.digest)

    def before(self, begun: Digest | None) -> Past | None:
        """What was up before; `begun` is the root of the last `up`, which may not have come to its end.

        A `rollback` that did not is gone on with.
        """
        roots = [past.root.digest for past in self.releases]
        if begun in roots and begun == self.going_back:
            return self.releases[roots.index(begun)]
        if self.current is None or self.current not in roots:
            return None
        at = roots.index(self.current)
        if begun is not None and begun != self.current:
            return self.releases[at]
        return self.releases[at - 1] if at else None

    def named(self, name: BundleName) -> Past | None:
        """The newest bundle of this name and version."""
        return next((past for past in reversed(self.releases) if past.bundle == str(name)), None)


def read_history(directory: Path) -> History:
    """A release's history; an empty one before its first `up` came to its end. Raises MalformedJson."""
    path = directory / "history.json"
    try:
        return from_bytes(History, path.read_bytes(), str(path))
    except FileNotFoundError:
        return History()


def record_going_back(directory: Path, bundle: BundleEntry) -> None:
    """Say durably that a bundle that was up is about to come up again: who dies meanwhile goes on with it."""
    history = read_history(directory)
    if history.going_back != bundle.root.digest:
        _write(directory, replace(history, going_back=bundle.root.digest))


def record_up(directory: Path, bundle: BundleEntry) -> None:
    """Say durably that a bundle has come up; nothing is written where it was the one that came up last."""
    history, root = read_history(directory), bundle.root.digest
    if history.current == root and history.going_back is None:
        return
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    stays = root in (history.going_back, history.current)
    _write(directory, history.went_back(bundle, now) if stays else history.came_up(bundle, now))


def ways_back(store: Store, dropped: Set[str]) -> tuple[dict[str, Blobs], dict[str, IntegrityFailed]]:
    """What each release of a store needs to come up again, and to go back one step; but for any build of the bundles
    in `dropped` (`NAME:VERSION`).

    Only what is whole counts: of what is not, nothing comes up again. Beside it the histories that can't be read.
    """
    needs: dict[str, Blobs] = {}
    damaged: dict[str, IntegrityFailed] = {}
    for directory in sorted(path for path in (store.root.resolve() / RELEASES).glob("*") if path.is_dir()):
        try:
            history, record = read_history(directory), read_release(directory)
        except MalformedJson as error:
            damaged[f"the release {directory.name}"] = IntegrityFailed(
                error.what,
                because=error.because,
                hint=f"bundle up {directory.name} --store {shlex.quote(str(store.root))}   # writes its records anew; "
                f"where that fails, move {shlex.quote(str(directory / 'history.json'))} away: it names the ways back",
            )
            continue
        before = history.before(record.root if record else None)
        wanted = {history.current, history.going_back, before.root.digest if before else None}
        for past in history.releases:
            if past.root.digest in wanted and past.bundle not in dropped and (blobs := _whole(store, past.root)):
                needs[f"the way back to {past.bundle} ({past.root.digest.short})"] = blobs
    return needs, damaged


def _whole(store: Store, root: Descriptor) -> Blobs | None:
    """All that a root needs, where all of it is there."""
    try:
        members = closure(store, root)
    except IntegrityFailed:
        return None
    if store.missing(member.blob for member in members):
        return None
    return {member.blob.digest: member.blob.size for member in members}


def _write(directory: Path, history: History) -> None:
    write_file(directory / "history.json", canonical(to_json(history), indent=2))
