"""Every manifest that we ship, down to the commands and files that run behind the gap.

UPDATE_GOLDEN=1 writes them anew. A change here changes what users' nodes run: read the difference as such.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bundler.core.records import to_json
from bundler.core.strict_json import canonical
from bundler.manifest.hardware import hardware
from bundler.manifest.loader import load
from bundler.manifest.lock import Workload
from bundler.manifest.schema import Manifest
from bundler.workloads.evaluation import evaluations
from bundler.workloads.graph import question, workloads

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "workloads"
MANIFESTS = sorted((ROOT / "manifests").glob("*.yaml"))


def rendered(manifest: Manifest) -> str:
    parts = ["# hardware and question", canonical(to_json(hardware(manifest.target)), indent=2).decode().rstrip()]
    parts.append(canonical(to_json(question(manifest)), indent=2).decode())
    for workload in (*workloads(manifest), *evaluations(manifest)):
        parts += [*_workload(workload), ""]
    return "\n".join(parts)


def _workload(workload: Workload) -> Iterator[str]:
    yield f"# {workload.name}: {workload.kind} in the image {workload.image}"
    yield " ".join(workload.command)
    for mount in workload.mounts:
        yield f"mount {mount.source} at {mount.target}"
    for mount in workload.state:
        yield f"state {mount.source} at {mount.target}"
    for name, value in workload.environment.items():
        yield f"{name}={value}"
    yield f"gpus {workload.gpus}, shm {workload.shm >> 30} GiB"
    if workload.is_service:
        yield f"answers on {workload.bind}:{workload.port}{workload.health}"
    for name, text in workload.files.items():
        yield f"\n## {name}"
        yield text.rstrip()


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_what_a_shipped_manifest_runs_changes_only_on_purpose(path: Path) -> None:
    golden = GOLDEN / f"{path.stem}.txt"
    text = rendered(load(path))
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


def test_no_golden_file_outlives_its_manifest() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == {path.stem for path in MANIFESTS}
