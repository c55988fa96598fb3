"""What the burn-in measured, and whether that is what such GPUs do."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files

from bundler.core.records import from_json
from bundler.core.strict_json import MalformedJson
from bundler.node.gpu_samples import Sample

STEP = "burn"


@dataclass(frozen=True, slots=True)
class Container:
    """What a container is given: bytes of /dev/shm, bytes that may be locked (-1: no limit)."""

    shm: int
    memlock: int


@dataclass(frozen=True, slots=True)
class Seen:
    """A GPU as PyTorch sees it in the image."""

    gpu: int
    name: str
    capability: str
    torch: str
    cuda: str
    arches: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Product:
    """A product of matrices in bfloat16: its largest error as a share of the numbers' size, and operations a second."""

    gpu: int
    error: float
    repeats: bool
    flops: float


@dataclass(frozen=True, slots=True)
class MemoryTest:
    """Bytes that were written and read back, how many of their words were wrong, and the seconds that it took."""

    gpu: int
    bytes: int
    wrong: int
    seconds: float


@dataclass(frozen=True, slots=True)
class MemoryRate:
    """Bytes a second, read and written, of copies within a GPU."""

    gpu: int
    rate: float


@dataclass(frozen=True, slots=True)
class Copies:
    """Bytes a second between host and GPU, and whether what came back is what went."""

    gpu: int
    to_device: float
    to_host: float
    same: bool


@dataclass(frozen=True, slots=True)
class Reduced:
    """A sum over all GPUs: its bytes, how many numbers were wrong, bytes a second by the algorithm and on the bus."""

    gpu: int
    bytes: int
    wrong: int
    algorithm: float
    bus: float


@dataclass(frozen=True, slots=True)
class Load:
    """Products without a pause: for how many seconds, and operations a second over all of them."""

    gpu: int
    seconds: float
    flops: float


@dataclass(frozen=True, slots=True)
class Failed:
    """What broke, at which measurement, on which GPU."""

    gpu: int
    at: str
    error: str


@dataclass(frozen=True, slots=True)
class Burn:
    """All that was measured. `finished` says that the script came to its end; `noise` is what else was printed.

    `samples` were taken on the host meanwhile; `unsampled` says why they end early, or why there are none.
    """

    container: Container | None = None
    seen: tuple[Seen, ...] = ()
    products: tuple[Product, ...] = ()
    memory: tuple[MemoryTest, ...] = ()
    rates: tuple[MemoryRate, ...] = ()
    copies: tuple[Copies, ...] = ()
    loads: tuple[Load, ...] = ()
    reduced: tuple[Reduced, ...] = ()
    failed: tuple[Failed, ...] = ()
    nccl: tuple[str, ...] = ()
    finished: bool = False
    noise: tuple[str, ...] = ()
    samples: tuple[Sample, ...] = ()
    unsampled: str = ""


_KINDS: Mapping[str, tuple[str, type]] = {
    "gpu": ("seen", Seen),
    "matmul": ("products", Product),
    "memory": ("memory", MemoryTest),
    "device-memory": ("rates", MemoryRate),
    "copies": ("copies", Copies),
    "load": ("loads", Load),
    "all-reduce": ("reduced", Reduced),
    "failed": ("failed", Failed),
}


def script() -> str:
    """The text of the burn-in, from the package or from the agent's zip."""
    return files("bundler.node").joinpath("burn_script.py").read_text(encoding="utf-8")


def parse(lines: Iterable[str]) -> Burn:
    """Read what the script printed. Whatever is no line of its own (warnings of libraries) is noise."""
    found: dict[str, list[object]] = {member: [] for member, _ in _KINDS.values()}
    nccl: list[str] = []
    noise: list[str] = []
    container: Container | None = None
    finished = False
    for line in lines:
        try:
            document = json.loads(line)
            step = document.pop("step")
            if step == "nccl":
                nccl.append(str(document["text"]))
            elif step == "done":
                finished = True
            elif step == "container":
                container = from_json(Container, document, line)
            else:
                member, kind = _KINDS[step]
                found[member].append(from_json(kind, document, line))
        except (ValueError, LookupError, TypeError, AttributeError, MalformedJson):
            noise.append(line)
    read = {member: tuple(records) for member, records in found.items()}
    return Burn(container=container, nccl=tuple(nccl), finished=finished, noise=tuple(noise), **read)  # type: ignore[arg-type]
