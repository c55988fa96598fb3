"""Which engine is meant, and where it listens: asked of the environment, so that all of a run means the same one.

`--engine` and the setting of that name end in BUNDLE_ENGINE; DOCKER_HOST and CONTAINER_HOST are the engines' own
variables (docker(1), podman-remote(1)). Imports no SDK: `bundle status` asks here too.
"""

from __future__ import annotations

import errno
import os
import socket
from functools import cache
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
    podman = _podman_sockets()
    return {"docker": (DOCKER_SOCKET,), "podman": podman}.get(kind, (DOCKER_SOCKET, *podman))


def _podman_sockets() -> tuple[str, ...]:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    of_user = (f"unix://{runtime}/podman/podman.sock",) if runtime and os.geteuid() else ()
    return (*of_user, PODMAN_SOCKET)


def endpoint() -> str:
    """Where the engine is: the first of its places at which one listens, else the first of all.

    One that listens and lets us not in is meant all the same: another would be asked of containers that it does not
    have. What is found holds for the rest of the process, also where that engine ends meanwhile.
    """
    possible = places()
    if len(possible) == 1:
        return possible[0]
    try:
        return _first(possible)
    except LookupError:
        return possible[0]


def others() -> tuple[str, ...]:
    """The usual sockets at which another engine than the one that is meant lets us in."""
    meant = os.path.realpath(urlsplit(endpoint()).path)
    usual = (DOCKER_SOCKET, *_podman_sockets())  # of podman-docker the first is a link to the last
    return tuple(place for place in usual if os.path.realpath(urlsplit(place).path) != meant and _answer(place) == 0)


def client() -> str:
    """The engine's own command line, for hints: `docker` or `podman`."""
    return "podman" if chosen() == "podman" else kind_at(endpoint())


def kind_at(where: str) -> str:
    """`docker` or `podman`, as an engine's address says: Podman's sockets lie in a directory of its name."""
    return "podman" if "podman" in where else "docker"


@cache
def _first(possible: tuple[str, ...]) -> str:
    """Raises LookupError where none listens, which may change, and is not kept."""
    for place in possible:
        if _answer(place) in (0, errno.EACCES):
            return place
    raise LookupError


def _answer(place: str) -> int:
    """What connecting to a socket gives: 0, or an error's number (connect(2))."""
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(5)
            return probe.connect_ex(urlsplit(place).path)
    except OSError:  # no path that a socket can have
        return errno.ENAMETOOLONG
