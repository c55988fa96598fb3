"""What ModelScope refuses, in our words: one message each, with the command that mends it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from bundler.core.errors import NetworkFailed
from bundler.sources.http import Refused
from bundler.sources.hub import HubFailed, storage_refused

LOGIN = "modelscope login   # or export MODELSCOPE_API_TOKEN; MODELSCOPE_ENDPOINT chooses another hub"


def refused(refusal: Refused, endpoint: str, repo: str, revision: str) -> NetworkFailed:
    """The error for a listing or a file that the hub, or the storage that it redirects to, refuses."""
    host = _host(endpoint)
    if refusal.host != host:
        return storage_refused(refusal, host, repo)
    said = _said(refusal)
    if refusal.status == 404:
        return HubFailed(f"a file of {repo} at {revision} is gone", because=f"{host} answers: {said}")
    if refusal.status in (401, 403):
        return HubFailed(f"{host} does not give {repo} to you", because=f"it answers: {said}", hint=LOGIN)
    return HubFailed(f"{host} does not give {repo}", because=f"it answers: {said}")


def unknown(refusal: Refused, endpoint: str, repo: str, revision: str, revisions: Sequence[str]) -> HubFailed:
    """The error for a listing that is not there: an unknown revision where the model has others, else no model."""
    host = _host(endpoint)
    if revisions:
        return HubFailed(
            f"{repo} has no revision {revision!r}",
            because=f"{host} has these branches and tags of it: {', '.join(map(_clean, revisions[:20]))}",
            hint="correct revision in the manifest",
        )
    return HubFailed(
        f"{host} has no model {repo}, or it is private and you may not see it",
        because=f"it answers: {_said(refusal)}",
        hint=LOGIN,
    )


def failed(document: Mapping[str, Any], endpoint: str, repo: str, revision: str) -> HubFailed:
    """The error for an answer of status 200 that says in its body that it is none."""
    host = _host(endpoint)
    said = _clean(str(document.get("Message") or f"code {document.get('Code')}"))
    return HubFailed(f"{host} does not list {repo} at {revision}", because=f"it answers: {said}", hint=LOGIN)


def _said(refusal: Refused) -> str:
    """The hub's own words: the Message of its JSON (modelscope_hub 0.5.1, errors.py, _extract_payload)."""
    try:
        document = json.loads(refusal.body)
    except ValueError:
        document = None
    message = document.get("Message") if isinstance(document, dict) else None
    return _clean(message) if isinstance(message, str) and message.strip() else f"HTTP status {refusal.status}"


def _clean(text: str) -> str:
    return "".join(letter for letter in text[:200] if letter.isprintable())


def _host(endpoint: str) -> str:
    return urlsplit(endpoint).netloc.rpartition("@")[2]
