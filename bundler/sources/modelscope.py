"""ModelScope, or a hub that speaks its interface and that MODELSCOPE_ENDPOINT names.

The library `modelscope` holds the login and knows the sites; it is imported only when ModelScope is asked. Files
are listed here, from the interface's own `repo/files`: HubApi.get_model_files passes its entries through in 1.27
(modelscope/hub/api.py), and keeps path and size alone in 1.40 (modelscope_hub 0.5.1, compat/hub_api.py), where the
SHA-256 and the commit are lost. No version gives the commit that the listing is of.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from bundler.core.digest import Digest
from bundler.core.errors import NetworkFailed
from bundler.core.secret import Secret
from bundler.core.strict_json import MalformedJson, parse_object
from bundler.sources.http import Http, Refused
from bundler.sources.hub import HubFailed, Listing, Offered
from bundler.sources.modelscope_errors import failed, refused, unknown

SCHEME = "modelscope"
SESSION = "m_session_id"
"""The cookie that a token is sent as (modelscope_hub 0.5.1, _legacy_api.py: older routes read it, newer ones the
Authorization header)."""
TRUNCATED = 3000
"""Files at which a listing is cut without a word (modelscope_hub 0.5.1, constants.REPO_FILES_TRUNCATION_LIMIT)."""
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


class ModelScope:
    """Which endpoint, and the login for it."""

    variable = "MODELSCOPE_ENDPOINT"

    def __init__(self, endpoint: str, token: Secret | None, http: Http) -> None:
        self.endpoint = endpoint
        self.token = token
        self._http = http

    @classmethod
    def from_environment(cls, http: Http) -> ModelScope:
        """MODELSCOPE_ENDPOINT, else MODELSCOPE_DOMAIN, else the library's own site; the token that `modelscope login`
        or MODELSCOPE_API_TOKEN gave.
        """
        from modelscope.hub.api import ModelScopeConfig
        from modelscope.hub.utils.utils import get_domain

        prefers_ai = os.environ.get("MODELSCOPE_PREFER_AI_SITE", "").strip().lower() == "true"
        named = os.environ.get("MODELSCOPE_ENDPOINT", "").strip() or get_domain(cn_site=not prefers_ai).strip()
        endpoint = named if named.startswith(("http://", "https://")) else f"https://{named}"
        token = os.environ.get("MODELSCOPE_API_TOKEN")
        if token is None:
            saved = ModelScopeConfig.get_cookies() or ()
            token = next((str(cookie.value) for cookie in saved if cookie.name == SESSION), "")
        return cls(endpoint.rstrip("/"), Secret(token) if token else None, http)

    @property
    def host(self) -> str:
        """The host, for people."""
        return urlsplit(self.endpoint).netloc.rpartition("@")[2]

    def headers(self) -> dict[str, str]:
        """The login."""
        if not self.token:
            return {}
        return {"Authorization": f"Bearer {self.token.reveal()}", "Cookie": f"{SESSION}={self.token.reveal()}"}

    def url(self, repo: str, commit: str, path: str) -> str:
        """A file's address (modelscope_hub 0.5.1, _legacy_api.py, get_download_url)."""
        return f"{self._model(repo)}/repo?{urlencode({'Revision': commit, 'FilePath': path})}"

    def refused(self, refusal: Refused, repo: str, commit: str) -> NetworkFailed:
        """The error for a file that the hub, or the storage that it redirects to, refuses."""
        return refused(refusal, self.endpoint, repo, commit)

    def listing(self, repo: str, revision: str) -> Listing:
        """The files at a revision, and its commit where ModelScope states it.

        Raises HubFailed, Transient, NetworkFailed, MalformedJson.
        """
        query = urlencode({"Revision": revision, "Recursive": "True"})
        what = f"the list of files of {repo} from {self.host}"
        try:
            answer = self._http.get(f"{self._model(repo)}/repo/files?{query}", self.headers())
        except Refused as refusal:
            if refusal.status == 404:
                raise unknown(refusal, self.endpoint, repo, revision, self._revisions(repo)) from refusal
            raise refused(refusal, self.endpoint, repo, revision) from refusal
        document = parse_object(answer.body, what)
        if document.get("Success") is False or document.get("Code", 200) != 200:
            raise failed(document, self.endpoint, repo, revision)
        data = document.get("Data")
        entries = data.get("Files") if isinstance(data, dict) else None
        if not isinstance(data, dict) or not isinstance(entries, list):
            raise MalformedJson(what, "it has no list 'Files'")
        if len(entries) >= TRUNCATED:
            raise HubFailed(
                f"{repo} has too many files for {self.host}",
                because=f"it lists {TRUNCATED} at most, and does not say what it leaves out",
                hint="take the model from another hub: huggingface: ...",
            )
        blobs = [entry for entry in entries if isinstance(entry, dict) and entry.get("Type") != "tree"]
        return Listing(_commit(revision, data, blobs), {file.path: file for file in (_offered(b, what) for b in blobs)})

    def _model(self, repo: str) -> str:
        return f"{self.endpoint}/api/v1/models/{quote(repo)}"

    def _revisions(self, repo: str) -> tuple[str, ...]:
        """The branches and tags, as the library reads them; none where it can't."""
        from modelscope.hub.api import HubApi

        try:
            api = HubApi(endpoint=self.endpoint)
            branches, tags = api.get_model_branches_and_tags(repo, use_cookies=bool(self.token))
        except Exception:  # noqa: BLE001 - its errors differ by version; it is asked only to explain another error
            return ()
        return (*branches, *tags)


def _commit(revision: str, data: Mapping[str, Any], files: list[dict[str, Any]]) -> str:
    """The commit of a listing. Its Id is empty in some answers, and its ShortId is the beginning of the commit.

    An entry's Revision is the commit that last changed that file (modelscope 1.27, hub/utils/caching.py), so the
    latest commit stands there in full. Where none is stated, the SHA-256 of each file alone is what is pinned.
    """
    if _COMMIT.fullmatch(revision):
        return revision
    latest = data.get("LatestCommitter")
    stated = latest if isinstance(latest, dict) else {}
    whole, short = str(stated.get("Id") or ""), str(stated.get("ShortId") or "")
    candidates = [whole, *(str(entry.get("Revision") or "") for entry in files if len(short) >= 7)]
    return next((text for text in candidates if _COMMIT.fullmatch(text) and text.startswith(short)), revision)


def _offered(entry: Mapping[str, Any], what: str) -> Offered:
    path, size, sha256 = entry.get("Path"), entry.get("Size"), entry.get("Sha256") or ""
    if not isinstance(path, str) or not path or not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise MalformedJson(what, f"an entry has no path or no size: {entry!r:.120}")
    if not isinstance(sha256, str) or (sha256 and not _SHA256.fullmatch(sha256)):
        raise MalformedJson(what, f"the Sha256 of {path[:100]!r} is {sha256!r:.80}")
    return Offered(path, size, Digest(sha256.lower()) if sha256 else None)
