"""Whether a service answers: one small HTTP question, without the libraries that are slow to import."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

TIMEOUT = 1.0
"""Seconds: `status` is looked at, and a service on this machine answers at once or is busy starting."""

_HEALTH = {"vllm": "/health", "sglang": "/health"}
"""Where a kind of service says how it is (vLLM and SGLang, `GET /health`); others show a page."""


def health(kind: str, address: str) -> str:
    """`healthy`, or in a few words what came instead."""
    where = urlsplit(address)
    host = where.hostname or "127.0.0.1"
    connection = http.client.HTTPConnection("127.0.0.1" if host == "0.0.0.0" else host, where.port, timeout=TIMEOUT)
    try:
        connection.request("GET", _HEALTH.get(kind, "/"))
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return "does not answer yet"
    finally:
        connection.close()
    wanted = status == 200 if kind in _HEALTH else status < 500
    return "healthy" if wanted else f"answers with HTTP {status}"
