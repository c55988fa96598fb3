"""What a container engine says of itself. Apart from the docker SDK, whose import takes 0.2 s."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """`product` is Docker or Podman.

    `root` is the engine's data directory on its own machine; `security` its options (`name=selinux`).
    """

    version: str
    storage: str
    root: str
    runtimes: tuple[str, ...]
    cdi: bool
    cgroup_driver: str = ""
    cgroup_version: str = ""
    security: tuple[str, ...] = ()
    product: str = "Docker"

    @property
    def rootless(self) -> bool:
        """Whether the engine runs without root, and its containers' users are others on the node."""
        return any("rootless" in option for option in self.security)

    @property
    def offers_gpus(self) -> bool:
        """Whether containers can be given NVIDIA GPUs: by NVIDIA's runtime, or by CDI."""
        return self.has_runtime or self.cdi

    @property
    def has_runtime(self) -> bool:
        """Whether GPUs go through NVIDIA's runtime. Podman is asked for them by CDI, whatever runtimes it lists."""
        return self.product == "Docker" and "nvidia" in self.runtimes
