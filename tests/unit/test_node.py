"""Checks: what a node lacks is said before anything is loaded, with the command that mends it."""

from __future__ import annotations

import os
import re
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from node_cases import DEEPSPEED, ENGINE, FACTS, FIXTURES, GIB, HOST, L20, LOCK, NEEDS, OURS, facts, finding, needs
from test_acs import behind_one_switch

from bundler.cli.findings import as_table
from bundler.manifest.gpus import Capability
from bundler.manifest.lock import Hardware, Mount, Workload
from bundler.node.architectures import sets_for
from bundler.node.checks import CHECKS, Finding, NodeRefused, Severity, accepting, judge, ports
from bundler.node.facts import Disk, Fabric, Facts, GpuProcess, Mig, Pcie, Peer, Remapped, Xid, parse
from bundler.node.findings import blocking
from bundler.node.needs import Needs

BLOCK, WARN, UNREADABLE = Severity.BLOCK, Severity.WARN, Severity.UNREADABLE
UNREAD = {"unreadable": {"recovery": "Unknown Error", "links": "Unknown Error"}}
H200S = tuple(replace(L20, index=index, name="NVIDIA H200", capability="9.0") for index in range(4))
RTX5090S = tuple(replace(L20, index=index, name="NVIDIA GeForce RTX 5090", capability="12.0") for index in range(4))
T4 = {"name": "Tesla T4", "capability": "7.5"}
GEFORCE = {"name": "NVIDIA GeForce RTX 4090"}
REQUIRE = "cuda>=12.6 brand=tesla,driver>=550,driver<551 brand=nvidia,driver>=550,driver<551"
ASKING = replace(NEEDS, images=tuple(replace(image, require=REQUIRE) for image in NEEDS.images))
SLOW = {"clock_reasons": 0x40, "temperature": 91}
SHORT_OF_ROOM = {"/var/lib/docker": Disk(40 * GIB, 4 * GIB), "/store": Disk(600 * GIB, 60 * GIB)}
NO_INODES = {"/store": Disk(900 * GIB, 500 * GIB, 10_000_000, 900)}
SYSTEMD = replace(ENGINE, cgroup_driver="systemd")
CASES: list[tuple[str, Facts, Needs, Severity, str]] = [
    ("gpu-count", replace(FACTS, gpus=FACTS.gpus[:2]), NEEDS, BLOCK, "2 GPUs are visible, the bundle needs 4"),
    ("gpu-model", replace(FACTS, gpus=H200S), NEEDS, WARN, "NVIDIA H200"),
    ("gpu-mixed", replace(FACTS, gpus=(H200S[0], *FACTS.gpus[1:])), NEEDS, WARN, "NVIDIA H200, NVIDIA L20"),
    ("gpu-capability", facts({"capability": "7.5"}), NEEDS, BLOCK, "7.5"),
    ("architecture", replace(FACTS, gpus=RTX5090S), NEEDS, BLOCK, "no code for NVIDIA GeForce RTX 5090"),
    ("architecture", FACTS, replace(NEEDS, images=(replace(NEEDS.images[0], torch=""),)), UNREADABLE, "not known"),
    ("precision", facts(T4), NEEDS, BLOCK, "train asks for bfloat16"),
    ("precision", facts(T4), needs(files={"t.yaml": "flash_attn: fa2"}), BLOCK, "FlashAttention 2"),
    ("precision", facts(T4), needs(files={}, command=("vllm", "--quantization", "fp8")), BLOCK, "fp8"),
    ("precision", facts({"capability": "8.0"}), needs(command=("vllm", "--quantization=fp8")), WARN, "fp8"),
    ("gpu-devices", facts(host={"nvidia_devices": 5}), NEEDS, BLOCK, "has 4 of them"),
    ("driver", replace(FACTS, driver="470.57"), NEEDS, BLOCK, "470.57"),
    ("driver", replace(FACTS, driver="", unreadable={"gpus": "NVML: gone"}), NEEDS, BLOCK, "not there"),
    ("driver-cuda", replace(FACTS, driver="470.57", cuda="11.4"), NEEDS, BLOCK, "does not run CUDA 12.6"),
    ("driver-cuda", replace(FACTS, driver="535.129", cuda="12.2"), NEEDS, WARN, "older than CUDA 12.6"),
    ("driver-require", replace(facts(GEFORCE), driver="550.54", cuda="12.4"), ASKING, BLOCK, "will not start"),
    ("gpu-memory", facts({"memory_total": 24 * GIB}), NEEDS, BLOCK, "25.8 GB"),
    ("gpu-memory-free", facts({"memory_free": 20 * GIB}), NEEDS, BLOCK, "serve takes 43.5 GB"),
    ("gpu-processes", facts({"processes": (GpuProcess(7, "python3", GIB),)}), NEEDS, BLOCK, "process 7 (python3)"),
    ("gpu-processes", facts({"unreadable": {"processes": "no"}}), NEEDS, UNREADABLE, "could not be read"),
    ("gpu-ecc", facts({"ecc_uncorrected": 3}), NEEDS, BLOCK, "3 uncorrected"),
    ("gpu-sram", facts({"sram_exceeded": True}), NEEDS, BLOCK, "SRAM of GPU 0"),
    ("gpu-remapped-rows", facts({"remapped": Remapped(0, 9, pending=True, failed=True)}), NEEDS, BLOCK, "not be repl"),
    ("gpu-remapped-rows", facts({"remapped": Remapped(0, 1, pending=True, failed=False)}), NEEDS, WARN, "next reset"),
    ("gpu-recovery", facts({"recovery": "node reboot"}), NEEDS, BLOCK, "node reboot of GPU 0"),
    ("gpu-recovery", facts(UNREAD), NEEDS, UNREADABLE, "could not be read"),
    ("gpu-xid", facts({"recovery": "GPU reset"}, xids=(Xid(79, "0000:3b:00", 1),)), NEEDS, BLOCK, "XID 79"),
    ("gpu-xid", facts(xids=(Xid(79, "0000:3b:00", 1),)), NEEDS, WARN, "XID 79"),
    ("gpu-xid", facts(xids=(Xid(63, "0000:3b:00", 2),)), NEEDS, WARN, "XID 63 on 0000:3b:00 (2 times)"),
    ("gpu-xid", facts(unreadable={"xids": "Operation not permitted"}), NEEDS, UNREADABLE, "kernel's log"),
    ("gpu-throttling", facts(SLOW), NEEDS, WARN, "hardware thermal slowdown (91 degrees)"),
    ("gpu-persistence", facts({"persistence": False}), NEEDS, WARN, "GPU 0, 1, 2, 3"),
    ("gpu-mig", facts({"mig": Mig(enabled=True, pending=True, instances=7)}), NEEDS, BLOCK, "7 MIG instances"),
    ("gpu-pcie", facts({"pcie": Pcie(4, 8, 4, 16)}), NEEDS, BLOCK, "x8"),
    ("gpu-pcie", facts({**GEFORCE, "pcie": Pcie(4, 8, 4, 16)}), NEEDS, WARN, "x8"),
    (
        "gpu-nvlink",
        facts({"links": 18, "links_up": 17, "fabric": Fabric("completed", 0)}),
        NEEDS,
        BLOCK,
        "17 of the 18",
    ),
    ("gpu-nvlink", facts({"links": 12, "links_up": 11}), NEEDS, WARN, "11 of the 12"),
    ("gpu-fabric", facts({"fabric": Fabric("in progress", 0)}), NEEDS, BLOCK, "in progress"),
    ("gpu-p2p", facts({"peers": (Peer(1, "SYS", "chipset not supported"),)}), NEEDS, WARN, "can't read the memory"),
    ("gpu-p2p", facts({"peers": (Peer(1, "SYS", "ok"),)}), NEEDS, WARN, "SYS"),
    ("acs", behind_one_switch(), NEEDS, WARN, "port 0000:3c:00.0: request redirect, completion redirect"),
    ("acs", facts({"unreadable": {"bridges": "the rest to root alone"}}), NEEDS, UNREADABLE, "above GPU 0"),
    ("engine", replace(FACTS, engine=None, unreadable={"engine": "no container engine"}), NEEDS, BLOCK, "no container"),
    ("engine-version", replace(FACTS, engine=replace(ENGINE, version="19.03.5")), NEEDS, BLOCK, "19.03.5"),
    ("storage-driver", replace(FACTS, engine=replace(ENGINE, storage="vfs")), NEEDS, WARN, "vfs"),
    ("gpu-runtime", replace(FACTS, engine=replace(ENGINE, runtimes=("runc",))), NEEDS, BLOCK, "runtime"),
    ("cgroup-driver", facts(host={"device_links": False}, engine=SYSTEMD), NEEDS, WARN, "systemd"),
    (
        "selinux",
        facts(host={"selinux": "enforcing"}, engine=replace(ENGINE, security=("name=selinux",))),
        NEEDS,
        WARN,
        "enforcing",
    ),
    ("disk", replace(FACTS, disks=SHORT_OF_ROOM), NEEDS, WARN, "are free"),
    ("disk", replace(FACTS, disks={}), NEEDS, UNREADABLE, "can't be looked at"),
    ("results-disk", replace(FACTS, disks=SHORT_OF_ROOM), NEEDS, WARN, "may take 76.8 GB"),
    ("disk-full", replace(FACTS, disks={"/store": Disk(1000 * GIB, 40 * GIB)}), NEEDS, WARN, "4%"),
    ("inodes", replace(FACTS, disks=NO_INODES), NEEDS, BLOCK, "900 inodes"),
    ("host-memory", facts(host={"memory_available": 60 * GIB}), NEEDS, BLOCK, "merge takes 69.8 GB"),
    ("host-memory", facts(host={"memory_available": 60 * GIB, "swap_free": 20 * GIB}), NEEDS, WARN, "slowly"),
    (
        "host-memory",
        FACTS,
        needs(
            mounts=(Mount("models/base", "/m"),),
            files={"deepspeed.json": DEEPSPEED, "train.yaml": "finetuning_type: full"},
        ),
        BLOCK,
        "train takes 558 GB",
    ),
    ("shm", FACTS, needs(shm=64 << 20), BLOCK, "67.1 MB of /dev/shm for 4 GPUs"),
    ("memlock", facts(engine=replace(ENGINE, security=("name=rootless",))), NEEDS, BLOCK, "8.4 MB"),
    ("swap", facts(host={"swap_total": 8 * GIB, "swap_free": GIB}), NEEDS, WARN, "are used"),
    ("huge-pages", facts(host={"huge_pages": 200 * GIB}), NEEDS, WARN, "set aside"),
    ("numa", facts(host={"numa_balancing": True}), NEEDS, WARN, "2 NUMA nodes"),
    ("clock", facts(host={"clock": 1_700_000_000}), NEEDS, WARN, "2023-11-14"),
]


