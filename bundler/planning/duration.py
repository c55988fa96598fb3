"""How long a bundle is under way: fetched by the build, pushed, loaded into the node's engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bundler.planning.disk import Part, known, unknown

StepName = Literal["build", "push", "load"]
Basis = Literal["measured", "stated", "assumed"]


@dataclass(frozen=True, slots=True)
class Rate:
    """Bytes a second, and where that is known from: measured on this machine, stated by a person, or assumed."""

    bytes_per_second: float
    basis: Basis


ASSUMED: Mapping[StepName, Rate] = {
    "build": Rate(12_500_000, "assumed"),  # a line of 100 Mbit/s
    "push": Rate(100_000_000, "assumed"),  # a network of 1 Gbit/s, less what protocols take of it
    # Unpacked bytes: the engine wrote 2.3 GB in 27 to 31 s on 2 cores (PyTorch's image, overlay2)
    "load": Rate(80_000_000, "assumed"),
}


@dataclass(frozen=True, slots=True)
class Duration:
    """A step's seconds for `bytes` at a rate. `without` names what is not in it, since its size is not known."""

    step: StepName
    bytes: int
    rate: Rate
    without: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        return self.bytes / self.rate.bytes_per_second


def duration(step: StepName, parts: tuple[Part, ...], rates: Mapping[StepName, Rate]) -> Duration:
    """How long a step takes for these parts, at the rate that is given for it, else at the assumed one.

    Nothing but moving the bytes is counted: no pip in a Dockerfile, no hashing, no login.
    """
    return Duration(step, known(parts), rates.get(step, ASSUMED[step]), unknown(parts))
