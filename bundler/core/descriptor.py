"""Descriptors: what a blob is, which one, and how long (OCI image-spec 1.1, descriptor.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bundler.core.digest import Digest
from bundler.core.strict_json import MalformedJson

REF_NAME = "org.opencontainers.image.ref.name"
TITLE = "org.opencontainers.image.title"


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Media type, digest and size in bytes of one blob; annotations as the document gave them."""

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    artifact_type: str | None = None

    @classmethod
    def parse(cls, document: object, what: str) -> Descriptor:
        """Read a descriptor's JSON object; `what` names the document it stands in. Raises MalformedJson."""
        if not isinstance(document, dict):
            raise MalformedJson(what, f"a descriptor should be an object, saw: {document!r:.80}")
        media_type, digest, size = (document.get(key) for key in ("mediaType", "digest", "size"))
        annotations = document.get("annotations") or {}
        artifact_type = document.get("artifactType")
        if not isinstance(media_type, str) or not isinstance(digest, str):
            raise MalformedJson(what, "a descriptor has no mediaType or no digest")
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise MalformedJson(what, f"the size of {digest} should be a whole number, saw: {size!r:.40}")
        if not isinstance(annotations, dict) or not all(isinstance(value, str) for value in annotations.values()):
            raise MalformedJson(what, f"the annotations of {digest} should be strings")
        if artifact_type is not None and not isinstance(artifact_type, str):
            raise MalformedJson(what, f"the artifactType of {digest} should be a string")
        return cls(media_type, Digest.parse(digest), size, annotations, artifact_type)

    @classmethod
    def of(cls, data: bytes, media_type: str) -> Descriptor:
        """The descriptor of these bytes."""
        return cls(media_type, Digest.of(data), len(data))

    def to_json(self) -> dict[str, Any]:
        """The JSON object, without empty members."""
        document: dict[str, Any] = {
            "mediaType": self.media_type,
            "digest": str(self.digest),
            "size": self.size,
        }
        if self.artifact_type:
            document["artifactType"] = self.artifact_type
        if self.annotations:
            document["annotations"] = dict(self.annotations)
        return document

    def named(self, reference: str) -> Descriptor:
        """The same, under this reference name in an index."""
        return replace(self, annotations={**self.annotations, REF_NAME: reference})

    @property
    def reference(self) -> str | None:
        """The reference name that an index gives it."""
        return self.annotations.get(REF_NAME)