def test_a_node_as_planned_passes_every_check() -> None:
    assert [found for found in judge(FACTS, NEEDS) if found.severity is not Severity.PASS] == []


@pytest.mark.parametrize(("check", "found", "asked", "severity", "said"), CASES, ids=[case[0] for case in CASES])
def test_a_node_that_does_not_fit_is_told_what_is_wrong(
    check: str, found: Facts, asked: Needs, severity: Severity, said: str
) -> None:
    told = finding(check, found, asked)
    assert (told.severity, said in told.what) == (severity, True), told
    assert told.why or severity is UNREADABLE, "who reads it asks why"


def test_every_check_has_a_case_that_fails_above() -> None:
    tested = {case[0] for case in CASES} | {"ports"}
    assert tested == {check(FACTS, NEEDS).check for check in CHECKS}


def test_a_gpu_without_code_in_the_images_is_told_which_set_has_it() -> None:
    assert "cuda12.8-torch2.7" in finding("architecture", replace(FACTS, gpus=RTX5090S)).remedy
    assert sets_for(Capability(7, 0)) == ("cuda12.6-torch2.6", "cuda12.4-torch2.6-sglang0.4.6")


def test_an_image_that_states_its_cuda_in_words_or_requires_blanks_is_judged_all_the_same() -> None:
    lock = replace(LOCK, images=tuple(replace(image, source="internal/ours:1") for image in LOCK.images))
    told = {"PYTORCH_VERSION": "2.6.0", "CUDA_VERSION": "cuda-12.4", "NVIDIA_REQUIRE_CUDA": " "}
    asked = Needs.of_bundle(lock, {"train": told, "serve": told})
    assert (asked.images[0].cuda, asked.images[0].require) == ("", "")
    assert blocking(judge(FACTS, replace(asked, ports=frozenset({1})))) == ()


