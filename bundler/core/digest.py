"""Content addresses."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bundler.core.errors import IntegrityFailed

_HEX64 = re.compile(r"[0-9a-f]{64}")
_CHUNK = 1 << 20


class MalformedDigest(IntegrityFailed):
    """Text that should be a digest and is not."""

    def __init__(self, text: str) -> None:
        super().__init__(
            f"a digest must be 'sha256:' and 64 hexadecimal digits, saw: {text[:100]!r}",
            because="everything that crosses the gap is named by its SHA-256",
        )


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A content address, `sha256:<64 hex>` (OCI image-spec 1.1, descriptor.md)."""

    hex: str

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read `sha256:<64 hex>`. Raises MalformedDigest."""
        algorithm, _, hex_ = text.partition(":")
        if algorithm != "sha256" or not _HEX64.fullmatch(hex_):
            raise MalformedDigest(text)
        return cls(hex_)

    @classmethod
    def of(cls, data: bytes) -> Digest:
        """The digest of these bytes."""
        return cls(hashlib.sha256(data).hexdigest())

    @classmethod
    def of_file(cls, path: Path, told: Callable[[int], None] | None = None) -> Digest:
        """The digest of a file's bytes; `told` hears how many more have been read. Raises OSError."""
        digest = hashlib.sha256()
        buffer = bytearray(_CHUNK)
        view = memoryview(buffer)
        with path.open("rb", buffering=0) as file:
            while count := file.readinto(buffer):
                digest.update(view[:count])
                if told:
                    told(count)
        return cls(digest.hexdigest())

    @property
    def short(self) -> str:
        """The first 12 hexadecimal digits, for people."""
        return self.hex[:12]

    def __str__(self) -> str:
        return f"sha256:{self.hex}"
