"""`rollback`: the bundle that was up before comes up again, with the results that it had."""

from __future__ import annotations

from collections.abc import Sequence

from bundler.core import hint
from bundler.core.errors import IntegrityFailed, UsageInvalid
from bundler.core.events import Events
from bundler.core.reference import BundleName
from bundler.operations.history import History, Past, read_history
from bundler.operations.standing import Standing, standing
from bundler.operations.up import UpResult, up
from bundler.store.closure import closure
from bundler.store.layout import MissingBlob, Store
from bundler.store.leases import leasing


class NothingBefore(UsageInvalid):
    """There is no release to go back to."""

    def __init__(self, release: Standing, history: History, wanted: str | None) -> None:
        had = ", ".join(past.bundle for past in history.releases) or "none came up to its end"
        super().__init__(
            f"{wanted} has not been up on this node" if wanted else f"nothing was up before {release.record.bundle}",
            because=f"of {release.name.name} there were: {had}",
            hint=hint.bundle("up", wanted or release.record.bundle, store=release.directory.parents[1]),
        )


class NoLongerStored(IntegrityFailed):
    """The bundle that was up before is not whole in the store any more."""

    def __init__(self, past: Past, store: Store, missing: int) -> None:
        super().__init__(
            f"{past.bundle} ({past.root.digest.short}), which was up before, is not whole in {store.root}: "
            f"{missing} of its blobs are missing",
            because="`bundle gc` deletes what no bundle of the index needs; its results are still on this node",
            hint=f"bundle push {past.bundle} HOST:{store.root}   # where it was built; or import its volumes again",
        )


def rollback(
    store: Store, wanted: str | None, events: Events, *, timeout: float, accepted: Sequence[str] = ()
) -> UpResult:
    """Go back to the release before, or to `NAME:VERSION`, which was up once. `timeout` is seconds for each service,
    `accepted` are checks that may block.

    Nothing is trained again whose results are still there. Raises NoRelease, NothingBefore, NoLongerStored, and what
    `up` raises.
    """
    release = standing(store, wanted)
    history = read_history(release.directory)
    past = history.named(BundleName.parse(wanted)) if wanted and ":" in wanted else history.before(release.record.root)
    if past is None:
        raise NothingBefore(release, history, wanted if wanted and ":" in wanted else None)
    with leasing(store, "rollback"):
        _require_stored(store, past)
        return up(store, past.entry, events, timeout=timeout, going_back=True, accepted=accepted)


def _require_stored(store: Store, past: Past) -> None:
    try:
        missing = store.missing(member.blob for member in closure(store, past.root))
    except MissingBlob:
        raise NoLongerStored(past, store, 1) from None
    if missing:
        raise NoLongerStored(past, store, len(missing))
