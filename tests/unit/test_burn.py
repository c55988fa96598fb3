"""The burn-in: a GPU that is wrong or slow is found in a minute and not after a night's training."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from bundler.core.digest import Digest
from bundler.core.records import from_json
from bundler.node.burn import Burn, Failed, MemoryTest, parse, script
from bundler.node.burn_floors import judge, without_gpus
from bundler.node.disk_floors import CHECK
from bundler.node.facts import Facts
from bundler.node.facts import parse as parse_facts
from bundler.node.findings import Finding, Severity, blocking
from bundler.node.gpu_samples import Sample
from bundler.operations.burn import container
from bundler.workloads.container import Placement

FIXTURES = Path(__file__).parents[1] / "fixtures"


SAMPLES = tuple(
    from_json(Sample, json.loads(line), "sample")
    for line in (FIXTURES / "burn" / "samples-made-up.jsonl").read_text().splitlines()
)


def burnt(name: str) -> Burn:
    """As it was measured; what NVML says meanwhile is made up."""
    return replace(parse((FIXTURES / "burn" / f"{name}.jsonl").read_text().splitlines()), samples=SAMPLES)


def read(name: str) -> Facts:
    return parse_facts((FIXTURES / "facts" / f"{name}.json").read_bytes(), name)


ONE, TWO = burnt("h100"), burnt("h100x2")


def finding(check: str, burn: Burn, name: str = "h100x2") -> Finding:
    return next(found for found in judge(burn, read(name)) if found.check == check)


@pytest.mark.parametrize("name", ["h100", "h100x2"])
def test_real_gpus_that_are_well_pass(name: str) -> None:
    found = judge(burnt(name), read(name))
    assert {each.severity for each in found} == {Severity.PASS}, found


def test_what_was_measured_is_told_with_its_share_of_the_data_sheet() -> None:
    assert "of the data sheet's" in finding("burn-matmul", TWO).what
    assert "GB/s on the bus of 2 GPUs" in finding("burn-all-reduce", TWO).what
    assert finding("burn-nccl", TWO).what == "GPUs talk via P2P/CUMEM"


SLOW = tuple(replace(each, bus=100e9) for each in TWO.reduced)


@pytest.mark.parametrize(
    ("check", "burn", "severity", "said"),
    [
        (
            "burn-matmul",
            replace(TWO, products=(replace(TWO.products[0], error=0.4),)),
            Severity.BLOCK,
            "wrong products",
        ),
        ("burn-matmul", replace(TWO, products=(replace(TWO.products[0], repeats=False),)), Severity.BLOCK, "another"),
        ("burn-matmul", replace(TWO, products=(replace(TWO.products[0], flops=4e14),)), Severity.WARN, "400 TFLOP/s"),
        ("burn-matmul", replace(TWO, products=(replace(TWO.products[0], flops=2e14),)), Severity.BLOCK, "20%"),
        ("burn-matmul", replace(TWO, products=()), Severity.UNREADABLE, "not measured"),
        ("burn-memory", replace(TWO, memory=(MemoryTest(1, 1 << 30, 8, 1.0),)), Severity.BLOCK, "8 words"),
        ("burn-memory-rate", replace(TWO, rates=(replace(TWO.rates[0], rate=1e12),)), Severity.WARN, "30%"),
        (
            "burn-copies",
            replace(TWO, copies=(replace(TWO.copies[0], same=False),)),
            Severity.BLOCK,
            "came back changed",
        ),
        ("burn-copies", replace(TWO, copies=(replace(TWO.copies[0], to_host=6e9),)), Severity.BLOCK, "6 GB/s"),
        ("burn-all-reduce", replace(TWO, reduced=(replace(TWO.reduced[0], wrong=5),)), Severity.BLOCK, "5 sums"),
        ("burn-all-reduce", replace(TWO, reduced=SLOW), Severity.WARN, "100 GB/s on the bus"),
        ("burn-all-reduce", replace(TWO, reduced=()), Severity.UNREADABLE, "not measured"),
        ("burn", replace(TWO, failed=(Failed(1, "matmul", "CUDA error"),)), Severity.BLOCK, "CUDA error"),
        ("burn", replace(TWO, seen=TWO.seen[:1]), Severity.BLOCK, "saw 1 of 2 GPUs"),
        ("burn", replace(TWO, finished=False, noise=("Killed",)), Severity.BLOCK, "Killed"),
    ],
)
def test_a_gpu_that_is_wrong_or_slow_is_named(check: str, burn: Burn, severity: Severity, said: str) -> None:
    told = finding(check, burn)
    assert (told.severity, said in told.what) == (severity, True), told


def test_eight_gpus_with_nvswitch_are_held_to_what_azure_measured() -> None:
    eight = replace(TWO, seen=tuple(replace(TWO.seen[0], gpu=gpu) for gpu in range(8)))
    assert finding("burn-all-reduce", replace(eight, reduced=SLOW)).severity is Severity.BLOCK
    fast = tuple(replace(each, bus=470e9) for each in TWO.reduced)
    assert finding("burn-all-reduce", replace(eight, reduced=fast)).severity is Severity.PASS


@pytest.mark.parametrize(
    ("line", "variable"),
    [
        ("WARN NET/IB : Got completion from peer with status=12 error", "NCCL_IB_DISABLE=1"),
        ("WARN Cuda failure 217 'peer access is not supported between these two devices'", "NCCL_P2P_DISABLE=1"),
        ("WARN Bootstrap : no socket interface found", "NCCL_SOCKET_IFNAME"),
        ("INFO Bootstrap: Using docker0:172.17.0.1<0>", "NCCL_SOCKET_IFNAME"),
        ("WARN Error: failed to extend /dev/shm/nccl-x to 33 bytes, error: No space left on device", "16 GiB"),
    ],
)
def test_what_nccl_complains_of_becomes_the_variable_that_helps(line: str, variable: str) -> None:
    told = finding("burn-nccl", replace(TWO, nccl=(line,)))
    assert told.severity is Severity.WARN
    assert variable in told.remedy
    assert line in told.why


def test_an_all_reduce_that_hangs_without_a_word_is_tried_without_peer_to_peer() -> None:
    stuck = replace(TWO, reduced=(), failed=(Failed(0, "all-reduce", "RuntimeError: watchdog timeout"),))
    assert "NCCL_P2P_DISABLE=1" in finding("burn-nccl", stuck).remedy
    assert [found.check for found in blocking(judge(stuck, read("h100x2")))] == ["burn"]


def test_warnings_of_libraries_between_the_lines_are_no_measurement() -> None:
    burn = parse(["UserWarning: barrier()", '{"step": "matmul"}', '["step"]', '{"step": "done", "gpus": 1}'])
    assert burn.finished
    assert len(burn.noise) == 3


def test_a_node_without_gpus_is_told_so() -> None:
    told = without_gpus(Facts("node", "6.1", 2, unreadable={"gpus": "NVML: Driver Not Loaded"}))
    assert told.severity is Severity.UNREADABLE
    assert told.why == "NVML: Driver Not Loaded"


def test_it_runs_locked_down_with_all_gpus_and_the_shared_memory_of_a_job() -> None:
    at = Placement("demo", Digest.of(b"root"), "bundle-demo", PurePosixPath("/data/releases/demo"), "1000:1000")
    spec = container("sha256:1", 4, at)
    assert (spec.network, spec.gpus, spec.shm, spec.binds) == ("none", 4, 16 << 30, ())
    assert spec.command == ("python3", "-c", script(), "4")
    assert len(script().encode()) < 128 << 10, "one argument of a program holds 128 KiB (execve(2), MAX_ARG_STRLEN)"


def test_the_script_tells_what_broke_and_comes_to_its_end_where_there_is_no_torch() -> None:
    """As in an image that can't be used: the line must come, not a traceback alone."""
    ended = subprocess.run([sys.executable, "-S", "-c", script(), "1"], capture_output=True, text=True, check=True)
    burn = parse(ended.stdout.splitlines())
    assert burn.finished
    assert "torch" in burn.failed[0].error


def test_the_documented_measurements_are_those_that_there_are() -> None:
    table = (Path(__file__).parents[2] / "docs" / "checks.md").read_text()
    documented = set(re.findall(r"^\| `(burn[a-z-]*)` \|", table, re.MULTILINE))
    assert documented == {found.check for found in judge(TWO, read("h100x2"))} | {CHECK}
