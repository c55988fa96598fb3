"""What lies on the disk of each machine of the path, once the bundle is up and its jobs are done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from bundler.store.unpacked import UNPACKED

MachineName = Literal["builder", "intranet host", "node"]


@dataclass(frozen=True, slots=True)
class Part:
    """Something that takes `bytes` of a disk; None where that is not known, and `why` then says so."""

    name: str
    bytes: int | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Image:
    """An image's part of the store: its compressed blobs. `built`: the engine of the builder makes it. `unpacked` is
    the bytes of its layers, where that is known.
    """

    part: Part
    built: bool = False
    unpacked: int | None = None


@dataclass(frozen=True, slots=True)
class Payload:
    """What a bundle consists of, and what its jobs leave on the node."""

    images: tuple[Image, ...] = ()
    files: tuple[Part, ...] = ()
    results: tuple[Part, ...] = ()

    @property
    def store(self) -> tuple[Part, ...]:
        """The parts of a store that has this bundle alone."""
        return (*(image.part for image in self.images), *self.files)


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine of the path. `bytes` is the sum of the parts that are known."""

    machine: MachineName
    parts: tuple[Part, ...]

    @property
    def bytes(self) -> int:
        return known(self.parts)


def known(parts: Iterable[Part]) -> int:
    """The bytes of those parts that are known."""
    return sum(part.bytes or 0 for part in parts)


def unknown(parts: Iterable[Part]) -> tuple[str, ...]:
    """The names of those parts that are not."""
    return tuple(part.name for part in parts if part.bytes is None)


def unpacked(image: Image) -> Part:
    """The image in an engine: its layers' bytes, else UNPACKED times its blobs, by the one ratio that was measured."""
    taken, part = image.unpacked, image.part
    if taken is None and part.bytes is not None:
        taken = round(part.bytes * UNPACKED)
    return Part(f"{part.name}, unpacked in the engine", taken, part.why)


def machines(payload: Payload) -> Sequence[Machine]:
    """Each machine with its parts. A store is the same bytes on all three.

    The builder's engine keeps the images that it built (its cache of the steps is not counted). The node's keeps all
    images unpacked; its models and datasets are links into the store and take nothing more. Where the intranet host
    is the node, its store is there once.
    """
    built = tuple(unpacked(image) for image in payload.images if image.built)
    loaded = tuple(unpacked(image) for image in payload.images)
    return (
        Machine("builder", (*payload.store, *built)),
        Machine("intranet host", payload.store),
        Machine("node", (*payload.store, *loaded, *payload.results)),
    )
