"""What a hub refuses, in our words: one message each, with the command that mends it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import cast
from urllib.parse import urlsplit

from bundler.core.errors import NetworkFailed
from bundler.sources.http import TRANSIENT_STATUSES, Refused, busy
from bundler.sources.hub import HubFailed, storage_refused
from bundler.sources.retry import Transient


@contextmanager
def explained(endpoint: str, repo: str, revision: str) -> Iterator[None]:
    """Turn what huggingface_hub raises into HubFailed, Transient or NetworkFailed."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    # It speaks through requests (below 1.0) or a kind of httpx. Its own error derives from that library's, whose
    # class is the parent of timeouts and refused connections, or an OSError as they are.
    transport = cast(type[Exception], HfHubHTTPError.__mro__[1])
    host = _host(endpoint)
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise HubFailed(
            f"{host} was not asked for {repo}", because="HF_HUB_OFFLINE is set", hint="unset HF_HUB_OFFLINE"
        ) from error
    except HFValidationError as error:
        raise HubFailed(
            f"{repo!r} is not the name of a model", because="it should read ORGANISATION/NAME, like Qwen/Qwen3-8B"
        ) from error
    except HfHubHTTPError as error:
        status, headers = error.response.status_code, error.response.headers
        if status in TRANSIENT_STATUSES:
            raise busy(host, status, headers) from error
        raise _by_status(status, headers, endpoint, repo, revision) from error
    except (transport, OSError) as error:
        raise _unreachable(error, host) from error


def refused(refusal: Refused, endpoint: str, repo: str, revision: str) -> NetworkFailed:
    """The error for a file that the hub, or the storage that it redirects to, refuses."""
    if refusal.host != _host(endpoint):
        return storage_refused(refusal, _host(endpoint), repo)
    return _by_status(refusal.status, refusal.headers, endpoint, repo, revision)


def _by_status(status: int, headers: Mapping[str, str], endpoint: str, repo: str, revision: str) -> HubFailed:
    """By the hub's X-Error-Code where it sends one (huggingface_hub, utils/_http.py, hf_raise_for_status)."""
    code = headers.get("X-Error-Code", "")
    said = _clean(headers.get("X-Error-Message", "")) or f"HTTP status {status}"
    host = _host(endpoint)
    if code == "GatedRepo" or (status == 403 and not code):
        return HubFailed(
            f"{host} does not give the files of {repo}",
            because="the model is gated: its owner gives it to logged-in users who accepted its terms",
            hint=f"open {endpoint}/{repo} and accept them, then: hf auth login",
        )
    if code == "RevisionNotFound":
        return HubFailed(
            f"{repo} has no revision {revision!r}",
            because=f"{host} answers: {said}",
            hint=f"git ls-remote {endpoint}/{repo}   # its branches and tags",
        )
    if code == "EntryNotFound":
        return HubFailed(f"a file of {repo} at {revision} is gone", because=f"{host} answers: {said}")
    if status == 401 and not code:
        return HubFailed(f"{host} does not accept your token", because=f"it answers: {said}", hint="hf auth login")
    if code == "RepoNotFound" or status in (401, 404):
        return HubFailed(
            f"{host} has no model {repo}, or it is private and you may not see it",
            because=f"it answers: {said}",
            hint="hf auth login   # or correct the name in the manifest; HF_ENDPOINT chooses another hub",
        )
    return HubFailed(f"{host} does not give {repo}", because=f"it answers: {said}")


def _unreachable(error: BaseException, host: str) -> NetworkFailed:
    kind = type(error).__name__
    if "Timeout" in kind:
        return Transient(f"{host} does not answer", because="nothing came in time")
    reason = _system_words(error) or _clean(str(error)) or kind
    if "reset" in reason or "RemoteProtocol" in kind:
        return Transient(f"{host} broke off", because=reason)
    return NetworkFailed(
        f"no connection to {host}",
        because=reason,
        hint="export HF_ENDPOINT=https://MIRROR   # or HTTPS_PROXY, or SSL_CERT_FILE for your proxy's certificate",
    )


def _system_words(error: BaseException | None) -> str | None:
    """What the operating system says below an error."""
    for _ in range(8):
        if error is None:
            return None
        if isinstance(error, OSError) and error.strerror:
            return error.strerror.lower()
        error = error.__cause__ or error.__context__
    return None


def _clean(text: str) -> str:
    return "".join(letter for letter in text[:200] if letter.isprintable())


def _host(endpoint: str) -> str:
    return urlsplit(endpoint).netloc.rpartition("@")[2]