def test_an_image_that_waives_nvidias_requirement_is_not_held_to_it() -> None:
    told = {"NVIDIA_REQUIRE_CUDA": "cuda>=99.0"}
    held, waived = (
        Needs.of_bundle(LOCK, {"train": each}) for each in (told, told | {"NVIDIA_DISABLE_REQUIRE": "true"})
    )
    assert finding("driver-require", FACTS, held).severity is BLOCK
    assert finding("driver-require", FACTS, waived).severity is Severity.PASS


def test_what_this_bundle_runs_already_is_not_in_its_way() -> None:
    busy = facts({"memory_free": GIB, "processes": (GpuProcess(7, "python3", 42 * GIB, OURS),)})
    assert finding("gpu-memory-free", busy).severity is BLOCK
    again = replace(NEEDS, ours=frozenset({OURS}))
    assert finding("gpu-memory-free", busy, again).severity is Severity.PASS
    assert finding("gpu-processes", busy, again).severity is Severity.PASS


def test_servers_that_share_a_gpu_need_its_memory_together_and_others_take_no_share() -> None:
    half = ("vllm", "serve", "--gpu-memory-utilization", "0.45")
    two = tuple(Workload(name, "vllm", "serve", half, gpus=1, port=1) for name in ("one", "two"))
    found = finding(
        "gpu-memory-free", facts({"memory_free": 30 * GIB}), replace(NEEDS, lock=replace(LOCK, workloads=two))
    )
    assert found.severity is BLOCK
    assert found.what.endswith("two takes 43.5 GB with those before it")
    board = (Workload("board", "llamaboard", "train", ("sh",), gpus=4, port=7860),)
    small = finding("gpu-memory-free", facts({"memory_free": GIB}), replace(NEEDS, lock=replace(LOCK, workloads=board)))
    assert small.severity is Severity.PASS


