"""Names: of images in registries, and of bundles."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from bundler.core.digest import Digest
from bundler.core.errors import UsageInvalid

_PATH = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_REGISTRY = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::\d{1,5})?")
_NAME = re.compile(r"[a-z0-9]+(?:[-.][a-z0-9]+)*")
_VERSION = re.compile(r"[A-Za-z0-9]+(?:[-._][A-Za-z0-9]+)*")
_LOOPBACK = re.compile(r"(localhost|127(?:\.\d+){3}|\[::1\])(?::\d+)?")


class MalformedReference(UsageInvalid):
    """Text that should name an image or a bundle and does not."""


@dataclass(frozen=True, slots=True)
class Reference:
    """An image in a registry: `[registry/]repository[:tag][@digest]` (distribution's reference grammar).

    With no registry it is Docker Hub's, with no tag or digest it is `latest`, as every engine reads it.
    """

    registry: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a reference. Raises MalformedReference."""
        rest, at, digest = text.partition("@")
        first, slash, remainder = rest.partition("/")
        if slash and ("." in first or ":" in first or first == "localhost"):
            registry, path = first, remainder
        else:
            registry, path = "docker.io", rest
        path, colon, tag = path.partition(":")
        if registry == "docker.io" and "/" not in path:
            path = f"library/{path}"
        if not _REGISTRY.fullmatch(registry) or not _PATH.fullmatch(path) or (colon and not _TAG.fullmatch(tag)):
            raise MalformedReference(
                f"{text!r} is not an image reference",
                because="it should read [registry/]repository[:tag][@sha256:<64 hex>], in lower case",
            )
        pinned = Digest.parse(digest) if at else None
        return cls(registry, path, tag if colon else None if pinned else "latest", pinned)

    @property
    def loopback(self) -> bool:
        """Whether the registry is this machine's own, where every engine speaks plain HTTP."""
        return bool(_LOOPBACK.fullmatch(self.registry))

    @property
    def selector(self) -> str:
        """What a registry's manifests endpoint is asked for: the digest if there is one, else the tag."""
        return str(self.digest) if self.digest else self.tag or "latest"

    def pinned(self, digest: Digest) -> Reference:
        """The same repository at this digest, without a tag."""
        return replace(self, tag=None, digest=digest)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"


@dataclass(frozen=True, slots=True, order=True)
class BundleName:
    """`name:version`, as a person types it and as `index.json` lists it."""

    name: str
    version: str

    @classmethod
    def parse(cls, text: str) -> BundleName:
        """Read `name:version`. Raises MalformedReference."""
        name, _, version = text.partition(":")
        if not _NAME.fullmatch(name) or not _VERSION.fullmatch(version):
            raise MalformedReference(
                f"{text!r} is not a bundle's name",
                because="it should read name:version, the name in lower case letters, digits, '-' and '.'",
            )
        return cls(name, version)

    def artifact(self, name: str) -> str:
        """The reference name of one of the bundle's artifacts in `index.json`."""
        return f"{self}/{name}"

    def __str__(self) -> str:
        return f"{self.name}:{self.version}"
