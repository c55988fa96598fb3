"""`export`: a bundle is written as volumes to disks and sticks, straight from the store, in one pass."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bundler.core.digest import Digest
from bundler.core.durable import explained
from bundler.core.errors import IntegrityFailed, NoSpace, UsageInvalid
from bundler.core.events import BytesMoved, Events, StepEnded, StepStarted
from bundler.core.media_types import INDEXES, LOCK, MANIFESTS
from bundler.core.size import format_size
from bundler.core.strict_json import MalformedJson, parse_object
from bundler.manifest.lock import Lock
from bundler.media import sums
from bundler.media.header import AGENT_FILE, INDEX_FILE, LAYOUT_FILE, Header, Piece, blob_path, file_stem
from bundler.media.plan import Contents, Place, Plan, plan
from bundler.media.volume_writer import BlobReader, clear, is_whole, own_bytes, write_volume
from bundler.operations.push import entries_of, whole
from bundler.store.closure import Member
from bundler.store.contents import read_lock
from bundler.store.layout import LAYOUT, BundleEntry, Store, encode_index
from bundler.store.leases import leasing
from bundler.transport import receipts
from bundler.transport.receipts import Receipt

STEP = "export"
_MARGIN = 1 << 20  # of each file system: SHA256SUMS, and the blocks that hold the files' maps
_FAT_FILE = (4 << 30) - 1
_FAT = "msdos vfat fat32 fat"


@dataclass(frozen=True, slots=True)
class WrittenVolume:
    """A volume that lies at its destination; `kept` when an earlier run wrote it."""

    path: Path
    bytes: int
    digest: Digest
    kept: bool


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What lies on the media now, and what is left to place. `seconds` is the time that it took."""

    bundle: BundleEntry
    since: Digest | None
    plan: Plan
    written: tuple[WrittenVolume, ...]
    left: tuple[Header, ...]
    seconds: float


class FilesExhausted(NoSpace):
    """A destination can hold no more files."""

    def __init__(self, directory: Path) -> None:
        super().__init__(f"{directory} has no inodes left", because="nothing was written", hint=f"df -i {directory}")


class NotADirectory(UsageInvalid):
    """A destination, or what it would lie in, is a file."""

    def __init__(self, directory: Path, file: Path) -> None:
        super().__init__(
            f"{directory} is no directory to write volumes to",
            because=f"{file} is a file; a volume's name comes from its bundle",
            hint=f"ls -l {shlex.quote(str(file.parent))}   # DEST is a directory, there or not yet",
        )


class NotSince(IntegrityFailed):
    """A file that should say what a receiver holds, and does not."""

    def __init__(self, named: str, problem: str) -> None:
        super().__init__(
            f"{named} is neither a receipt nor a lock",
            because=problem,
            hint="bundle receipts   # lists those that pushes have left; a lock is the file that bundle lock writes",
        )


def require_directory(directory: Path) -> None:
    """A destination is a directory, or can be made one. Raises NotADirectory, before anything is written."""
    there = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    if not there.is_dir():
        raise NotADirectory(directory, there)


@dataclass(frozen=True, slots=True)
class Since:
    """What a receiver holds already: a root, where one is known, and blobs."""

    root: Digest | None
    blobs: frozenset[Digest]


def read_since(named: str, bundle: BundleEntry) -> Since:
    """What a receiver holds: as a receipt or a lock file says, or the newest receipt of a host for this bundle.

    Raises NotSince, UsageInvalid.
    """
    path = Path(named)
    if not path.exists() and (receipt := receipts.listed().newest(named, bundle.name.name)):
        return _since(receipt, f"the receipt of {named}")
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageInvalid(
            f"{named} is no host with a receipt of {bundle.name.name}, and can't be read: {error.strerror}",
            hint="bundle receipts   # lists them",
        ) from None
    try:
        if "root" in parse_object(raw, named):
            return _since(receipts.read(path), named)
        return Since(None, frozenset(blob.digest for blob in Lock.parse(raw, named).blobs()))
    except MalformedJson as error:
        raise NotSince(named, error.because or "") from error


def _since(receipt: Receipt, what: str) -> Since:
    if not receipt.blobs:
        raise UsageInvalid(
            f"{what} does not say which blobs the host holds",
            because="an older version wrote it",
            hint=f"bundle push {receipt.bundle} {receipt.host}:{receipt.directory}   # writes a new one",
        )
    return Since(receipt.root, frozenset(receipt.blobs))