def test_a_card_without_ecc_is_not_called_unreadable() -> None:
    assert finding("gpu-ecc", facts({"ecc_uncorrected": None, "unreadable": {"ecc_uncorrected": "Not Supported"}})) == (
        Finding("gpu-ecc", Severity.PASS, "NVIDIA L20 does not tell")
    )


def test_a_gpu_that_tells_nothing_of_its_link_hides_no_other() -> None:
    silent, narrow = (
        replace(L20, pcie=None, unreadable={"pcie": "Not Supported"}),
        replace(L20, index=1, pcie=Pcie(4, 4, 4, 16)),
    )
    assert finding("gpu-pcie", replace(FACTS, gpus=(silent, narrow, L20, L20))).severity is BLOCK
    assert finding("gpu-pcie", replace(FACTS, gpus=(silent,) * 4)).what == "NVIDIA L20 does not tell"


def test_a_newer_gpu_and_driver_are_not_refused() -> None:
    newer = replace(FACTS, gpus=H200S, driver="580.159.04", cuda="13.0")
    assert blocking(judge(newer, NEEDS)) == ()


def test_what_is_said_of_links_and_nodes_is_so() -> None:
    slow = finding("gpu-pcie", facts({"pcie": Pcie(1, 16, 2, 16)}))
    assert (slow.severity, slow.what) == (Severity.WARN, "GPU 0 is linked by PCIe 2 x16, a slow one")
    assert finding("numa", replace(FACTS, gpus=()), replace(NEEDS, gpus=0)).what == "2 nodes"


def test_a_gpu_beyond_those_that_the_bundle_takes_is_not_judged() -> None:
    display = replace(FACTS, gpus=(*FACTS.gpus, replace(L20, index=4, name="NVIDIA T400", memory_total=4 * GIB)))
    assert finding("gpu-model", display) == finding("gpu-model", FACTS)
    assert finding("gpu-memory", display) == finding("gpu-memory", FACTS)


