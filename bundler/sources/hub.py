"""What this room needs of a model hub: a repository's files with what the hub states of them, and their bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.errors import IntegrityFailed, NetworkFailed
from bundler.sources.http import Http, Refused
from bundler.sources.source import Stream


class HubFailed(NetworkFailed):
    """The hub does not give what was asked for."""


@dataclass(frozen=True, slots=True)
class Offered:
    """A file as a hub lists it: its path, its bytes, and the SHA-256 or else the git hash that the hub states."""

    path: str
    size: int
    sha256: Digest | None = None
    git: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """A repository's files by path, and the commit that they are of; the revision asked for where none is stated."""

    commit: str
    files: Mapping[str, Offered]


class Hub(Protocol):
    """A hub, and the login for it."""

    @property
    def host(self) -> str:
        """The host, for people."""
        ...

    @property
    def variable(self) -> str:
        """The environment variable that names another endpoint."""
        ...

    def listing(self, repo: str, revision: str) -> Listing:
        """What a repository holds at a branch, tag or commit. Raises HubFailed, Transient, NetworkFailed."""
        ...

    def url(self, repo: str, commit: str, path: str) -> str:
        """A file's address."""
        ...

    def headers(self) -> Mapping[str, str]:
        """The login."""
        ...

    def refused(self, refusal: Refused, repo: str, commit: str) -> NetworkFailed:
        """The error for a file that the hub, or the storage that it redirects to, refuses."""
        ...


@dataclass(frozen=True, slots=True)
class HubFiles:
    """The files of a repository at a commit, as a BlobSource."""

    hub: Hub
    repo: str
    commit: str
    paths: Mapping[Digest, str]
    http: Http

    @property
    def name(self) -> str:
        """The hub, the repository and the commit."""
        return f"{self.hub.host}/{self.repo} at {self.commit[:12]}"

    @property
    def suspicion(self) -> str:
        """Why its bytes would be wrong."""
        return "The hub's storage is damaged, or a proxy or mirror in between changes what it sends"

    @property
    def remedy(self) -> str:
        """What to do then."""
        return (
            f"run the same command again; if it stays so, go round the mirror ({self.hub.variable}) or the proxy, "
            "or lock anew: bundle lock MANIFEST"
        )

    def open(self, blob: Descriptor, offset: int) -> Stream:
        """Begin to read a file. Raises Transient, HubFailed, NetworkFailed."""
        return self._open(blob, lambda url: self.http.open(url, self.hub.headers(), offset=offset))

    def open_part(self, blob: Descriptor, offset: int, end: int) -> Stream:
        """Begin to read a part of a file. Raises NoRanges, Transient, HubFailed, NetworkFailed."""
        return self._open(blob, lambda url: self.http.open_part(url, self.hub.headers(), offset, end))

    def _open(self, blob: Descriptor, request: Callable[[str], Stream]) -> Stream:
        try:
            return request(self.hub.url(self.repo, self.commit, self.paths[blob.digest]))
        except Refused as refusal:
            raise self.hub.refused(refusal, self.repo, self.commit) from refusal

    def read(self, file: Offered) -> bytes:
        """A small file, of which at least the size is checked, and each hash that the hub states.

        Raises IntegrityFailed, Transient, HubFailed, NetworkFailed.
        """
        url = self.hub.url(self.repo, self.commit, file.path)
        try:
            body = self.http.get(url, self.hub.headers(), limit=file.size).body
        except Refused as refusal:
            raise self.hub.refused(refusal, self.repo, self.commit) from refusal
        wrong = _disagreement(body, file)
        if wrong:
            raise IntegrityFailed(
                f"the bytes of {file.path} from {self.name} are wrong",
                because=f"{wrong} that the hub states. {self.suspicion}",
                hint=self.remedy,
            )
        return body


def storage_refused(refusal: Refused, host: str, repo: str) -> HubFailed:
    """The error for a file that the hub's storage refuses, behind a redirect of the hub's."""
    return HubFailed(
        f"{refusal.host} does not give a file of {repo}",
        because=f"{host} redirects there, and it answers with HTTP status {refusal.status}",
        hint="run the same command again; a proxy or firewall may have to let this host through",
    )


def _disagreement(body: bytes, file: Offered) -> str | None:
    if file.sha256 and Digest.of(body) != file.sha256:
        return f"they don't have the {file.sha256}"
    if file.git and git_blob(body) != file.git:
        return f"they don't have the git hash {file.git}"
    if len(body) != file.size:
        return f"they are {len(body)}, not the {file.size}"
    return None


def git_blob(content: bytes) -> str:
    """The name that git gives these bytes (git-hash-object(1))."""
    return hashlib.sha1(git_header(len(content)) + content, usedforsecurity=False).hexdigest()


def git_header(size: int) -> bytes:
    """What git hashes before a file of so many bytes."""
    return b"blob %d\0" % size
