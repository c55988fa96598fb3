"""Which containers are ours: one question to the engine, without the docker SDK, whose import takes 0.2 s.

`bundle status` asks nothing else, and is run in loops by people and scripts.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from bundler.engine.endpoint import endpoint, others
from bundler.engine.errors import EngineFailed, InAnotherEngine, NoEngine
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
    return _containers(bundle, endpoint())


def elsewhere(bundle: str | None = None) -> dict[str, tuple[Listed, ...]]:
    """The same of the other engines of this machine, by where they listen. One that gives no answer has none."""
    found = {}
    for where in others():
        with suppress(EngineFailed):
            found[where] = _containers(bundle, where)
    return found


def of_release(bundle: str, directory: Path) -> tuple[Listed, ...]:
    """The containers of the release in a directory, running or not.

    Raises NoEngine, EngineFailed; InAnotherEngine where there are none, and another engine of this machine has some:
    else a release that runs would be told as down.
    """
    found = tuple(listed for listed in containers(bundle) if listed.directory == str(directory))
    if not found:
        for where, there in elsewhere(bundle).items():
            if any(listed.directory == str(directory) for listed in there):
                raise InAnotherEngine(bundle, where, endpoint())
    return found


def _containers(bundle: str | None, where: str) -> tuple[Listed, ...]:
    label = f"{labels.BUNDLE}={bundle}" if bundle else labels.BUNDLE
    try:
        listed = tuple(_read(found) for found in _ask(label, where))
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


def _ask(label: str, where: str) -> list[dict[str, Any]]:
    filters = json.dumps({"label": [label]})
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
