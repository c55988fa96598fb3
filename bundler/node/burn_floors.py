"""Judging a burn-in: against what NVIDIA's data sheets promise of a GPU, and what others and we have measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bundler.core.size import format_size
from bundler.node.burn import STEP, Burn
from bundler.node.facts import Facts, Pcie
from bundler.node.findings import Finding, Severity, good, worst_first
from bundler.node.load_floors import under_load
from bundler.node.nccl import advice


@dataclass(frozen=True, slots=True)
class Promise:
    """Of a GPU: dense bfloat16 operations a second with 32-bit sums, and bytes a second of its memory."""

    flops: float
    memory: float


PROMISES: tuple[tuple[str, Promise], ...] = (
    ("H100 PCIe", Promise(756e12, 2.0e12)),
    ("H100", Promise(989e12, 3.35e12)),
    ("H200", Promise(989e12, 4.8e12)),
    ("H20", Promise(148e12, 4.0e12)),
    ("A100", Promise(312e12, 1.555e12)),
    ("A10", Promise(125e12, 0.6e12)),
    ("A40", Promise(149.7e12, 0.696e12)),
    ("L40S", Promise(362e12, 0.864e12)),
    ("L20", Promise(119.5e12, 0.864e12)),
    ("L4", Promise(121e12, 0.3e12)),
    ("RTX 3090", Promise(71e12, 0.936e12)),
    ("RTX 4090", Promise(165.2e12, 1.008e12)),
    ("RTX 5090", Promise(209.5e12, 1.792e12)),
    ("B200", Promise(2250e12, 7.7e12)),
)
"""NVIDIA's data sheets. Measured by this script: H100 731 to 775 TFLOP/s (0.74 of it), 2.62 TB/s (0.78)."""
BUS_OF_EIGHT: tuple[tuple[str, float], ...] = (("A100", 228e9), ("H100", 460e9), ("H200", 431e9))
"""Bytes a second of an all-reduce over eight GPUs with NVSwitch (Azure NHC 0e0a1ac2)."""
BUS_OF_TWO: tuple[tuple[str, float], ...] = (("H100", 326e9), ("H200", 331e9))
"""The same over two with NVLink and without NVLS, 1 GiB, PyTorch 2.11: what we measured."""
_LANE = {1: 0.25e9, 2: 0.5e9, 3: 0.985e9, 4: 1.969e9, 5: 3.938e9, 6: 7.563e9}
"""Bytes a second of a PCIe lane, by generation (PCI-SIG)."""
LOW, BAD = 0.5, 0.25
"""Shares of a promise below which a rate warns and blocks: small cards are held down by their power limit. Ours."""
MARGIN = 0.75
"""The share of a measured floor below which DCGM 72fa3fea fails."""
_ERROR = 0.03
"""bfloat16 rounds to 1/512; numbers five times the usual size are off by 0.011, as we measured. Ours."""


def judge(burn: Burn, facts: Facts) -> tuple[Finding, ...]:
    """All findings of a burn-in, worst first."""
    return worst_first(
        (
            *_failures(burn, len(facts.gpus)),
            _products(burn),
            _memory(burn),
            _rates(burn),
            _copies(burn, facts),
            _all_reduce(burn, facts),
            *under_load(burn, facts),
            *advice(burn),
        )
    )


def without_gpus(facts: Facts) -> Finding:
    """There is nothing to burn."""
    reason = facts.unreadable.get("gpus", "")
    return Finding("burn", Severity.UNREADABLE, "there are no GPUs that could be tried", why=reason)


def _failures(burn: Burn, gpus: int) -> Iterator[Finding]:
    if len(burn.seen) < gpus or not burn.finished or burn.failed:
        said = [f"GPU {each.gpu}, {each.at}: {each.error}" for each in burn.failed]
        if len(burn.seen) < gpus:
            said.append(f"the container saw {len(burn.seen)} of {gpus} GPUs")
        if not burn.finished:
            said.append("it did not come to its end: " + " / ".join(burn.noise[-3:]))
        yield Finding(
            "burn",
            Severity.BLOCK,
            "; ".join(said),
            why="what fails here fails in training",
            remedy="bundle check --burn -v   # shows all that it printed; dmesg | grep -i -e xid -e nvrm",
        )
        return
    yield good("burn", f"{len(burn.seen)} GPUs, PyTorch {burn.seen[0].torch if burn.seen else '?'}")


def _products(burn: Burn) -> Finding:
    wrong = [each for each in burn.products if each.error > _ERROR or not each.repeats]
    if wrong:
        return Finding(
            "burn-matmul",
            Severity.BLOCK,
            f"GPU {wrong[0].gpu} computes wrong products (error {wrong[0].error:.3f}, "
            f"{'the same' if wrong[0].repeats else 'another one'} each time)",
            why="what is trained on it is worthless",
            remedy="have the card replaced",
            needed=f"an error below {_ERROR}",
        )
    measured = [
        (each.gpu, each.flops, promise.flops if (promise := _promise(burn, each.gpu)) else 0.0)
        for each in burn.products
    ]
    return _slowest("burn-matmul", "TFLOP/s in bfloat16", 1e12, measured)


