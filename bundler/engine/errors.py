"""What an engine can refuse."""

from __future__ import annotations

from typing import Any

from bundler.core.errors import BundlerError


class EngineFailed(BundlerError):
    """The engine answered with an error, or not at all."""


class NoEngine(EngineFailed):
    """No engine answers."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(
            f"no container engine answers at {where}",
            because=problem,
            hint="systemctl start docker   # or set DOCKER_HOST to the engine's socket; then: docker version",
        )


def require_ours(network: dict[str, Any], labels: dict[str, str], *, internal: bool) -> None:
    """A network of this name that lets packets out, or is somebody else's, would undo what ours promises."""
    if bool(network.get("Internal")) != internal or not labels.items() <= (network.get("Labels") or {}).items():
        raise EngineFailed(
            f"there is a network {network['Name']} on this engine that bundle did not make",
            because=f"it is {'' if network.get('Internal') else 'not '}internal, or lacks the label {labels}",
            hint=f"docker network inspect {network['Name']}   # rename or remove it, then run the same command again",
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
