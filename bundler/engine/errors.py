"""What an engine can refuse."""

from __future__ import annotations

import errno
import os
from typing import Any

from bundler.core.errors import BundlerError, UsageInvalid
from bundler.engine.endpoint import chosen, client, kind_at


class EngineFailed(BundlerError):
    """The engine answered with an error, or not at all."""


class NoEngine(EngineFailed):
    """No engine answers, or it does not let this user in."""

    def __init__(self, where: str, problem: str) -> None:
        start = {
            "docker": "systemctl start docker   # or set DOCKER_HOST to the engine's socket; then: docker version",
            "podman": "systemctl start podman.socket   # or set CONTAINER_HOST to its socket; then: podman info",
        }
        if os.strerror(errno.EACCES).lower() in problem.lower():
            start["docker"] = "sudo usermod -aG docker $USER   # then log in again; or run this as root"
            start["podman"] = "sudo podman info   # its socket is root's alone: run this as root"
        super().__init__(f"no container engine answers at {where}", because=problem, hint=start[client()])


class OtherEngine(UsageInvalid):
    """The engine that answers is not of the kind that was asked for."""

    def __init__(self, where: str, product: str) -> None:
        super().__init__(
            f"the engine at {where} is {product}, not {chosen()}",
            because="--engine, BUNDLE_ENGINE or the settings ask for another than DOCKER_HOST or CONTAINER_HOST name",
            hint=f"the same command with --engine {product.lower()}, or the other engine's socket in DOCKER_HOST",
        )


class InAnotherEngine(UsageInvalid):
    """A release's containers are in another engine than the one that was asked."""

    def __init__(self, release: str, where: str, meant: str) -> None:
        super().__init__(
            f"the containers of {release} are in the engine at {where}, not in the one at {meant}",
            because="both engines answer here, and this one was asked",
            hint=("unset DOCKER_HOST; " if "DOCKER_HOST" in os.environ else "")
            + f"export BUNDLE_ENGINE={kind_at(where)}   # then the same command; or take it down there first",
        )


def require_ours(network: dict[str, Any], labels: dict[str, str], *, internal: bool) -> None:
    """A network of this name that lets packets out, or is somebody else's, would undo what ours promises."""
    if bool(network.get("Internal")) != internal or not labels.items() <= (network.get("Labels") or {}).items():
        raise EngineFailed(
            f"there is a network {network['Name']} on this engine that bundle did not make",
            because=f"it is {'' if network.get('Internal') else 'not '}internal, or lacks the label {labels}",
            hint=f"{client()} network inspect {network['Name']}   # rename or remove it, then run this again",
        )


def root_cause(error: BaseException) -> str:
    """What the operating system said, below the layers of libraries that pass it on."""
    causes: list[object] = [error]
    for cause in causes:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        if isinstance(cause, BaseException):
            causes += [*cause.args, cause.__cause__, cause.__context__]
    return str(error)
