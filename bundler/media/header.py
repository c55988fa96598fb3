"""What a volume says of itself: its first member, which lists all others, and its last, which proves the cut ones."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bundler.core.digest import Digest
from bundler.core.records import from_json, to_json
from bundler.core.reference import BundleName
from bundler.core.strict_json import MalformedJson, canonical, parse_object
from bundler.media.tar import END, room

FORMAT = 1
MAX_VOLUMES = 9999
"""Volumes and parts are numbered with four digits."""

LAYOUT_FILE = "oci-layout"
INDEX_FILE = "index.json"
AGENT_FILE = "bundle"
_LOOSE = {LAYOUT_FILE: 0o644, INDEX_FILE: 0o644, AGENT_FILE: 0o755}
_BLOB_MODE = 0o444
_PART = re.compile(r"\d{4}-of-\d{4}")


def blob_path(digest: Digest) -> str:
    """Where a whole blob lies in a volume, and in a store."""
    return f"blobs/sha256/{digest.hex}"


def part_path(digest: Digest, number: int, count: int) -> str:
    """Where a part of a blob lies in a volume, and in a directory that volumes were unpacked into."""
    return f"parts/sha256/{digest.hex}/{number:04}-of-{count:04}"


@dataclass(frozen=True, slots=True)
class Piece:
    """A member of a volume: its path, its bytes, and the digest of the whole of which it is all or a part.

    Where it is a part, `offset` is where it begins in the blob and `whole` the blob's bytes; else `whole` is 0.
    """

    path: str
    digest: Digest
    size: int
    offset: int = 0
    whole: int = 0

    def __post_init__(self) -> None:
        """No path but those that a volume has. Raises MalformedJson."""
        directory, _, name = self.path.rpartition("/")
        part = self.whole > 0 and directory == f"parts/sha256/{self.digest.hex}" and bool(_PART.fullmatch(name))
        known = part or (self.whole == 0 and (self.path in _LOOSE or self.path == blob_path(self.digest)))
        if not known or self.size < 0 or self.offset < 0 or (part and self.offset + self.size > self.whole):
            raise MalformedJson("a volume's header", f"{self.path[:200]!r} is no member that a volume may have")

    @property
    def mode(self) -> int:
        """Its permissions, which `tar -xf` gives it."""
        return _LOOSE.get(self.path, _BLOB_MODE)

    @property
    def is_blob(self) -> bool:
        """Whether it is a blob or a part of one."""
        return self.path not in _LOOSE

    @property
    def is_part(self) -> bool:
        """Whether it is a part of a blob."""
        return self.whole > 0

    @property
    def blob_size(self) -> int:
        """Bytes of the whole blob."""
        return self.whole or self.size


@dataclass(frozen=True, slots=True)
class Header:
    """A volume: of which bundle, which of how many, and its members in their order.

    Numbers are four digits, so that a header's length does not depend on them. `since` is the root that the
    receiver is expected to hold already.
    """

    format: int
    bundle: str
    root: Digest
    number: str
    volumes: str
    pieces: tuple[Piece, ...]
    since: Digest | None = None

    @classmethod
    def parse(cls, raw: bytes, what: str) -> Header:
        """Read a header's bytes; `what` names the volume in errors. Raises MalformedJson."""
        document = parse_object(raw, what)
        if document.get("format") != FORMAT:
            raise MalformedJson(what, f"its format is {document.get('format')!r}, this program reads format {FORMAT}")
        header = from_json(cls, document, what)
        BundleName.parse(header.bundle)
        numbers = (header.number, header.volumes)
        if not all(re.fullmatch(r"\d{4}", number) for number in numbers):
            raise MalformedJson(what, "its number is not of four digits")
        if not 1 <= int(header.number) <= int(header.volumes):
            raise MalformedJson(what, f"it is volume {header.number} of {header.volumes}")
        paths = [piece.path for piece in header.pieces]
        if len(set(paths)) != len(paths):
            raise MalformedJson(what, "it lists a member twice")
        return header

    def encode(self) -> bytes:
        """The header's bytes: the same for the same volume."""
        return canonical(to_json(self))

    @property
    def path(self) -> str:
        """The path of the header in its volume."""
        return f"volumes/{self.root.short}/{self.number}.json"

    @property
    def end_path(self) -> str:
        """The path of the volume's last member."""
        return f"volumes/{self.root.short}/{self.number}.end.json"

    @property
    def file_name(self) -> str:
        """The name of the volume's file."""
        return f"{file_stem(self.bundle)}.{self.number}.tar"

    @property
    def parts(self) -> Iterator[Piece]:
        """Those of its members that are parts of blobs."""
        return (piece for piece in self.pieces if piece.is_part)

    @property
    def bytes(self) -> int:
        """What the volume's file takes, exactly."""
        ending = len(encode_end({part.path: part.digest for part in self.parts}))
        return room(len(self.encode())) + sum(room(piece.size) for piece in self.pieces) + room(ending) + len(END)


def file_stem(bundle: str) -> str:
    """What the names of a bundle's volumes begin with."""
    return bundle.replace(":", "-")


def encode_end(parts: Mapping[str, Digest]) -> bytes:
    """The bytes of a volume's last member: the digests of the parts in it, by path."""
    return canonical({"parts": {path: str(digest) for path, digest in parts.items()}})


def decode_end(raw: bytes, what: str) -> dict[str, Digest]:
    """The digests of a volume's parts, by path. Raises MalformedJson."""
    parts = parse_object(raw, what).get("parts")
    if not isinstance(parts, dict) or not all(isinstance(value, str) for value in parts.values()):
        raise MalformedJson(what, "its end has no digests of parts")
    return {path: Digest.parse(value) for path, value in parts.items()}
