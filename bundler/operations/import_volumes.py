"""`import`: volumes are taken into a store, in any order and number; the bundle is listed when it is whole."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bundler.core.digest import Digest
from bundler.core.errors import BundlerError, DoneInPart, IntegrityFailed, NoSpace, UsageInvalid
from bundler.core.events import BytesMoved, Events, StepEnded, StepStarted, Warned
from bundler.core.reference import BundleName
from bundler.core.size import format_size
from bundler.media import arrival
from bundler.media.assembly import Assembly
from bundler.media.header import Header
from bundler.media.volume import BadVolume, Volume, is_volume_name, open_volume, unpacked_volumes
from bundler.store.closure import Member
from bundler.store.contents import place_agent, read_lock
from bundler.store.layout import BundleEntry, Store
from bundler.store.leases import leasing
from bundler.store.locking import holding

STEP = "import"
_SPARE_INODES = 64


@dataclass(frozen=True, slots=True)
class Imported:
    """A bundle of which volumes came; `whole` once it is listed. Missing volumes by their file names."""

    name: str
    root: Digest
    whole: bool
    bytes: int
    missing_volumes: tuple[str, ...]
    missing_blobs: tuple[str, ...]
    since: Digest | None


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What came, and the volumes that were bad."""

    bundles: tuple[Imported, ...]
    bad: tuple[BadVolume, ...]
    seconds: float


class NothingToImport(UsageInvalid):
    """A place without volumes."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} holds no volumes",
            because="volumes are files that `bundle export` wrote, NAME-VERSION.0001.tar and so on",
            hint=f"ls -l {path}",
        )


class StoreTooSmall(NoSpace):
    """What the volumes hold does not fit the store's file system."""

    def __init__(self, store: Store, what: str, needed: str, free: str) -> None:
        super().__init__(
            f"{store.root} has not enough {what}: {needed} needed, {free} free",
            because="no blob was written",
            hint=f"df -h {store.root}; df -i {store.root}   # make room, or name another directory with --store",
        )


class VolumesBad(IntegrityFailed):
    """Volumes that are not as they were written; the good ones were taken."""

    def __init__(self, bad: Sequence[BadVolume], store: Path) -> None:
        super().__init__(
            f"{len(bad)} of the volumes are bad:\n  " + "\n  ".join(f"{one.path}: {one.problem}" for one in bad),
            because="they were damaged or changed on their way; what the other volumes hold is kept",
            hint=f"copy them again, then: bundle import {' '.join(str(one.path) for one in bad)} --store {store}",
        )


class BundleNotWhole(DoneInPart):
    """More volumes have to come before a bundle can be used."""

    def __init__(self, one: Imported, store: Path) -> None:
        if one.missing_volumes:
            lacking = f"missing are the volumes {', '.join(one.missing_volumes)}"
            hint = f"bundle import VOLUME_OR_DIR --store {store}   # with the missing ones; what came is kept"
        else:
            shown = ", ".join(one.missing_blobs[:5])
            lacking = f"its volumes carry only what changed since {one.since or 'another bundle'}; missing are {shown}"
            hint = f"import that bundle into {store} first; or export {one.name} without --since"
        super().__init__(f"{one.name} is not whole in {store} yet", because=lacking, hint=hint)


def unfinished(result: ImportResult, store: Path) -> BundlerError | None:
    """What stands between this import and whole bundles: a bad volume before a missing one."""
    if result.bad:
        return VolumesBad(result.bad, store)
    return next((BundleNotWhole(one, store) for one in result.bundles if not one.whole), None)


def import_volumes(sources: Sequence[Path], directory: Path, events: Events) -> ImportResult:
    """Take these volumes into the store in a directory, which is made where it is not. Bad volumes do not stop it.

    Raises NothingToImport, StoreTooSmall, NoSpace, Held.
    """
    began = time.monotonic()
    volumes, bad = _found(sources)
    store = Store.create(directory)
    with leasing(store, "import"), holding(store.root / "import.lock", f"importing into {store.root}"):
        bundles: dict[Digest, _Bundle] = {}
        for volume in volumes:
            try:
                found = bundles.get(volume.header.root) or _Bundle(store, volume)
                found.accept(volume)
                bundles[volume.header.root] = found
            except BadVolume as error:
                bad.append(error)
            except IntegrityFailed as error:
                bad.append(BadVolume(volume.path, error.what))
        _check_room(store, bundles.values())
        events.emit(StepStarted(STEP, sum(bundle.bytes_to_take() for bundle in bundles.values())))
        for bundle in bundles.values():
            bad += bundle.take(events)
        imported = tuple(bundle.finish() for bundle in bundles.values())
    taken = sum(one.bytes for one in imported)
    events.emit(StepEnded(STEP, f"{len(volumes)} volumes, {format_size(taken)}, {len(bad)} bad"))
    for one in bad:
        events.emit(Warned(one.what))
    return ImportResult(imported, tuple(bad), time.monotonic() - began)


