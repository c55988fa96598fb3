"""Whether a service answers: one small HTTP question, without the libraries that are slow to import.

`up` waits for the same answer that `status` tells.
"""

from __future__ import annotations

import http.client

TIMEOUT = 2.0
"""Seconds: a service on this machine answers at once, or is busy starting, and is asked again."""

HEALTHY = "healthy"


def reachable(bind: str) -> str:
    """The address at which this machine reaches a service; one that is bound to every address, at the loopback's."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bind, bind)


def health(address: str, path: str, *, timeout: float = TIMEOUT) -> str:
    """HEALTHY, or in a few words what came instead. The address is `http://BIND:PORT`, as the release records it.

    Healthy is a success or a redirection (RFC 9110, 15.3 and 15.4): a page may send on to another, and the servers'
    own health paths give 200 or an error. Asked without any proxy of the environment.
    """
    bind, _, port = address.removeprefix("http://").rpartition(":")
    connection = http.client.HTTPConnection(reachable(bind), int(port), timeout=timeout)
    try:
        connection.request("GET", path or "/")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return "does not answer yet"
    finally:
        connection.close()
    return HEALTHY if 200 <= status < 400 else f"answers with HTTP {status}"
