"""Which engine is meant, and where it listens: asked of the environment, so that all of a run means the same one.

`--engine` and the setting of that name end in BUNDLE_ENGINE; DOCKER_HOST and CONTAINER_HOST are the engines' own
variables (docker(1), podman-remote(1)). Imports no SDK: `bundle status` asks here too.
"""

from __future__ import annotations

import os
import socket
from urllib.parse import urlsplit

VARIABLE = "BUNDLE_ENGINE"
KINDS = ("auto", "docker", "podman")
DOCKER_SOCKET = "unix:///var/run/docker.sock"
PODMAN_SOCKET = "unix:///run/podman/podman.sock"


def choose(kind: str) -> None:
    """From now on, in this process and in those that it starts, the engine is of this kind: one of KINDS."""
    if kind == "auto":
        os.environ.pop(VARIABLE, None)
    else:
        os.environ[VARIABLE] = kind


def chosen() -> str:
    """The kind that was chosen; `auto` where nothing was, or nothing that is one."""
    kind = os.environ.get(VARIABLE, "")
    return kind if kind in KINDS else "auto"


def places() -> tuple[str, ...]:
    """Where an engine of this kind may listen: where a variable says, else its usual sockets, in order."""
    kind = chosen()
    said = os.environ.get("CONTAINER_HOST") if kind == "podman" else None
    if said := said or os.environ.get("DOCKER_HOST"):
        return (said,)
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    of_user = (f"unix://{runtime}/podman/podman.sock",) if runtime and os.geteuid() else ()
    podman = (*of_user, PODMAN_SOCKET)
    return {"docker": (DOCKER_SOCKET,), "podman": podman}.get(kind, (DOCKER_SOCKET, *podman))


def endpoint() -> str:
    """Where the engine is: the first of its places at which something listens, else the first of all."""
    possible = places()
    return next((place for place in possible if len(possible) == 1 or _listens(place)), possible[0])


def client() -> str:
    """The engine's own command line, for hints: `docker` or `podman`."""
    return "podman" if chosen() == "podman" or "podman" in endpoint() else "docker"


def _listens(place: str) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(5)
            probe.connect(urlsplit(place).path)
    except OSError:
        return False
    return True