def test_an_l2_or_an_h20_is_not_taken_for_what_its_name_is_the_start_of() -> None:
    h20 = replace(NEEDS, hardware=replace(LOCK.hardware, model="H20"))
    assert finding("gpu-model", replace(FACTS, gpus=H200S), h20).severity is WARN


def test_a_bundle_for_the_cpu_needs_no_driver_no_gpu_no_runtime() -> None:
    bare = Facts("node", "6.1", 2, machine=HOST, engine=replace(ENGINE, runtimes=()), store="/store", disks=FACTS.disks)
    bare = replace(bare, machine=replace(HOST, nvidia_devices=0))
    lock = replace(LOCK, hardware=Hardware(), workloads=(), models=())
    assert {found.severity for found in judge(bare, Needs.of_bundle(lock))} == {Severity.PASS}


def test_the_worst_finding_stands_first() -> None:
    order = [found.severity for found in judge(replace(FACTS, gpus=FACTS.gpus[:1], disks={}), NEEDS)]
    assert order == sorted(order, key=list(Severity).index)
    assert order[0] is Severity.BLOCK


def test_a_refusal_names_what_blocks_each_remedy_and_how_to_go_on_all_the_same() -> None:
    refusal = NodeRefused(judge(replace(FACTS, gpus=(), driver=""), NEEDS))
    assert refusal.exit_code == 13
    assert "0 GPUs are visible" in refusal.what
    assert "nvidia-smi -L" in (refusal.hint or "")
    assert "--accept gpu-count" in (refusal.hint or "")


def test_a_block_that_a_person_accepts_lets_the_bundle_run_and_no_other() -> None:
    found = judge(facts({"ecc_uncorrected": 1, "persistence": False}), NEEDS)
    assert [each.check for each in blocking(found)] == ["gpu-ecc"]
    assert blocking(accepting(found, ["gpu-ecc", "gpu-persistence"])) == ()
    assert [each.check for each in accepting(found, ["gpu-ecc", "gpu-persistence"]) if each.accepted] == ["gpu-ecc"]


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


def test_a_port_that_the_engine_alone_may_bind_is_not_called_taken() -> None:
    user = os.geteuid()
    lock = replace(LOCK, workloads=(Workload("serve", "vllm", "serve", ("vllm",), port=1),))
    os.seteuid(user or 65534)  # root may bind any
    try:
        assert ports(lock, ours=()).severity is Severity.PASS
    finally:
        os.seteuid(user)


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.json")), ids=lambda path: path.stem)
def test_the_facts_of_a_real_machine_can_be_judged_and_its_gpus_are_well(path: Path) -> None:
    found = parse(path.read_bytes(), path.name)
    told = {each.check: each for each in judge(found, Needs.of_node(found))}
    assert blocking(told.values()) == ()
    for check in ("gpu-ecc", "gpu-remapped-rows", "gpu-recovery", "gpu-throttling", "gpu-pcie", "gpu-nvlink", "driver"):
        assert told[check].severity is Severity.PASS, told[check]
    assert (told["gpu-processes"].severity is WARN) == path.stem.endswith("-busy")


def test_the_table_says_the_worst_first_and_below_it_why_and_what_mends_it() -> None:
    """Two H100 at work, without an engine, against a bundle for four L20; one block is accepted."""
    found = parse((FIXTURES / "h100x2-busy.json").read_bytes(), "facts")
    shown = as_table(accepting(judge(found, NEEDS), ["gpu-processes"])) + "\n"
    golden = Path(__file__).parents[1] / "golden" / "checks" / "h100x2-busy.txt"
    assert shown == golden.read_text()


def test_the_documented_checks_are_those_that_there_are() -> None:
    table = (Path(__file__).parents[2] / "docs" / "checks.md").read_text()
    documented = re.findall(r"^\| `([a-z0-9-]+)` \|", table, re.MULTILINE)
    checks = [check(FACTS, NEEDS).check for check in CHECKS]
    assert [name for name in documented if not name.startswith("burn")] == checks
