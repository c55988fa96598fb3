"""A node with four L20 that is as a bundle wants it, to be made worse in one place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.engine.info import EngineInfo
from bundler.manifest.lock import Hardware, Lock, LockedAgent, LockedFile, LockedFiles, LockedImage, Mount, Workload
from bundler.node.checks import Finding, judge
from bundler.node.facts import Disk, Fabric, Facts, Gpu, Host, Mig, Pcie, Peer, Remapped
from bundler.node.needs import Needs

GIB = 1 << 30
FIXTURES = Path(__file__).parents[1] / "fixtures" / "facts"
ENGINE = EngineInfo("20.10.24", "overlay2", "/var/lib/docker", ("runc", "nvidia"), cdi=False, cgroup_driver="cgroupfs")
OURS = "a" * 64
# As nvidia-smi shows an L20: 46068 MiB of the 48 GiB on its label
L20 = Gpu(
    0,
    "NVIDIA L20",
    "GPU-0",
    "8.9",
    46068 << 20,
    45000 << 20,
    bus_id="00000000:3b:00.0",
    ecc_uncorrected=0,
    sram_exceeded=False,
    remapped=Remapped(0, 0, pending=False, failed=False),
    recovery="none",
    clock_reasons=1,
    temperature=40,
    persistence=True,
    mig=Mig(enabled=False, pending=False, instances=0),
    pcie=Pcie(1, 16, 4, 16),
    links_up=0,
    links=0,
    fabric=Fabric("not supported", 0),
    numa=0,
    peers=(Peer(1, "NODE", "ok"),),
)
HOST = Host(
    memory_total=256 * GIB,
    memory_available=250 * GIB,
    cgroup_limit=-1,
    swap_total=0,
    swap_free=0,
    huge_pages=0,
    transparent_huge_pages="madvise",
    numa_nodes=2,
    numa_balancing=False,
    shm=128 * GIB,
    memlock=8 << 20,
    selinux="off",
    clock=1_790_000_000,
    virtual=False,
    device_links=True,
    fabric_manager=False,
    nvidia_devices=4,
)
ROOMY = Disk(1000 * GIB, 200 * GIB, 60_000_000, 50_000_000)
FACTS = Facts(
    "node",
    "6.1",
    32,
    machine=HOST,
    driver="560.35.03",
    cuda="12.6",
    gpus=tuple(replace(L20, index=index) for index in range(4)),
    engine=ENGINE,
    store="/store",
    disks={"/var/lib/docker": ROOMY, "/store": ROOMY},
)


def blob(size: int = 1) -> Descriptor:
    return Descriptor("x", Digest.of(str(size).encode()), size)


DEEPSPEED = json.dumps({"zero_optimization": {"stage": 3, "offload_optimizer": {"device": "cpu"}}})
LOCK = Lock(
    1,
    "demo",
    "1",
    LockedAgent("0", blob()),
    Hardware(gpus=4, model="L20", memory=48 * 10**9, capability="8.9", driver="525"),
    images=(
        LockedImage("train", "pytorch/pytorch:2.6.0-cuda12.6-cudnn9-devel", blob(), (blob(), blob(8 * GIB))),
        LockedImage("serve", "vllm/vllm-openai:v0.8.5.post1", blob(), (blob(), blob(9 * GIB))),
    ),
    models=(LockedFiles("base", "hub", blob(), (LockedFile("w", Digest.of(b"w"), 65 * GIB),)),),
    workloads=(
        Workload("train", "llamafactory", "train", ("x",), files={"train.yaml": "bf16: true\n"}, gpus=4, shm=16 * GIB),
        Workload("merge", "merge", "train", ("x",), (Mount("models/base", "/bundle/model"),)),
        Workload(
            "serve", "vllm", "serve", ("vllm", "serve", "--gpu-memory-utilization", "0.9"), gpus=4, port=1, shm=16 * GIB
        ),
    ),
)
NEEDS = replace(Needs.of_bundle(LOCK), made="2026-05-01T10:00:00.123456789Z", ports=frozenset({1}))


def facts(gpu: Mapping[str, Any] | None = None, host: Mapping[str, Any] | None = None, **whole: Any) -> Facts:
    """The node as planned, with other values in each GPU, in its host, in the whole."""
    gpus = tuple(replace(each, **(gpu or {})) for each in FACTS.gpus)
    return replace(FACTS, gpus=gpus, machine=replace(HOST, **(host or {})), **whole)


def needs(**changed: Any) -> Needs:
    """The bundle, with all of its workloads changed in this way."""
    lock = replace(LOCK, workloads=tuple(replace(workload, **changed) for workload in LOCK.workloads))
    return replace(NEEDS, lock=lock)


def finding(name: str, found: Facts, asked: Needs = NEEDS) -> Finding:
    return next(each for each in judge(found, asked) if each.check == name)
