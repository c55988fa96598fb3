"""The page of a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from bundler.report.data import datasets
from bundler.report.figures import per_cent, size
from bundler.report.memory import evaluation_bar, small_bar, training_bar
from bundler.report.path import disk, time
from bundler.report.rendering import render
from bundler.report.servers import server_views, together
from bundler.report.verdict import findings, verdict


@dataclass(frozen=True, slots=True)
class AdviceView:
    """A change that would make the training fit, and a bar of what it then takes of a GPU."""

    change: str
    device_bytes: int
    host_bytes: int
    bar: Markup


def plan_page(plan: Mapping[str, Any], title: str) -> str:
    """The page of a plan's `-o json` document; `title` names the manifest.

    Members that a document lacks, or that are null, are left out of the page.
    """
    gpu_bytes = plan["gpu_bytes"]
    train, evaluate = plan.get("train"), plan.get("evaluate")
    evaluation = "Evaluation: memory of one GPU"
    return render(
        "plan.html.j2",
        title=title,
        plan=plan,
        verdict=verdict(plan),
        findings=findings(plan),
        train=train,
        steps=plan.get("steps") or (train.get("steps") if train else None),
        training=training_bar(train["per_gpu"], gpu_bytes) if train else None,
        advice=_advice(train, gpu_bytes) if train else (),
        servers=server_views(plan),
        together=together(plan),
        evaluate=evaluate,
        evaluating=evaluation_bar(evaluate["per_gpu"], gpu_bytes, evaluation) if evaluate else None,
        datasets=datasets(plan["data"]),
        disk=disk(plan.get("disk")),
        time=time(plan.get("time")),
    )


def _advice(train: Mapping[str, Any], gpu_bytes: int) -> tuple[AdviceView, ...]:
    found = []
    for one in train["advice"]:
        device = one["device_bytes"]
        bar = small_bar(device, gpu_bytes, f"{size(device)}, {per_cent(device / gpu_bytes)} of a GPU")
        found.append(AdviceView(one["change"], device, one["host_bytes"], bar))
    return tuple(found)
