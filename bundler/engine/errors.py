"""What an engine can refuse."""

from __future__ import annotations

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
