"""`diff`: what a host that has one bundle would be sent of another, and what changed between the two."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bundler.core.digest import Digest
from bundler.core.errors import UsageInvalid
from bundler.manifest.lock import Lock, LockedFiles, LockedImage
from bundler.operations.moves import Move, moves
from bundler.store.closure import closure
from bundler.store.contents import read_lock
from bundler.store.layout import Store
from bundler.store.reach import Blobs

LOCK_SUFFIX = ".lock.json"


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two: its name, its lock, and where it is a bundle of a store also all its blobs."""

    name: str
    lock: Lock
    blobs: Blobs | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """So many blobs of so many bytes together."""

    blobs: int
    bytes: int

    @classmethod
    def of(cls, blobs: Blobs) -> Count:
        """Count these."""
        return cls(len(blobs), sum(blobs.values()))


@dataclass(frozen=True, slots=True)
class Difference:
    """Blobs that the second has and the first has not, the other way round, and those that both have."""

    added: Blobs
    removed: Blobs
    kept: Blobs


@dataclass(frozen=True, slots=True)
class ArtifactChange:
    """An artifact that is in either: added, removed, changed or same. `bytes` is what the second has of it that is
    nowhere in the first."""

    kind: str
    name: str
    change: str
    bytes: int


@dataclass(frozen=True, slots=True)
class DiffResult:
    """All that differs. `added` is what a push of the second sends to a host that has the first."""

    before: str
    after: str
    difference: Difference
    artifacts: tuple[ArtifactChange, ...]
    moved: tuple[Move, ...]


class NoSide(UsageInvalid):
    """A lock that does not exist."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} does not exist",
            because=f"what ends in {LOCK_SUFFIX} is taken for a lock, anything else for a bundle of the store",
            hint="bundle list   # shows the bundles that there are",
        )


def side(text: str, store: Path) -> Side:
    """What a person means: the path of a lock, or a bundle of the store in this directory.

    Raises NoSide, MalformedJson, NotAStore, UnknownBundle, AmbiguousBundle, IntegrityFailed.
    """
    if text.endswith(LOCK_SUFFIX):
        path = Path(text)
        if not path.is_file():
            raise NoSide(path)
        return Side(text, Lock.parse(path.read_bytes(), text))
    opened = Store.open(store)
    entry = opened.find(text)
    blobs = {member.blob.digest: member.blob.size for member in closure(opened, entry.root)}
    return Side(str(entry.name), read_lock(opened, entry), blobs)


def diff(before: Side, after: Side) -> DiffResult:
    """Compare two. Where one is a lock alone, the bundles' own documents (some kB) are left out on both sides."""
    whole = before.blobs is not None and after.blobs is not None
    old, new = (_counted(one, whole=whole) for one in (before, after))
    return DiffResult(
        before.name,
        after.name,
        compare(old, new),
        tuple(_artifacts(before.lock, after.lock, old)),
        moves(before.lock, after.lock),
    )


def compare(before: Blobs, after: Blobs) -> Difference:
    """Which blobs came, went and stayed."""
    return Difference(
        {digest: size for digest, size in after.items() if digest not in before},
        {digest: size for digest, size in before.items() if digest not in after},
        {digest: size for digest, size in after.items() if digest in before},
    )


def _counted(one: Side, *, whole: bool) -> Blobs:
    if whole and one.blobs is not None:
        return one.blobs
    return {blob.digest: blob.size for blob in one.lock.blobs()}


Artifacts = Mapping[tuple[str, str], "LockedImage | LockedFiles"]


def _artifacts(before: Lock, after: Lock, there: Blobs) -> Iterable[ArtifactChange]:
    old, new = _by_name(before), _by_name(after)
    for key in sorted(old.keys() | new.keys()):
        was, now = old.get(key), new.get(key)
        if was is None or now is None:
            change = "removed" if now is None else "added"
        else:
            change = "same" if was.manifest.digest == now.manifest.digest else "changed"
        fresh = {digest: size for digest, size in _blobs(now).items() if digest not in there} if now else {}
        yield ArtifactChange(*key, change, sum(fresh.values()))


def _by_name(lock: Lock) -> Artifacts:
    kinds = (("image", lock.images), ("model", lock.models), ("dataset", lock.datasets))
    return {(kind, artifact.name): artifact for kind, artifacts in kinds for artifact in artifacts}


def _blobs(artifact: LockedImage | LockedFiles) -> dict[Digest, int]:
    found = {artifact.manifest.digest: artifact.manifest.size}
    if isinstance(artifact, LockedImage):
        return found | {blob.digest: blob.size for blob in artifact.blobs}
    return found | {file.digest: file.size for file in artifact.files}
