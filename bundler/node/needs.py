"""What a bundle asks of a node, as far as its checks go: read out of the lock and of its images' configs, once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from bundler.manifest.lock import GpuMemory, Hardware, Lock, LockedImage, Workload
from bundler.node.architectures import versions
from bundler.node.facts import Facts


@dataclass(frozen=True, slots=True)
class ImageNeeds:
    """An image that sees GPUs. `require` is its NVIDIA_REQUIRE_CUDA, to which NVIDIA's runtime holds the driver, unless
    the image sets NVIDIA_DISABLE_REQUIRE.
    """

    name: str
    torch: str = ""
    cuda: str = ""
    require: str = ""


@dataclass(frozen=True, slots=True)
class Needs:
    """What must be there. `gpus` is how many; without a bundle, `lock` is None and all that are there are judged.

    `ours` are the ids of this bundle's containers that run already, `ports` those that they hold. `made` is when the
    newest image was made (RFC 3339).
    """

    gpus: int
    hardware: Hardware = field(default_factory=Hardware)
    lock: Lock | None = None
    images: tuple[ImageNeeds, ...] = ()
    made: str = ""
    ours: frozenset[str] = frozenset()
    ports: frozenset[int] = frozenset()

    @classmethod
    def of_node(cls, facts: Facts) -> Needs:
        """No bundle: the node as it is, with all its GPUs."""
        return cls(gpus=max(len(facts.gpus), facts.machine.nvidia_devices or 0))

    @classmethod
    def of_bundle(cls, lock: Lock, environments: Mapping[str, Mapping[str, str]] | None = None) -> Needs:
        """What a lock asks for. `environments` are the variables of its images' configs, by image."""
        seeing = {workload.image for workload in lock.workloads if workload.gpus}
        told = environments or {}
        images = tuple(_image(image, told.get(image.name, {})) for image in lock.images if image.name in seeing)
        return cls(gpus=lock.hardware.gpus, hardware=lock.hardware, lock=lock, images=images)

    @property
    def weights(self) -> Mapping[str, int]:
        """Bytes of each model, by the source of its mounts."""
        models = self.lock.models if self.lock else ()
        return {f"models/{model.name}": sum(file.size for file in model.files) for model in models}

    @property
    def predicted(self) -> Mapping[str, GpuMemory]:
        """What the plan in front of the gap predicted, by workload; empty for a bundle of an older program."""
        return {memory.workload: memory for memory in self.lock.memory} if self.lock else {}

    @property
    def workloads(self) -> tuple[Workload, ...]:
        """The workloads, in the order in which they run."""
        return self.lock.workloads if self.lock else ()


def _image(image: LockedImage, environment: Mapping[str, str]) -> ImageNeeds:
    torch, cuda = versions(image, environment)
    waived = environment.get("NVIDIA_DISABLE_REQUIRE", "").lower() in ("1", "t", "true")  # Go's ParseBool
    require = "" if waived else environment.get("NVIDIA_REQUIRE_CUDA", "").strip()
    return ImageNeeds(image.name, torch, cuda, require)


def setting(workload: Workload, key: str) -> str:
    """The value of a key in the flat YAML files of a job (`bf16: true`), or of a flag of its command; empty if none."""
    for text in workload.files.values():
        for line in text.splitlines():
            if line.startswith(f"{key}:"):
                return line.partition(":")[2].strip().strip("\"'")
    flag = f"--{key.replace('_', '-')}"
    for word, following in zip(workload.command, (*workload.command[1:], ""), strict=True):
        if word == flag:
            return following
        if word.startswith(f"{flag}="):
            return word.partition("=")[2]
    return ""


def offloaded(workload: Workload) -> tuple[bool, bool]:
    """Whether DeepSpeed keeps the optimizer, and the parameters, in the host's memory."""
    document = json.loads(workload.files.get("deepspeed.json", "{}"))
    zero = document.get("zero_optimization") or {}
    optimizer, parameters = (zero.get(key) or {} for key in ("offload_optimizer", "offload_param"))
    return optimizer.get("device") in ("cpu", "nvme"), parameters.get("device") in ("cpu", "nvme")
