"""Which bytes go into which volume, and which volume to which medium: decided before anything is written; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.errors import NoSpace, UsageInvalid
from bundler.core.records import to_json
from bundler.core.size import format_size
from bundler.core.strict_json import canonical
from bundler.media.header import FORMAT, MAX_VOLUMES, Header, Piece, blob_path, encode_end, part_path
from bundler.media.tar import BLOCK, END, room

_SMALLEST_PART = 64 << 10
"""A blob is not cut for less than so many bytes at the end of a volume."""
_UNKNOWN = 9999


class VolumeTooSmall(UsageInvalid):
    """A volume that has room for its own contents list and nothing else."""

    def __init__(self, needed: int) -> None:
        super().__init__(
            "the volumes are too small for this bundle",
            because=f"each begins with the bundle's manifests and the agent, and needs {format_size(needed)} at least",
            hint=f"--volume-size {-(-needed // (1 << 20))}MiB   # or more",
        )


class MediaTooSmall(NoSpace):
    """All destinations together are too small, and nothing says how to go on elsewhere."""

    def __init__(self, needed: int, free: int) -> None:
        super().__init__(
            f"the destinations together are too small: {format_size(needed)} needed, {format_size(free)} usable",
            because="nothing was written; up to 2 MiB that are free on each are left for checksums and its own maps",
            hint="name more directories; or give --volume-size, and write the volumes to one medium after another",
        )


@dataclass(frozen=True, slots=True)
class Contents:
    """What is to be carried: the members that every volume begins with, and the blobs, in order."""

    bundle: str
    root: Digest
    common: tuple[Piece, ...]
    blobs: tuple[Descriptor, ...]
    since: Digest | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A destination: how many bytes it takes, how long a file may be there, and which file system it is."""

    directory: Path
    free: int
    largest_file: int
    device: int


@dataclass(frozen=True, slots=True)
class Placed:
    """A volume and where it goes."""

    volume: Header
    directory: Path


@dataclass(frozen=True, slots=True)
class Plan:
    """Volumes that go somewhere, and those for which there is no room."""

    placed: tuple[Placed, ...]
    left: tuple[Header, ...]


def plan(
    contents: Contents, places: Sequence[Place], volume_size: int | None = None, only: range | None = None
) -> Plan:
    """Volumes for these places, filled one after another; `only` picks volumes by their numbers.

    With `volume_size` (bytes) the volumes are the same whatever the places are, and stay below that size. Without,
    each place gets one, or as few as the files that it takes allow. Raises MediaTooSmall, VolumeTooSmall.
    """
    if volume_size is not None:
        return _distributed(_cut(contents, repeat(volume_size - 1)), places, only)
    capacities = [place.free for place in _distinct(places)]
    free = sum(capacities)
    try:
        volumes = _cut(contents, _of_places(places))
    except _Exhausted:
        needed = sum(volume.bytes for volume in _cut(contents, repeat(1 << 62)))
        raise MediaTooSmall(needed, free) from None
    return _distributed(volumes, places, only)


def _distinct(places: Sequence[Place]) -> list[Place]:
    return list({place.device: place for place in reversed(places)}.values())


def _of_places(places: Sequence[Place]) -> Iterator[int]:
    for place in reversed(_distinct(places)):
        free = place.free
        while free > 0:
            size = min(free, place.largest_file)
            yield size
            free -= size


def _distributed(volumes: Sequence[Header], places: Sequence[Place], only: range | None) -> Plan:
    free = {place.device: place.free for place in places}
    waiting = [volume for volume in volumes if only is None or int(volume.number) in only]
    placed: list[Placed] = []
    for place in places:
        while waiting and waiting[0].bytes <= min(free[place.device], place.largest_file):
            volume = waiting.pop(0)
            free[place.device] -= volume.bytes
            placed.append(Placed(volume, place.directory))
    if waiting and not placed:
        raise MediaTooSmall(waiting[0].bytes, sum(free.values()))
    return Plan(tuple(placed), tuple(waiting))