def _memory(burn: Burn) -> Finding:
    for test in burn.memory:
        if test.wrong:
            return Finding(
                "burn-memory",
                Severity.BLOCK,
                f"{test.wrong} words of the memory of GPU {test.gpu} were not what had been written",
                why="models and gradients change by themselves",
                remedy="nvidia-smi -q -d ECC,ROW_REMAPPER   # and have the card replaced",
            )
    tested = sum(test.bytes for test in burn.memory)
    return good("burn-memory", f"{format_size(tested)} written and read back") if tested else _missing("burn-memory")


def _rates(burn: Burn) -> Finding:
    measured = [
        (each.gpu, each.rate, promise.memory if (promise := _promise(burn, each.gpu)) else 0.0) for each in burn.rates
    ]
    return _slowest("burn-memory-rate", "GB/s within the GPU", 1e9, measured)


def _copies(burn: Burn, facts: Facts) -> Finding:
    for each in burn.copies:
        if not each.same:
            return Finding(
                "burn-copies",
                Severity.BLOCK,
                f"what went to GPU {each.gpu} came back changed",
                why="the link, or the memory on either side, is broken",
                remedy="dmesg | grep -i -e aer -e pcie -e mce",
            )
    measured = [(each.gpu, min(each.to_device, each.to_host), _link(facts, each.gpu)) for each in burn.copies]
    return _slowest("burn-copies", "GB/s between host and GPU", 1e9, measured)


def _all_reduce(burn: Burn, facts: Facts) -> Finding:
    gpus = len(burn.seen)
    wrong = [each for each in burn.reduced if each.wrong]
    if wrong:
        return Finding(
            "burn-all-reduce",
            Severity.BLOCK,
            f"{wrong[0].wrong} sums over all GPUs are wrong on GPU {wrong[0].gpu}",
            why="training on several GPUs can't work",
            remedy="NCCL_P2P_DISABLE=1 tells whether peer-to-peer access is at fault; look for ACS and the IOMMU",
        )
    if gpus < 2:
        return good("burn-all-reduce", "one GPU")
    best = max((each.bus for each in burn.reduced), default=0.0)
    if not best:
        return _missing("burn-all-reduce")
    floor, source = _bus_floor(burn, facts)
    said = f"{best / 1e9:.0f} GB/s on the bus of {gpus} GPUs"
    if best >= floor:
        return good("burn-all-reduce", said + (f", at least {floor / 1e9:.0f} expected" if floor else ""))
    return Finding(
        "burn-all-reduce",
        Severity.BLOCK if best < floor * MARGIN and source == "Azure NHC" else Severity.WARN,
        f"{said}, {floor / 1e9:.0f} are usual",
        why=f"the floor is of {source}; each step of training waits for it",
        remedy="nvidia-smi topo -m; nvidia-smi nvlink -s",
        needed=f"{floor / 1e9:.0f} GB/s",
    )


def _bus_floor(burn: Burn, facts: Facts) -> tuple[float, str]:
    """Bytes a second, and whose figure that is; 0 where there is none."""
    name, gpus = burn.seen[0].name, len(burn.seen)
    linked = bool(facts.gpus) and all(gpu.links_up for gpu in facts.gpus)
    if not linked:
        return _link(facts, 0) * BAD, "this program: a quarter of the PCIe link"
    if gpus == 8:
        return next((floor for model, floor in BUS_OF_EIGHT if model in name), 0.0), "Azure NHC"
    floor = next((floor for model, floor in BUS_OF_TWO if model in name), 0.0)
    return floor * MARGIN, "two such GPUs, measured by us, less a quarter"


def _promise(burn: Burn, gpu: int) -> Promise | None:
    name = next((each.name for each in burn.seen if each.gpu == gpu), "")
    words = name.replace("-", " ").split()
    for model, promise in PROMISES:
        if all(word in words for word in model.split()):
            return promise
    return None


def _link(facts: Facts, gpu: int) -> float:
    """Bytes a second that the PCIe link of a GPU has, when it is awake; 0 where that is not known."""
    link: Pcie | None = next((each.pcie for each in facts.gpus if each.index == gpu), None)
    return _LANE.get(link.max_generation, 0.0) * link.width if link else 0.0


def _slowest(check: str, unit: str, scale: float, measured: list[tuple[int, float, float]]) -> Finding:
    """The GPU that does worst for what it is. Each is its number, its rate, and the rate that it should have (or 0)."""
    if not measured:
        return _missing(check)
    gpu, rate, promise = min(measured, key=lambda each: each[1] / each[2] if each[2] else each[1])
    said = f"{rate / scale:.0f} {unit} on the slowest"
    if not promise:
        return good(check, f"{said} (no figure to compare it with)")
    if rate >= promise * LOW:
        return good(check, f"{said}, {rate / promise:.0%} of the data sheet's")
    return Finding(
        check,
        Severity.BLOCK if rate < promise * BAD else Severity.WARN,
        f"GPU {gpu} does {rate / scale:.0f} {unit}, {rate / promise:.0%} of what its data sheet says",
        why="heat, power, a narrow link or another process hold it down, and all others wait for it",
        remedy="nvidia-smi -q -d PERFORMANCE,CLOCK,TEMPERATURE,POWER",
        needed=f"{promise * LOW / scale:.0f} {unit}",
    )


def _missing(check: str) -> Finding:
    return Finding(check, Severity.UNREADABLE, "it was not measured", why=f"the {STEP} failed before")
