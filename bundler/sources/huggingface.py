"""The Hugging Face Hub, or a mirror that HF_ENDPOINT names.

huggingface_hub lists the files and holds the login; it is imported only when a hub is asked. Large files have a
SHA-256 that the hub states; for the others it states git's hash.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from bundler.core.digest import Digest
from bundler.core.errors import NetworkFailed
from bundler.core.secret import Secret
from bundler.sources.http import Refused
from bundler.sources.hub import HubFailed, Listing, Offered
from bundler.sources.huggingface_errors import explained, refused

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

SCHEME = "hf"


@dataclass(frozen=True, slots=True)
class HuggingFace:
    """Which endpoint, and the login for it."""

    endpoint: str
    token: Secret | None = None

    @classmethod
    def from_environment(cls) -> HuggingFace:
        """HF_ENDPOINT, and the token that `hf auth login` or HF_TOKEN gave."""
        from huggingface_hub import constants, get_token

        endpoint = (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")
        token = get_token()
        return cls(endpoint, Secret(token) if token else None)

    @property
    def variable(self) -> str:
        """The environment variable that names another endpoint."""
        return "HF_ENDPOINT"

    @property
    def host(self) -> str:
        """The host, for people."""
        return urlsplit(self.endpoint).netloc.rpartition("@")[2]

    def headers(self) -> dict[str, str]:
        """The login."""
        return {"Authorization": f"Bearer {self.token.reveal()}"} if self.token else {}

    def url(self, repo: str, commit: str, path: str) -> str:
        """A file's address (huggingface_hub, constants.HUGGINGFACE_CO_URL_TEMPLATE)."""
        return f"{self.endpoint}/{quote(repo)}/resolve/{quote(commit, safe='')}/{quote(path)}"

    def refused(self, refusal: Refused, repo: str, commit: str) -> NetworkFailed:
        """The error for a file that the hub, or the storage that it redirects to, refuses."""
        return refused(refusal, self.endpoint, repo, commit)

    def listing(self, repo: str, revision: str) -> Listing:
        """The commit that a revision names, and the files there. Raises HubFailed, Transient, NetworkFailed."""
        from huggingface_hub import HfApi
        from huggingface_hub.hf_api import RepoFile

        api = HfApi(endpoint=self.endpoint, token=self.token.reveal() if self.token else False)
        with explained(self.endpoint, repo, revision):
            commit = api.model_info(repo, revision=revision).sha
            if not commit:
                raise HubFailed(f"{self.host} does not say which commit {revision!r} of {repo} is")
            tree = api.list_repo_tree(repo, recursive=True, revision=commit)
            return Listing(commit, {entry.path: _offered(entry) for entry in tree if isinstance(entry, RepoFile)})


def _offered(entry: RepoFile) -> Offered:
    if entry.lfs:
        return Offered(entry.path, entry.lfs.size, Digest.parse(f"sha256:{entry.lfs.sha256}"))
    return Offered(entry.path, entry.size, git=entry.blob_id)
