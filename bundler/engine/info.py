"""What a container engine says of itself. Apart from the docker SDK, whose import takes 0.2 s."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """`root` is the engine's data directory on its own machine; `security` its options (`name=selinux`)."""

    version: str
    storage: str
    root: str
    runtimes: tuple[str, ...]
    cdi: bool
    cgroup_driver: str = ""
    cgroup_version: str = ""
    security: tuple[str, ...] = ()

    @property
    def offers_gpus(self) -> bool:
        """Whether containers can be given NVIDIA GPUs: by NVIDIA's runtime, or by CDI."""
        return "nvidia" in self.runtimes or self.cdi
