"""Checks: what a node lacks is said before anything is loaded, with the command that mends it."""

from __future__ import annotations

import os
import socket
from dataclasses import replace

import pytest

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.engine.docker import EngineInfo
from bundler.manifest.lock import Hardware, Lock, LockedAgent, LockedFile, LockedFiles, LockedImage, Mount, Workload
from bundler.node.checks import CHECKS, Finding, NodeRefused, Severity, judge, ports
from bundler.node.facts import Facts, Gpu, read_gpus

GIB = 1 << 30
# As NVML gave it on a real machine with one H200 (driver 580.159.04)
H200 = Gpu(0, "NVIDIA H200", "GPU-1ca7ef71-2177-8268-592b-90c0c63251d2", "9.0", 150754820096, 150109880320)
# As nvidia-smi shows an L20: 46068 MiB of the 48 GiB on its label
L20 = Gpu(0, "NVIDIA L20", "GPU-0", "8.9", 46068 << 20, 45000 << 20)
ENGINE = EngineInfo("20.10.24", "overlay2", "/var/lib/docker", ("runc", "nvidia"), cdi=False)


def blob(size: int = 1) -> Descriptor:
    return Descriptor("x", Digest.of(str(size).encode()), size)


LOCK = Lock(
    1,
    "demo",
    "1",
    LockedAgent("0", blob()),
    Hardware(gpus=4, model="L20", memory=48 * GIB, capability="8.9", driver="525"),
    images=(LockedImage("serve", "x", blob(), (blob(), blob(8 * GIB))),),
    models=(LockedFiles("base", "hub", blob(), (LockedFile("w", Digest.of(b"w"), 65 * GIB),)),),
    workloads=(Workload("merge", "merge", "serve", ("x",), (Mount("models/base", "/bundle/model"),)),),
)
FACTS = Facts(
    "node",
    "6.1",
    32,
    256 * GIB,
    driver="535.129.03",
    gpus=tuple(replace(L20, index=index) for index in range(4)),
    engine=ENGINE,
    store="/store",
    free={"/var/lib/docker": 200 * GIB, "/store": 200 * GIB},
)


def finding(name: str, facts: Facts, lock: Lock = LOCK) -> Finding:
    return next(found for found in judge(facts, lock) if found.check == name)


def test_a_node_as_planned_passes_every_check() -> None:
    assert {found.severity for found in judge(FACTS, LOCK)} == {Severity.PASS}


@pytest.mark.parametrize(
    ("check", "facts", "severity", "said"),
    [
        ("gpu-count", replace(FACTS, gpus=FACTS.gpus[:2]), Severity.BLOCK, "2 GPUs are visible, the bundle needs 4"),
        ("gpu-count", replace(FACTS, gpus=(), unreadable={"gpus": "NVML: no driver"}), Severity.BLOCK, "0 GPUs"),
        ("gpu-model", replace(FACTS, gpus=(H200,) * 4), Severity.WARN, "NVIDIA H200"),
        ("gpu-memory", replace(FACTS, gpus=(replace(L20, memory_total=24 * GIB),) * 4), Severity.BLOCK, "25.8 GB"),
        ("gpu-capability", replace(FACTS, gpus=(replace(L20, capability="7.5"),) * 4), Severity.BLOCK, "7.5"),
        ("driver", replace(FACTS, driver="470.57"), Severity.BLOCK, "470.57"),
        ("driver", replace(FACTS, driver=""), Severity.BLOCK, "not there"),
        ("gpu-runtime", replace(FACTS, engine=replace(ENGINE, runtimes=("runc",))), Severity.BLOCK, "runtime"),
        ("disk", replace(FACTS, free={"/var/lib/docker": 4 * GIB}), Severity.WARN, "are free"),
        ("disk", replace(FACTS, free={}), Severity.UNREADABLE, "can't be looked at"),
        ("results-disk", replace(FACTS, free={"/store": 60 * GIB}), Severity.WARN, "may take 76.8 GB"),
        ("results-disk", replace(FACTS, free={}), Severity.UNREADABLE, "can't be looked at"),
    ],
)
def test_a_node_that_does_not_fit_is_told_what_is_wrong(
    check: str, facts: Facts, severity: Severity, said: str
) -> None:
    found = finding(check, facts)
    assert (found.severity, said in found.what) == (severity, True), found


def test_every_check_has_a_case_that_fails_above() -> None:
    marks = test_a_node_that_does_not_fit_is_told_what_is_wrong.pytestmark
    tested = {case[0] for case in marks[0].args[1]}
    assert tested == {check(FACTS, LOCK).check for check in CHECKS}


def test_a_newer_gpu_and_driver_are_not_refused() -> None:
    newer = replace(FACTS, gpus=tuple(replace(H200, index=index) for index in range(8)), driver="580.159.04")
    assert {found.severity for found in judge(newer, LOCK)} == {Severity.PASS, Severity.WARN}


def test_a_bundle_for_the_cpu_needs_no_driver_no_gpu_no_runtime() -> None:
    bare = Facts("node", "6.1", 2, GIB, engine=replace(ENGINE, runtimes=()), store="/store", free=FACTS.free)
    assert {found.severity for found in judge(bare, replace(LOCK, hardware=Hardware()))} == {Severity.PASS}


def test_the_worst_finding_stands_first() -> None:
    order = [found.severity for found in judge(replace(FACTS, gpus=(H200,), free={}), LOCK)]
    assert order == sorted(order, key=list(Severity).index)
    assert order[0] is Severity.BLOCK


def test_a_refusal_names_what_blocks_and_each_remedy() -> None:
    refusal = NodeRefused(judge(replace(FACTS, gpus=(), driver=""), LOCK))
    assert refusal.exit_code == 13
    assert "0 GPUs are visible" in refusal.what
    assert "nvidia-smi -L" in (refusal.hint or "")


def test_a_taken_port_is_refused_with_the_process_that_holds_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        lock = replace(LOCK, workloads=(Workload("serve", "vllm", "serve", ("vllm",), port=port),))
        found = ports(lock, ours=())
        assert found.severity is Severity.BLOCK
        assert f"port {port}" in found.what
        assert f"process {os.getpid()} (" in found.why
        assert ports(lock, ours=[port]).severity is Severity.PASS
    assert ports(lock, ours=()).severity is Severity.PASS


def test_a_machine_without_a_driver_says_why_it_has_no_gpus() -> None:
    driver, gpus, problem = read_gpus()
    assert bool(problem) == (not driver)
    assert bool(gpus) == (not problem)
