"""Whether a service answers: one small HTTP question, without the libraries that are slow to import."""

from __future__ import annotations

import http.client

TIMEOUT = 1.0
"""Seconds: `status` is looked at, and a service on this machine answers at once or is busy starting."""

_HEALTH = {"vllm": "/health", "sglang": "/health"}
"""Where a kind of service says how it is (vLLM and SGLang, `GET /health`); others show a page."""


def reachable(bind: str) -> str:
    """The address at which this machine reaches a service; one that is bound to every address, at the loopback's."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bind, bind)


def health(kind: str, address: str) -> str:
    """`healthy`, or in a few words what came instead. The address is `http://BIND:PORT`, as the release records it."""
    bind, _, port = address.removeprefix("http://").rpartition(":")
    connection = http.client.HTTPConnection(reachable(bind), int(port), timeout=TIMEOUT)
    try:
        connection.request("GET", _HEALTH.get(kind, "/"))
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return "does not answer yet"
    finally:
        connection.close()
    wanted = status == 200 if kind in _HEALTH else status < 500
    return "healthy" if wanted else f"answers with HTTP {status}"
