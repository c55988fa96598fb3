"""The GPUs' kind: as many and such as planned, with code for them in the images, and with the numbers that are used."""

from __future__ import annotations

from collections.abc import Iterator

from bundler.manifest.gpus import ADA, AMPERE, Capability, find
from bundler.manifest.lock import Workload
from bundler.node.architectures import code_of, sets_for
from bundler.node.checks.driver import version
from bundler.node.facts import Facts, Gpu
from bundler.node.findings import Finding, Severity, good
from bundler.node.needs import Needs, setting

_REBUILD = "name this GPU as the manifest's target and build the bundle again"


def gpu_count(facts: Facts, needs: Needs) -> Finding:
    """Are there as many GPUs as the manifest asks for?"""
    if len(facts.gpus) >= needs.gpus:
        return good("gpu-count", f"{len(facts.gpus)} GPUs, {needs.gpus} needed" if needs.gpus else "none needed")
    return Finding(
        "gpu-count",
        Severity.BLOCK,
        f"{len(facts.gpus)} GPUs are visible, the bundle needs {needs.gpus}",
        why=facts.unreadable.get("gpus") or "the manifest's target names that many",
        remedy="nvidia-smi -L   # lists what the driver sees; lspci | grep -i nvidia lists what is plugged in",
        needed=str(needs.gpus),
    )


def gpu_model(facts: Facts, needs: Needs) -> Finding:
    """Are they of the model that the manifest names? Another one may do; memory and capability decide."""
    wanted = needs.hardware.model
    gpus = facts.gpus[: needs.gpus]
    strangers = sorted({gpu.name for gpu in gpus if wanted and not _is(gpu, wanted)})
    if not strangers:
        return good("gpu-model", ", ".join(sorted({gpu.name for gpu in gpus})) or "none needed")
    return Finding(
        "gpu-model",
        Severity.WARN,
        f"the GPUs are {', '.join(strangers)}, the manifest names {wanted}",
        why="the bundle was planned for the other model",
        needed=wanted,
    )


def _is(gpu: Gpu, wanted: str) -> bool:
    """NVML's names have the brand before and the memory behind; an L20 is no L2, and an H200 no H20."""
    words = gpu.name.lower().replace("-", " ").split()
    asked = wanted.lower().split()
    known = find(wanted)
    spans = (words[at : at + len(asked)] for at in range(len(words)))
    return asked in spans or (known is not None and find(gpu.name) == known)


def gpu_mixed(facts: Facts, needs: Needs) -> Finding:
    """Are the GPUs that work together alike? The slowest and the smallest of them sets the pace."""
    kinds = sorted({gpu.name for gpu in facts.gpus[: needs.gpus]})
    if len(kinds) < 2:
        return good("gpu-mixed", "all alike" if kinds else "none needed")
    return Finding(
        "gpu-mixed",
        Severity.WARN,
        f"GPUs of several kinds would work together: {', '.join(kinds)}",
        why="the slowest sets the pace, and the smallest memory the size",
        remedy="nvidia-smi -L   # the first GPUs are taken",
    )


def capability(facts: Facts, needs: Needs) -> Finding:
    """Are the GPUs at least of the compute capability that the manifest names?"""
    wanted = needs.hardware.capability
    old = [gpu for gpu in facts.gpus[: needs.gpus] if version(gpu.capability) < version(wanted)]
    if not wanted or not old:
        return good("gpu-capability", "as planned")
    return Finding(
        "gpu-capability",
        Severity.BLOCK,
        f"{old[0].name} has compute capability {old[0].capability}, the bundle needs {wanted}",
        why="kernels compiled for a newer GPU do not run on an older one (CUDA C programming guide, 5.1)",
        remedy=_REBUILD,
        needed=wanted,
    )


def architecture(facts: Facts, needs: Needs) -> Finding:
    """Have the images code for these GPUs?"""
    known = [(image, code) for image in needs.images if (code := code_of(image.torch, image.cuda))]
    for gpu in facts.gpus[: needs.gpus]:
        here = Capability(*version(gpu.capability)[:2])
        for image, code in known:
            if not code.runs_on(here):
                sets = sets_for(here)
                return Finding(
                    "architecture",
                    Severity.BLOCK,
                    f"the image {image.name} has no code for {gpu.name} (compute capability {gpu.capability})",
                    why=f"it has {code}",
                    remedy=f"build the bundle again with the image set {' or '.join(sets)}" if sets else _REBUILD,
                    needed=f"sm_{here.major}{here.minor}",
                )
    unknown = sorted(image.name for image in needs.images if not code_of(image.torch, image.cuda))
    if unknown and facts.gpus:
        return Finding(
            "architecture",
            Severity.UNREADABLE,
            f"the architectures that the image {', '.join(unknown)} was compiled for are not known",
            why="neither its base, its tag nor its config names a PyTorch that this program has a list for",
            remedy="bundle check --burn   # tries it",
        )
    return good("architecture", "; ".join(dict.fromkeys(str(code) for _, code in known)) or "none needed")


def precision(facts: Facts, needs: Needs) -> Finding:
    """Can the GPUs do what the workloads are configured for: bfloat16, FlashAttention 2, fp8, AWQ?"""
    found: list[Finding] = []
    for gpu in facts.gpus[: needs.gpus]:
        here = Capability(*version(gpu.capability)[:2])
        for workload in needs.workloads:
            for what, floor, severity, why in _asked(workload) if workload.gpus else ():
                if here < floor:
                    said = f"{workload.name} asks for {what}, which {gpu.name} ({here}) lacks"
                    mend = "change it in the manifest and build the bundle again"
                    found.append(Finding("precision", severity, said, why, mend, f"compute capability {floor}"))
    worst = [finding for finding in found if finding.severity is Severity.BLOCK] or found
    return worst[0] if worst else good("precision", "the GPUs can do what is configured")


def _asked(workload: Workload) -> Iterator[tuple[str, Capability, Severity, str]]:
    """What needs a GPU of some age, from which capability on, how bad it is without, and why."""
    if setting(workload, "bf16") == "true" or setting(workload, "dtype") in ("bfloat16", "bf16"):
        yield "bfloat16", AMPERE, Severity.BLOCK, "bfloat16 came with Ampere; vLLM and transformers refuse (vllm#1157)"
    if setting(workload, "flash_attn") == "fa2":
        yield "FlashAttention 2", AMPERE, Severity.BLOCK, "flash-attn 2 has kernels from Ampere on (its README)"
    quantized = setting(workload, "quantization")
    if quantized == "fp8" or setting(workload, "kv_cache_dtype").startswith("fp8"):
        yield "fp8", AMPERE, Severity.BLOCK, "vLLM 0.8.5 has fp8 from 8.0 on (fp8.py, get_min_capability)"
        yield (
            "fp8",
            ADA,
            Severity.WARN,
            "before Ada only the weights are fp8, the arithmetic is not (vLLM, quantization)",
        )
    if quantized == "awq":
        yield "AWQ", Capability(7, 5), Severity.BLOCK, "vLLM 0.8.5 has AWQ from 7.5 on (awq.py, get_min_capability)"