def export(
    store: Store,
    bundle: BundleEntry,
    destinations: Sequence[Path],
    events: Events,
    *,
    volume_size: int | None = None,
    since: Since | None = None,
    only: range | None = None,
    dry_run: bool = False,
) -> ExportResult:
    """Write a bundle's volumes. Run again, it keeps those that are whole.

    Raises NotADirectory, BundleIncomplete, MediaTooSmall, VolumeTooSmall, BlobDamaged, NoSpace.
    """
    began = time.monotonic()
    for directory in destinations:
        require_directory(directory)
    with leasing(store, "export"):
        members = whole(store, bundle)
        loose, contents = _contents(store, bundle, members, since)
        places = [_place(directory, bundle, create=not dry_run) for directory in destinations]
        planned = plan(contents, places, volume_size, only)
        written: list[WrittenVolume] = []
        if not dry_run:
            labels = {member.blob.digest: member.label for member in members}
            events.emit(StepStarted(STEP, sum(p.size for v in planned.placed for p in v.volume.pieces if p.is_blob)))
            reader = BlobReader(
                store, lambda digest: labels[digest], lambda label, n: events.emit(BytesMoved(STEP, label, n))
            )
            for place in planned.placed:
                volume = place.volume
                kept = is_whole(volume, place.directory)
                if kept:
                    digest = sums.read(place.directory)[volume.file_name]
                    for piece in volume.pieces:
                        if piece.is_blob:
                            events.emit(BytesMoved(STEP, labels[piece.digest], piece.size))
                else:
                    digest = write_volume(volume, place.directory, reader, loose)
                written.append(WrittenVolume(place.directory / volume.file_name, volume.bytes, digest, kept))
            size = format_size(sum(volume.bytes for volume in written))
            events.emit(StepEnded(STEP, f"{len(written)} volumes, {size}, {len(planned.left)} left to place"))
    root = since.root if since else None
    return ExportResult(bundle, root, planned, tuple(written), planned.left, time.monotonic() - began)


def _contents(
    store: Store, bundle: BundleEntry, members: Sequence[Member], since: Since | None
) -> tuple[dict[str, bytes], Contents]:
    """The small files that every volume has, by path, and what is to be carried."""
    agent = store.read(read_lock(store, bundle).agent.blob.digest)
    loose = {LAYOUT_FILE: LAYOUT, INDEX_FILE: encode_index(entries_of(store, bundle)), AGENT_FILE: agent}
    common = [Piece(path, Digest.of(data), len(data)) for path, data in loose.items()]
    metadata = {LOCK, *INDEXES, *MANIFESTS}
    held = since.blobs if since else frozenset()
    blobs = []
    for member in members:
        if member.blob.media_type in metadata:
            common.append(Piece(blob_path(member.blob.digest), member.blob.digest, member.blob.size))
        elif member.blob.digest not in held:
            blobs.append(member.blob)
    root = since.root if since else None
    return loose, Contents(str(bundle.name), bundle.root.digest, tuple(common), tuple(blobs), root)


def _place(directory: Path, bundle: BundleEntry, *, create: bool) -> Place:
    """A destination as it is: leftovers of killed runs removed, our own volumes' room counted as free."""
    stem = file_stem(str(bundle.name))
    with explained(directory):
        if create:
            directory.mkdir(parents=True, exist_ok=True)
            clear(directory, stem)
        there = next(path for path in (directory, *directory.absolute().parents) if path.exists())
        status = os.statvfs(there)
        if status.f_files and not status.f_favail:
            raise FilesExhausted(directory)
        ours = {path.name for path in directory.glob(f"{stem}.????.tar")}
        free = status.f_bavail * status.f_frsize + own_bytes(directory, ours)
        largest = _FAT_FILE if _is_fat(there) else 1 << 62
        return Place(directory, max(0, free - _MARGIN) >> 20 << 20, largest, there.stat().st_dev)


def _is_fat(directory: Path) -> bool:
    """Whether files there must be shorter than 4 GiB. Python has no statfs(2); /proc/self/mountinfo says the type."""
    device = os.stat(directory).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return False
    for line in lines:
        fields, _, rest = line.partition(" - ")
        if fields.split()[2] == wanted:
            return rest.split()[0] in _FAT.split()
    return False
