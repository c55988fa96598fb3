"""A registry's side of the Distribution API v2: manifests and blobs, with the login that it asks for.

After the OCI distribution-spec 1.1 and, for Docker's media types, distribution's spec/manifest-v2-2.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.errors import IntegrityFailed, NetworkFailed
from bundler.core.media_types import DOCKER_INDEX, DOCKER_MANIFEST, INDEXES, MANIFESTS, OCI_INDEX, OCI_MANIFEST
from bundler.core.reference import Reference
from bundler.sources.docker_login import HUB, find_login
from bundler.sources.http import Answer, Http, Refused
from bundler.sources.http_errors import TlsFailed
from bundler.sources.registry_auth import Authorizer
from bundler.sources.retry import Retries
from bundler.sources.source import Stream

HUB_HOST = "registry-1.docker.io"
"""Where Docker Hub's registry is (docker/distribution reference: docker.io is a name, not a host)."""
ACCEPT = ", ".join((OCI_MANIFEST, DOCKER_MANIFEST, OCI_INDEX, DOCKER_INDEX))

Result = TypeVar("Result")


class ImageUnknown(NetworkFailed):
    """A registry without this image."""

    def __init__(self, reference: Reference, said: str) -> None:
        version = f"digest {reference.digest}" if reference.digest else f"tag {reference.tag}"
        super().__init__(
            f"registry {reference.registry} has no image {reference.repository} with {version}",
            because=f"it answers: {said or 'not found'}",
            hint=f"skopeo list-tags docker://{reference.registry}/{reference.repository}   # the tags that are there",
        )


