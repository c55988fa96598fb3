"""How fast each step of the path goes: as stated, else as measured on this machine; the plan assumes the rest."""

from __future__ import annotations

from collections.abc import Mapping

from bundler.planning.duration import Rate, StepName
from bundler.transport import receipts


def rates(stated: Mapping[StepName, int]) -> Mapping[StepName, Rate]:
    """Rates of those steps of which one is known. `stated` is bytes a second.

    A push leaves its rate in its receipt, so the last one that sent enough to tell says how fast the next will be.
    """
    found: dict[StepName, Rate] = {}
    for _, receipt in receipts.listed().receipts:
        if receipt.rate:
            found["push"] = Rate(receipt.rate, "measured")
    return found | {step: Rate(rate, "stated") for step, rate in stated.items()}
