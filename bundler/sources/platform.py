"""Choosing the image for a platform out of an index (image-spec 1.1, image-index.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bundler.core.descriptor import Descriptor
from bundler.core.errors import NetworkFailed, UsageInvalid
from bundler.core.strict_json import MalformedJson


class PlatformMissing(NetworkFailed):
    """An image that does not exist for the platform that was asked for."""

    def __init__(self, image: str, wanted: Platform, there: list[str]) -> None:
        super().__init__(
            f"{image} has no image for {wanted}",
            because=f"it has: {', '.join(there) or 'none'}",
            hint="name an image that was built for it, or another tag of this one",
        )


@dataclass(frozen=True, slots=True)
class Platform:
    """An operating system and an architecture in Go's words, and the architecture's variant where one matters."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read `linux/amd64` or `linux/arm64/v8`. Raises UsageInvalid."""
        parts = text.split("/")
        if len(parts) not in (2, 3) or not all(parts):
            raise UsageInvalid(f"{text!r} is not a platform", because="it should read linux/amd64 or linux/arm64/v8")
        return cls(*parts)

    @classmethod
    def of(cls, document: object) -> Platform | None:
        """The platform of an index's entry or of an image's config; None where it states none."""
        if not isinstance(document, dict):
            return None
        os, architecture, variant = (document.get(key) or "" for key in ("os", "architecture", "variant"))
        if not isinstance(os, str) or not isinstance(architecture, str) or not isinstance(variant, str):
            return None
        if not os or not architecture or "unknown" in (os, architecture):  # BuildKit's attestations
            return None
        return cls(os, architecture, variant)

    def runs(self, offered: Platform) -> bool:
        """Whether an image of the offered platform is one of this; a variant counts only where both name one."""
        same = (self.os, self.architecture) == (offered.os, offered.architecture)
        return same and (not self.variant or not offered.variant or self.variant == offered.variant)

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


def pick(index: dict[str, Any], wanted: Platform, image: str) -> Descriptor:
    """The first entry of an index for this platform. Raises PlatformMissing, which names those that are there."""
    entries = index.get("manifests")
    if not isinstance(entries, list):
        raise MalformedJson(f"the index of {image}", "it lists no manifests")
    offers = [(Platform.of(entry.get("platform")), entry) for entry in entries if isinstance(entry, dict)]
    for offered, entry in offers:
        if offered and wanted.runs(offered):
            return Descriptor.parse(entry, f"the index of {image}")
    raise PlatformMissing(image, wanted, sorted({str(offered) for offered, _ in offers if offered}))