class WrongManifest(IntegrityFailed):
    """A registry whose manifest is not the one that was asked for."""

    def __init__(self, reference: Reference, stated: object, actual: Digest) -> None:
        super().__init__(
            f"registry {reference.registry} sent a wrong manifest for {reference.repository}",
            because=f"it should have {stated}, and has {actual}: the registry or a proxy in between changes it",
        )


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest's or an index's bytes as the registry has them, and what Content-Type calls them."""

    raw: bytes
    content_type: str

    @property
    def digest(self) -> Digest:
        """Its own."""
        return Digest.of(self.raw)


class Registry:
    """One repository of a registry, as a BlobSource."""

    def __init__(self, reference: Reference, http: Http, retries: Retries, *, plain_http: bool = False) -> None:
        plain = plain_http or reference.loopback
        self._reference = reference
        self._http = http
        self._retries = retries
        self._host = HUB_HOST if reference.registry == HUB else reference.registry
        self._base = f"{'http' if plain else 'https'}://{self._host}/v2/{reference.repository}"
        self._scope = f"repository:{reference.repository}:pull"
        registry = reference.registry
        self._authorizer = Authorizer(registry, http, lambda: find_login(registry), plain_http=plain)

    @property
    def name(self) -> str:
        """The registry and the repository."""
        return f"{self._reference.registry}/{self._reference.repository}"

    @property
    def suspicion(self) -> str:
        """Why its bytes would be wrong."""
        return "The registry's storage is damaged, or a proxy in between changes what it sends"

    @property
    def remedy(self) -> str:
        """What to do then."""
        return "run the same command again; if it stays so, push the image again, or go round the proxy"

    def manifest(self) -> Manifest:
        """What the reference names now. A tag is resolved once, here.

        Raises ImageUnknown, LoginRefused, WrongManifest, NetworkFailed.
        """
        return self._fetch_manifest(self._reference)

    def manifest_at(self, digest: Digest) -> Manifest:
        """The manifest with this digest. Raises as `manifest`."""
        return self._fetch_manifest(self._reference.pinned(digest))

    def open(self, blob: Descriptor, offset: int) -> Stream:
        """Begin to read a blob, or a manifest. Raises Transient, LoginRefused, NetworkFailed."""
        return self._open(blob, lambda url, headers: self._http.open(url, headers, offset=offset))

    def open_part(self, blob: Descriptor, offset: int, end: int) -> Stream:
        """Begin to read a part of a blob. Raises NoRanges, Transient, LoginRefused, NetworkFailed."""
        return self._open(blob, lambda url, headers: self._http.open_part(url, headers, offset, end))

    def _open(self, blob: Descriptor, request: Callable[[str, dict[str, str]], Stream]) -> Stream:
        if blob.media_type in MANIFESTS | INDEXES:
            url, headers = f"{self._base}/manifests/{blob.digest}", {"Accept": ACCEPT}
        else:
            url, headers = f"{self._base}/blobs/{blob.digest}", {}
        try:
            return self._authorized(lambda shown: request(url, {**headers, **shown}))
        except Refused as refusal:
            verb = "does not have" if refusal.status == 404 else "does not give"
            raise NetworkFailed(
                f"registry {self._reference.registry} {verb} blob {blob.digest} of {self._reference.repository}",
                because=f"{refusal.host} answers: {_said(refusal)}",
                hint="push the image again, or name another tag",
            ) from refusal

    def _fetch_manifest(self, reference: Reference) -> Manifest:
        url = f"{self._base}/manifests/{reference.selector}"
        try:
            answer = self._retries.run(
                lambda: self._authorized(lambda shown: self._http.get(url, {"Accept": ACCEPT, **shown}))
            )
        except Refused as refusal:
            raise self._explained(refusal, reference) from refusal
        return _checked(answer, reference)

    def _authorized(self, request: Callable[[dict[str, str]], Result]) -> Result:
        """Send a request with what the registry is known to want; once more with what it then asks for."""
        shown = self._authorizer.headers(self._scope)
        try:
            try:
                return request(shown)
            except Refused as refusal:
                if refusal.status != 401 or refusal.host != self._host:
                    raise
                shown = self._authorizer.answer(refusal, self._scope, shown)
            return request(shown)
        except Refused as refusal:
            if refusal.status in (401, 403) and refusal.host == self._host:
                raise self._authorizer.refused(self._reference.repository) from refusal
            raise
        except TlsFailed as failure:
            if not failure.plain:
                raise
            raise NetworkFailed(
                f"registry {self._reference.registry} does not speak TLS",
                because="only registries on this machine are asked over plain HTTP unless the manifest says so",
                hint="plain_http: true   # at this image in the manifest, if you trust the network up to there",
            ) from failure

    def _explained(self, refusal: Refused, reference: Reference) -> NetworkFailed:
        if refusal.status == 404:
            return ImageUnknown(reference, _said(refusal))
        return NetworkFailed(
            f"registry {reference.registry} does not give {reference.repository}",
            because=f"it answers: {_said(refusal)}",
            hint=f"curl -v {self._base.partition('/v2/')[0]}/v2/   # is it a registry, at this address and port?",
        )


def _checked(answer: Answer, reference: Reference) -> Manifest:
    """The manifest, if it is what its digest and the registry's own header say."""
    manifest = Manifest(answer.body, answer.headers.get("Content-Type", "").partition(";")[0].strip())
    stated = answer.headers.get("Docker-Content-Digest", "")
    if reference.digest and manifest.digest != reference.digest:
        raise WrongManifest(reference, reference.digest, manifest.digest)
    if stated.startswith("sha256:") and stated != str(manifest.digest):
        raise WrongManifest(reference, stated, manifest.digest)
    return manifest


def _said(refusal: Refused) -> str:
    """The registry's own words: the first of its errors (distribution-spec 1.1, error codes), or the status."""
    try:
        first = json.loads(refusal.body)["errors"][0]
        words = str(first.get("message") or first.get("code"))
    except (ValueError, LookupError, TypeError, AttributeError):
        return f"HTTP status {refusal.status}"
    return "".join(letter for letter in words[:200] if letter.isprintable())
