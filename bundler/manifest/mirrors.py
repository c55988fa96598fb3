"""Mirrors of registries: which other places hold what a reference names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bundler.core.errors import BundlerError
from bundler.core.reference import MalformedReference, Reference


@dataclass(frozen=True, slots=True)
class Mirrors:
    """Mirrors by the prefix that they stand for: `docker.io` or `docker.io/vllm` -> `mirror.example/proxy/vllm`."""

    by_prefix: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def of(self, reference: Reference) -> tuple[Reference, ...]:
        """Where else this may be had, in the order in which to ask: those of the longest prefix that fits."""
        name = f"{reference.registry}/{reference.repository}"
        fitting = [prefix for prefix in self.by_prefix if f"{name}/".startswith(f"{prefix}/")]
        if not fitting:
            return ()
        longest = max(fitting, key=len)
        return tuple(_moved(reference, mirror, name[len(longest) + 1 :]) for mirror in self.by_prefix[longest])


def _moved(reference: Reference, mirror: str, rest: str) -> Reference:
    registry, _, path = mirror.partition("/")
    repository = "/".join(part for part in (path, rest) if part)
    return Reference(registry, repository, reference.tag, reference.digest)


def checked_place(text: str) -> str:
    """A registry, or a registry and the beginning of a path in it: `docker.io`, `mirror.example:5000/proxy`.

    Raises MalformedReference. A login in it is not repeated in the error.
    """
    first = text.partition("/")[0]
    if "@" in text or "://" in text:
        raise MalformedReference("host and path alone, without a scheme or a login")
    try:
        registry = Reference.parse(f"{text}/x").registry
    except BundlerError:
        registry = ""
    if registry != first or ":" in text[len(first) :]:
        raise MalformedReference("a registry like docker.io, mirror.example:5000 or mirror.example/proxy")
    return text


def parse_mirror(text: str) -> tuple[str, tuple[str, ...]]:
    """Read `PREFIX=MIRROR[,MIRROR...]`, as a flag or the environment says it. Raises MalformedReference."""
    prefix, equals, listed = text.partition("=")
    if not equals:
        raise MalformedReference("mirrors like docker.io=mirror.example,other.example/proxy")
    return checked_place(prefix), tuple(checked_place(mirror) for mirror in listed.split(",") if mirror)