class _Exhausted(Exception):
    """No more places."""


class _Filling:
    """A volume that is being filled, and the room that is left in it."""

    def __init__(self, contents: Contents, capacity: int) -> None:
        empty = Header(FORMAT, contents.bundle, contents.root, "0000", "0000", (), contents.since)
        self._list = len(empty.encode())
        self._members = 0
        self._end: dict[str, Digest] = {}
        self._capacity = capacity
        self.pieces: list[Piece] = []
        for piece in contents.common:
            self.add(piece)

    def add(self, piece: Piece) -> None:
        self._list += _listed(piece)
        self._members += room(piece.size)
        self.pieces.append(piece)
        if piece.is_part:
            self._end[piece.path] = piece.digest

    @property
    def bytes(self) -> int:
        return room(self._list) + self._members + room(len(encode_end(self._end))) + len(END)

    def fits(self, piece: Piece) -> bool:
        grown = room(self._list + _listed(piece)) + self._members + room(piece.size)
        return grown + room(len(encode_end(self._end))) + len(END) <= self._capacity

    def left_for_part(self, whole: int, digest: Digest) -> int:
        """The largest part of this blob that still has room, a multiple of a block."""
        longest = Piece(part_path(digest, _UNKNOWN, _UNKNOWN), digest, whole, 0, whole)
        longest_list = self._list + _listed(longest) + len(str(whole))
        end = len(encode_end({**self._end, longest.path: digest}))
        rest = self._capacity - room(longest_list) - self._members - room(end) - len(END) - BLOCK
        return rest // BLOCK * BLOCK


def _listed(piece: Piece) -> int:
    """Bytes of a member in the header's list, at most: its JSON and a comma."""
    return len(canonical(to_json(piece))) + 1


def _cut(contents: Contents, capacities: Iterator[int]) -> list[Header]:
    """Fill volumes of these capacities in bytes. Raises _Exhausted, VolumeTooSmall."""

    def begin() -> _Filling:
        while True:
            capacity = next(capacities, None)
            if capacity is None:
                raise _Exhausted
            filling = _Filling(contents, capacity)
            if filling.bytes + 2 * _SMALLEST_PART <= capacity or (filling.bytes <= capacity and not contents.blobs):
                filled.append(filling)
                return filling
            if isinstance(capacities, repeat):
                raise VolumeTooSmall(filling.bytes + 2 * _SMALLEST_PART)

    filled: list[_Filling] = []
    counts: dict[Digest, int] = {}
    current = begin()
    for blob in contents.blobs:
        whole = Piece(blob_path(blob.digest), blob.digest, blob.size)
        offset = 0
        while offset < blob.size or not blob.size:
            if not offset and current.fits(whole):
                current.add(whole)
                break
            room_left = current.left_for_part(blob.size, blob.digest)
            size = min(room_left, blob.size - offset)
            if size < min(_SMALLEST_PART, blob.size - offset):
                current = begin()
                continue
            counts[blob.digest] = number = counts.get(blob.digest, 0) + 1
            current.add(Piece(part_path(blob.digest, number, 0), blob.digest, size, offset, blob.size))
            offset += size
    if len(filled) > MAX_VOLUMES:
        raise UsageInvalid(
            f"that makes {len(filled)} volumes, more than the {MAX_VOLUMES} that can be numbered",
            hint="a larger --volume-size",
        )
    return [_finished(contents, filling, number, len(filled), counts) for number, filling in enumerate(filled, 1)]


def _finished(contents: Contents, filling: _Filling, number: int, count: int, parts: dict[Digest, int]) -> Header:
    pieces = tuple(
        replace(piece, path=piece.path[:-4] + f"{parts[piece.digest]:04}") if piece.is_part else piece
        for piece in filling.pieces
    )
    return Header(FORMAT, contents.bundle, contents.root, f"{number:04}", f"{count:04}", pieces, contents.since)
