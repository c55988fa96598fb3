"""A workload that was probed, and what is made of a part that failed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bundler.manifest.lock import LockedImage, Workload
from bundler.node.findings import Finding, Severity
from bundler.planning.datasets.verdict import DatasetVerdict
from bundler.rehearsal import report as said
from bundler.rehearsal.plain import first
from bundler.rehearsal.report import Report

_OF_A_GPU = re.compile(
    r"libcuda|libnvidia|\bcuda\b|\bgpus?\b|nvml|device (?:type|string)|this device|no nvidia|triton|driver",
    re.IGNORECASE,
)
"""`device string` is torch's of a vLLM that finds no device, `this device` LLaMA-Factory's of `pure_bf16` (0.9.3)."""
_REMEDIES = {
    "arguments": "mend the manifest, and build again: bundle build MANIFEST",
    "model": "carry the model whole: leave `files` and `exclude` out of the manifest's model, and build again",
    "architecture": "name an image whose vLLM has it, or another model",
}


@dataclass(frozen=True, slots=True)
class Probed:
    """A workload with its image, what its probe said, and whether it had the GPUs that it runs on.

    Of an image that is `known`, a workload before it has told versions and imports. `last` are the last lines of its
    log and `code` the exit code, where the probe itself was ended.
    """

    workload: Workload
    image: LockedImage
    report: Report
    with_gpus: bool
    predicted: Mapping[str, DatasetVerdict]
    known: bool = False
    last: Sequence[str] = ()
    code: int = 0

    def named(self, part: str) -> str:
        """A finding's name."""
        return f"{self.workload.name}/{part}"


def failed(one: Probed, part: str) -> Finding | None:
    """What a part died of; not a fault where that is a GPU which is not here, or a part before it."""
    found = one.report.failures.get(part)
    if found is None:
        return None
    check = one.named(part)
    if isinstance(found, said.NotTried):
        return Finding(check, Severity.NOT_TRIED, f"not tried: {found.reason}")
    head, *rest = found.error.strip().splitlines() or ["it said nothing"]
    causes = [first(cause) for cause in found.causes if cause]
    why = "; ".join(dict.fromkeys([*(line.strip()[:300] for line in rest[:3] if line.strip()), *causes]))
    if not one.with_gpus and for_want_of_a_gpu(found):
        why = f"it asks for a GPU, which is not here. {why}".strip()
        return Finding(check, Severity.UNREADABLE, head[:300], why)
    return Finding(check, Severity.BLOCK, head[:300], why=why, remedy=_REMEDIES.get(part, ""))


def for_want_of_a_gpu(failed: said.Failed) -> bool:
    """Whether a failure speaks of GPUs and their libraries."""
    return any(_OF_A_GPU.search(text) for text in (failed.error, *failed.causes))