def _found(sources: Sequence[Path]) -> tuple[list[Volume], list[BadVolume]]:
    volumes: list[Volume] = []
    bad: list[BadVolume] = []
    for source in sources:
        paths = [source]
        if source.is_dir():
            paths = sorted(path for path in source.iterdir() if is_volume_name(path))
            try:
                unpacked = unpacked_volumes(source)
            except IntegrityFailed as error:
                bad.append(error if isinstance(error, BadVolume) else BadVolume(source, error.what))
                unpacked = []
            volumes += unpacked
            if not paths and not unpacked and not bad:
                raise NothingToImport(source)
        elif not source.exists():
            raise NothingToImport(source)
        for path in paths:
            try:
                volumes.append(open_volume(path))
            except BadVolume as error:
                bad.append(error)
    volumes.sort(key=lambda volume: (volume.header.root, volume.header.number))
    return volumes, bad


class _Bundle:
    """One bundle while its volumes are taken."""

    def __init__(self, store: Store, volume: Volume) -> None:
        self._store = store
        self._members, self._entries = arrival.take_metadata(store, volume)
        self._sizes = {member.blob.digest: member.blob.size for member in self._members}
        self._labels = {member.blob.digest: member.label for member in self._members}
        self._header = volume.header
        self._volumes: list[Volume] = []

    def accept(self, volume: Volume) -> None:
        """A volume of this bundle. Raises BadVolume."""
        arrival.check_named(volume, self._sizes)
        self._volumes.append(volume)

    def _in_place(self, volume: Volume) -> bool:
        return volume.unpacked and volume.path.samefile(self._store.root)

    def missing(self) -> tuple[Member, ...]:
        """Blobs that are not there."""
        return tuple(member for member in self._members if not self._store.has(member.blob))

    def bytes_to_take(self) -> int:
        """Bytes that these volumes still have to give."""
        pieces = {(piece.digest, piece.offset): piece for volume in self._volumes for piece in volume.header.pieces}
        return sum(piece.size for piece in pieces.values() if piece.is_blob and not arrival.landed(self._store, piece))

    def room(self) -> int:
        """Bytes that the store must have room for: parts of its own need none but one at a time."""
        needed = 0
        for volume in self._volumes:
            sizes = [p.size for p in volume.header.pieces if p.is_blob and not arrival.landed(self._store, p)]
            if self._in_place(volume):
                sizes = [max((p.size for p in volume.header.parts), default=0)]
            needed += sum(sizes)
        return min(needed, sum(member.blob.size for member in self.missing()))

    def take(self, events: Events) -> list[BadVolume]:
        """Take all that the volumes hold. Returns those that are bad."""
        bad = []
        for volume in self._volumes:
            try:
                self._take(volume, events)
            except BadVolume as error:
                bad.append(error)
            else:
                arrival.remember(self._store, volume)
        return bad

    def _take(self, volume: Volume, events: Events) -> None:
        if self._in_place(volume):
            whole = [piece for piece in volume.header.pieces if piece.is_blob and not piece.is_part]
            arrival.adopt(self._store, volume, whole, lambda _: None)
        for piece in volume.header.pieces:
            if not piece.is_blob or arrival.landed(self._store, piece):
                continue
            label = self._labels[piece.digest]
            if not piece.is_part:
                arrival.take_blob(self._store, volume, piece, partial(_tell, events, label))
                continue
            assembly = Assembly(self._store, piece.digest, piece.whole)
            for count in assembly.take(volume, piece):
                events.emit(BytesMoved(STEP, label, count))
            if assembly.complete and not assembly.join():
                raise BadVolume(volume.path, f"{label} ({piece.digest}) has other bytes once its parts are joined")

    def finish(self) -> Imported:
        """List the bundle if it is whole, and say what is missing otherwise."""
        missing = self.missing()
        header = self._header
        if not missing:
            entry = BundleEntry(BundleName.parse(header.bundle), self._members[0].blob)
            place_agent(self._store, read_lock(self._store, entry).agent.blob.digest)
            self._store.record(self._entries)
        return Imported(
            header.bundle,
            header.root,
            not missing,
            sum(member.blob.size for member in self._members if member not in missing),
            self._missing_volumes() if missing else (),
            tuple(f"{member.label} ({member.blob.digest})" for member in missing),
            header.since,
        )

    def _missing_volumes(self) -> tuple[str, ...]:
        """Those of the export whose volumes came: not seen, or not all there."""
        count = int(self._header.volumes)
        there = set()
        for path in (self._store.root / "volumes" / self._header.root.short).glob("????.json"):
            try:
                known = Header.parse(path.read_bytes(), str(path))
            except IntegrityFailed:
                continue
            same = known.root == self._header.root and known.volumes == self._header.volumes
            if same and all(arrival.landed(self._store, piece) for piece in known.pieces if piece.is_blob):
                there.add(int(known.number))
        wanted = (number for number in range(1, count + 1) if number not in there)
        return tuple(replace(self._header, number=f"{number:04}").file_name for number in wanted)


def _check_room(store: Store, bundles: Collection[_Bundle]) -> None:
    needed = sum(bundle.room() for bundle in bundles)
    if needed > store.free_bytes():
        raise StoreTooSmall(store, "space", format_size(needed), format_size(store.free_bytes()))
    files = sum(len(bundle.missing()) for bundle in bundles) + _SPARE_INODES
    free = store.free_files()
    if free is not None and files > free:
        raise StoreTooSmall(store, "inodes", f"{files} files", str(free))


def _tell(events: Events, label: str, count: int) -> None:
    events.emit(BytesMoved(STEP, label, count))
