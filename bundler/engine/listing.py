"""Which containers are ours: one question to the engine, without the docker SDK, whose import takes 0.2 s.

`bundle status` asks nothing else, and is run in loops by people and scripts.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from bundler.engine.endpoint import endpoint
from bundler.engine.errors import EngineFailed, NoEngine
from bundler.workloads import labels


@dataclass(frozen=True, slots=True)
class Listed:
    """A container of a bundle. `state` is the engine's word (running, exited, ...), `status` its sentence.

    `ports` are those of the node that it holds.
    """

    id: str
    name: str
    bundle: str
    workload: str
    role: str
    fingerprint: str
    directory: str
    state: str
    status: str
    ports: tuple[int, ...]


def containers(bundle: str | None = None) -> tuple[Listed, ...]:
    """The containers of one bundle (`name`), or of all, running or not. Raises NoEngine, EngineFailed."""
    label = f"{labels.BUNDLE}={bundle}" if bundle else labels.BUNDLE
    try:
        listed = tuple(_read(found) for found in _ask(label))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        said = f"its answer can't be read: {type(error).__name__}: {error}"
        raise EngineFailed("the engine can't list containers", because=said) from error
    return tuple(sorted(listed, key=lambda container: container.name))


def _read(found: dict[str, Any]) -> Listed:
    stated: dict[str, str] = found["Labels"]
    return Listed(
        found["Id"],
        (found.get("Names") or [found["Id"][:12]])[0].lstrip("/"),  # none while it is being removed
        stated[labels.BUNDLE],
        stated.get(labels.WORKLOAD, ""),
        stated.get(labels.ROLE, ""),
        stated.get(labels.FINGERPRINT, ""),
        stated.get(labels.DIRECTORY, ""),
        found["State"],
        found["Status"],
        tuple(sorted({port["PublicPort"] for port in found.get("Ports") or () if "PublicPort" in port})),
    )


def _ask(label: str) -> list[dict[str, Any]]:
    filters = json.dumps({"label": [label]})
    where = endpoint()
    address = urlsplit(where)
    try:
        port = address.port or 2375
    except ValueError as error:
        raise NoEngine(where, f"that is no address: {error}") from error
    if address.scheme == "unix":
        connection: http.client.HTTPConnection = _UnixConnection(address.path)
    elif address.scheme in ("tcp", "http") and not os.environ.get("DOCKER_TLS_VERIFY"):
        connection = http.client.HTTPConnection(address.hostname or "127.0.0.1", port, timeout=30)
    else:
        return _ask_sdk(filters)
    try:
        connection.request("GET", f"/containers/json?all=1&filters={quote(filters)}")
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise NoEngine(where, getattr(error, "strerror", None) or str(error)) from error
    finally:
        connection.close()
    if answer.status != 200:
        raise EngineFailed("the engine can't list containers", because=body.decode(errors="replace")[:500])
    listed: list[dict[str, Any]] = json.loads(body)
    return listed


def _ask_sdk(filters: str) -> list[dict[str, Any]]:
    """Over TLS or SSH the docker SDK knows the way."""
    from bundler.engine.docker import DockerEngine

    return DockerEngine.connect().list_containers(json.loads(filters))


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
