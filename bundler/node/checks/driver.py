"""The driver: new enough for what the bundle was planned for, for the images' CUDA, and for NVIDIA's runtime."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable

from bundler.node.facts import Facts
from bundler.node.findings import Finding, Severity, good, unread
from bundler.node.needs import ImageNeeds, Needs

NEWER = "carry a newer driver across: the .run installer needs no network"
MINOR_COMPATIBLE = {11: 450, 12: 525, 13: 580}
"""The first driver that runs any CUDA of a major version (CUDA compatibility guide, minor version compatibility)."""
_CONDITION = re.compile(r"(cuda|driver|brand|arch)(>=|<=|!=|=|<|>)([A-Za-z0-9.]+)")
_COMPARE: dict[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}


def version(text: str) -> tuple[int, ...]:
    """The numbers of a version, for comparing."""
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def devices(facts: Facts, needs: Needs) -> Finding:
    """Does the driver have every GPU that is plugged in?"""
    plugged = facts.machine.nvidia_devices
    if plugged is None:
        return unread("gpu-devices", "the PCI bus", facts.machine.unreadable.get("nvidia_devices", ""))
    if len(facts.gpus) >= plugged:
        return good("gpu-devices", f"the driver has all {plugged} that are plugged in" if plugged else "none there")
    return Finding(
        "gpu-devices",
        Severity.BLOCK if needs.gpus else Severity.WARN,
        f"{plugged} GPUs of NVIDIA are on the PCI bus, the driver has {len(facts.gpus)} of them",
        why=facts.unreadable.get("gpus") or "one has fallen off the bus, or the driver does not know it",
        remedy="dmesg | grep -i -e NVRM -e nvidia   # says why; nvidia-smi -L lists those that it has",
    )


def driver(facts: Facts, needs: Needs) -> Finding:
    """Is the driver as new as the manifest asks for?"""
    wanted = needs.hardware.driver
    if not needs.gpus or (facts.driver and not wanted) or (wanted and version(facts.driver) >= version(wanted)):
        return good("driver", facts.driver or "none needed")
    return Finding(
        "driver",
        Severity.BLOCK,
        f"the NVIDIA driver is {facts.driver or 'not there'}, "
        + (f"the bundle needs {wanted} or newer" if wanted else "and there are GPUs"),
        why=facts.unreadable.get("gpus") or "CUDA in a container needs a driver of its own time or newer",
        remedy=NEWER,
        needed=wanted,
    )


def driver_cuda(facts: Facts, needs: Needs) -> Finding:
    """Does the driver run the images' CUDA? Any of the same major version, from the first driver that knew that one.

    Older drivers run it with the image's own cuda-compat libraries on data-centre GPUs only (error 804 elsewhere).
    """
    behind = []
    for image in needs.images:
        floor = MINOR_COMPATIBLE.get(int(image.cuda.split(".")[0])) if image.cuda else None
        if floor and version(facts.driver) < (floor,):
            return Finding(
                "driver-cuda",
                Severity.BLOCK,
                f"the driver {facts.driver or '(none)'} does not run CUDA {image.cuda} of the image {image.name}",
                why=f"CUDA {image.cuda.split('.')[0]} needs driver {floor} (CUDA compatibility guide); forward "
                "compatibility is for data-centre GPUs only, others fail with error 804",
                remedy=NEWER,
                needed=str(floor),
            )
        if image.cuda and facts.cuda and version(facts.cuda) < version(image.cuda):
            behind.append(f"CUDA {image.cuda} of the image {image.name}")
    if not behind:
        known = ", ".join(sorted({image.cuda for image in needs.images if image.cuda}))
        return good("driver-cuda", f"CUDA {facts.cuda or 'unknown'} by the driver, {known or 'none'} in the images")
    return Finding(
        "driver-cuda",
        Severity.WARN,
        f"the driver speaks CUDA {facts.cuda}, older than {'; '.join(dict.fromkeys(behind))}",
        why="compiled code runs, PTX of a newer toolkit does not (CUDA compatibility guide, minor versions)",
        remedy=NEWER,
    )


def driver_require(facts: Facts, needs: Needs) -> Finding:
    """Will NVIDIA's runtime start the images? Theirs ask for a CUDA, or for old drivers of some brands of GPU only."""
    for image in needs.images if facts.gpus else ():
        if image.require and not _satisfied(image, facts):
            return Finding(
                "driver-require",
                Severity.BLOCK,
                f"NVIDIA's runtime will not start the image {image.name} on {facts.gpus[0].name}",
                why=f"its NVIDIA_REQUIRE_CUDA asks for {image.require.split()[0]} and lists no exception for this GPU "
                f"and driver {facts.driver} (CUDA {facts.cuda}); GeForce cards are seldom in those lists",
                remedy=NEWER,
                needed=image.require.split()[0],
            )
    asked = ", ".join(image.require.split()[0] for image in needs.images if image.require)
    return good("driver-require", asked or "the images ask for nothing")


def _satisfied(image: ImageNeeds, facts: Facts) -> bool:
    """Spaces mean or, commas mean and (nvidia-container-cli, --require)."""
    return any(all(_holds(part, facts) for part in either.split(",")) for either in image.require.split())


def _holds(condition: str, facts: Facts) -> bool:
    match = _CONDITION.fullmatch(condition)
    if not match:
        return False
    what, compare, wanted = match.groups()
    if what == "brand":
        consumer = wanted.startswith(("geforce", "titan"))
        return consumer == facts.gpus[0].is_geforce
    have = {"cuda": facts.cuda, "driver": facts.driver, "arch": facts.gpus[0].capability}[what]
    return _COMPARE[compare](version(have), version(wanted))
