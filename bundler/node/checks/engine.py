"""The container engine: there, new enough, able to give GPUs and to keep giving them."""

from __future__ import annotations

from bundler.node.checks.driver import version
from bundler.node.facts import Facts
from bundler.node.findings import Finding, Severity, good, unread
from bundler.node.needs import Needs

OLDEST = {"Docker": "20.10", "Podman": "4.3"}
"""The first Docker with cgroup v2; and the oldest of each that the tests run on."""
_SLOW_STORAGE = {
    "vfs": "it copies each layer whole: an image takes many times its size",
    "devicemapper": "it was removed in Docker 25, and is limited to 10 GB a container by default",
    "aufs": "it was removed in Docker 24",
}
_OVERLAY = {
    "Docker": '"storage-driver": "overlay2" in /etc/docker/daemon.json, then systemctl restart docker',
    "Podman": 'driver = "overlay" in /etc/containers/storage.conf, then podman system reset   # removes all images',
}
_GIVE_GPUS = {
    "Docker": "nvidia-ctk runtime configure --runtime=docker && systemctl restart docker",
    "Podman": "nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml",
}


def engine(facts: Facts, needs: Needs) -> Finding:
    """Does an engine answer?"""
    if facts.engine and facts.engine.product == "Podman" and facts.engine.rootless:
        return Finding(
            "engine",
            Severity.BLOCK if needs.lock else Severity.WARN,
            f"Podman {facts.engine.version} runs without root",
            why="its containers' users are others outside: a job could not write its results, nor a service its state",
            remedy="sudo systemctl enable --now podman.socket   # and bundle as root, with --engine podman",
        )
    if facts.engine:
        return good("engine", f"{facts.engine.product} {facts.engine.version}")
    return Finding(
        "engine",
        Severity.BLOCK if needs.lock else Severity.WARN,
        facts.unreadable.get("engine", "no container engine was asked"),
        why="all that a bundle runs, it runs in containers",
        remedy="systemctl start docker   # or podman.socket; or DOCKER_HOST, where it is elsewhere",
    )


def engine_version(facts: Facts, _needs: Needs) -> Finding:
    """Is the engine new enough?"""
    if not facts.engine:
        return unread("engine-version", "the engine's version", facts.unreadable.get("engine", ""))
    product, oldest = facts.engine.product, OLDEST.get(facts.engine.product, OLDEST["Docker"])
    if version(facts.engine.version) >= version(oldest):
        return good("engine-version", facts.engine.version)
    return Finding(
        "engine-version",
        Severity.BLOCK,
        f"{product} {facts.engine.version} is older than {oldest}",
        why="device requests and cgroup v2 are not what they are since",
        remedy=f"carry a newer {product} across"
        + (": its static binaries need no network" if product == "Docker" else ", from your distribution's packages"),
        needed=oldest,
    )


def storage_driver(facts: Facts, _needs: Needs) -> Finding:
    """Does the engine keep images in a way that is fast and small?"""
    if not facts.engine:
        return unread("storage-driver", "the storage driver", facts.unreadable.get("engine", ""))
    why = _SLOW_STORAGE.get(facts.engine.storage)
    if not why:
        return good("storage-driver", facts.engine.storage)
    return Finding(
        "storage-driver",
        Severity.WARN,
        f"the engine keeps images by {facts.engine.storage}",
        why=why,
        remedy=_OVERLAY.get(facts.engine.product, _OVERLAY["Docker"]),
        needed="overlay" if facts.engine.product == "Podman" else "overlay2",
    )


def gpu_runtime(facts: Facts, needs: Needs) -> Finding:
    """Can the engine give GPUs to containers?"""
    if not needs.gpus:
        return good("gpu-runtime", "none needed")
    if not facts.engine:
        return unread("gpu-runtime", "whether containers can have GPUs", facts.unreadable.get("engine", ""))
    if facts.engine.offers_gpus:
        return good("gpu-runtime", "by NVIDIA's runtime" if facts.engine.has_runtime else "by CDI")
    return Finding(
        "gpu-runtime",
        Severity.BLOCK if needs.lock else Severity.WARN,
        "no CDI specification names GPUs"
        if facts.engine.product == "Podman"
        else "the engine has neither NVIDIA's container runtime nor CDI",
        why="containers would not see the GPUs",
        remedy=_GIVE_GPUS.get(facts.engine.product, _GIVE_GPUS["Docker"]),
    )


def cgroup_driver(facts: Facts, needs: Needs) -> Finding:
    """Would a `systemctl daemon-reload` take the GPUs away from running containers?"""
    if not needs.gpus or not facts.engine:
        return good("cgroup-driver", facts.engine.cgroup_driver if facts.engine else "none needed")
    trap = facts.engine.cgroup_driver == "systemd" and facts.engine.has_runtime and not facts.engine.cdi
    if not trap or facts.machine.device_links:
        return good("cgroup-driver", facts.engine.cgroup_driver)
    return Finding(
        "cgroup-driver",
        Severity.WARN,
        "the engine uses the systemd cgroup driver, and /dev/char has no links to the GPUs' devices",
        why="containers lose their GPUs at the next systemctl daemon-reload (nvidia-docker#1730)",
        remedy="nvidia-ctk system create-dev-char-symlinks --create-all   # at every boot, by a udev rule",
    )


def selinux(facts: Facts, _needs: Needs) -> Finding:
    """Will SELinux keep containers from the files that they are given?"""
    if facts.machine.selinux is None:
        return unread("selinux", "SELinux's mode", facts.machine.unreadable.get("selinux", ""))
    confines = bool(facts.engine) and any(
        "selinux" in option for option in (facts.engine.security if facts.engine else ())
    )
    if facts.machine.selinux != "enforcing" or not confines:
        return good(
            "selinux", facts.machine.selinux if facts.machine.selinux == "off" or confines else "not for containers"
        )
    return Finding(
        "selinux",
        Severity.WARN,
        "SELinux is enforcing, and the engine confines containers by it",
        why="containers may not read the store, nor open NVIDIA's devices, without labels that allow it",
        remedy=f"chcon -R -t container_file_t {facts.store}; setsebool -P container_use_devices on",
    )
