"""The lock: what a manifest resolves to. Every artifact is pinned to a descriptor, every workload is spelled out.

The same bytes lie beside the manifest, in the store as the bundle's first blob, and behind the gap. Read there
by the agent, so this module stands on dataclasses alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.media_types import RAW
from bundler.core.records import from_json, to_json
from bundler.core.reference import BundleName
from bundler.core.strict_json import MalformedJson, canonical, parse_object
from bundler.manifest.address import is_address

FORMAT = 1
"""The lock's format. A reader refuses any other."""

_NAME = re.compile(r"[a-z0-9]+(?:[-_.][a-z0-9]+)*")


class UnsafePath(MalformedJson):
    """A path or a name in a lock that could reach outside the directory that it belongs to."""

    def __init__(self, path: str) -> None:
        super().__init__("the lock", f"{path[:200]!r} is not a plain relative path")


def checked_path(path: str) -> str:
    """A relative path in POSIX form, without `..`, empty parts, backslashes or control characters.

    Raises UnsafePath.
    """
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\\" in path or not path.isprintable():
        raise UnsafePath(path)
    return path


def checked_absolute(path: str) -> str:
    """An absolute path in POSIX form, otherwise as plain as `checked_path` wants it. Raises UnsafePath."""
    if not path.startswith("/"):
        raise UnsafePath(path)
    checked_path(path[1:])
    return path


def _checked_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise UnsafePath(name)


def lock_path(manifest: Path) -> Path:
    """Where a manifest's lock lies: beside it, `NAME.lock.json`."""
    return manifest.with_suffix(".lock.json")


@dataclass(frozen=True, slots=True)
class BuildRecord:
    """What an image was built from, part by part, and the Python packages that came of it, by name and version.

    `dockerfile` is the digest of the rendered text with the base left open; `base` is a reference with its digest.
    """

    base: str
    dockerfile: Digest
    arguments: Mapping[str, str] = field(default_factory=dict, hash=False)
    files: Mapping[str, Digest] = field(default_factory=dict, hash=False)
    packages: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class LockedImage:
    """An image: its manifest's descriptor, then the config's and the layers', as the registry states them.

    `recipe` is set where a dockerfile made it: the digest of all that went into the build. `build` names the parts.
    """

    name: str
    source: str
    manifest: Descriptor
    blobs: tuple[Descriptor, ...]
    recipe: Digest | None = None
    build: BuildRecord | None = None

    def __post_init__(self) -> None:
        _checked_name(self.name)


@dataclass(frozen=True, slots=True)
class Origin:
    """A model's repository at a hub (`hf://Qwen/Qwen3-32B`, `modelscope://...`), and a revision of it."""

    source: str
    revision: str


@dataclass(frozen=True, slots=True)
class LockedFile:
    """A file of a model or a dataset: its path in it, its SHA-256, its bytes. `url`: where the manifest says it is."""

    path: str
    digest: Digest
    size: int
    url: str = ""

    def __post_init__(self) -> None:
        checked_path(self.path)


@dataclass(frozen=True, slots=True)
class LockedFiles:
    """A model or a dataset: the descriptor of its ModelPack manifest, and its files.

    `revision` is the hub's commit; empty where there is none (local files). `also` are other hubs that have the
    same model, in the order in which they are asked.
    """

    name: str
    source: str
    manifest: Descriptor
    files: tuple[LockedFile, ...]
    revision: str = ""
    also: tuple[Origin, ...] = ()

    def __post_init__(self) -> None:
        _checked_name(self.name)

    @property
    def origins(self) -> tuple[Origin, ...]:
        """Where it can be had: `source` first."""
        return (Origin(self.source, self.revision), *self.also)


@dataclass(frozen=True, slots=True)
class LockedAgent:
    """The executable that runs the bundle on the node."""

    version: str
    blob: Descriptor


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a node must have. No GPU means that the bundle runs on the CPU. Memory is bytes on each GPU."""

    gpus: int = 0
    model: str = ""
    memory: int = 0
    capability: str = ""
    driver: str = ""


@dataclass(frozen=True, slots=True)
class Mount:
    """A directory that a container sees read-only.

    `source` is relative to the release: `models/NAME`, `datasets/NAME` or `results/JOB`.
    """

    source: str
    target: str

    def __post_init__(self) -> None:
        checked_path(self.source)


@dataclass(frozen=True, slots=True)
class Workload:
    """A job (runs to its end, leaves `results/NAME`) or a service (stays up, answers on `port`).

    `files` are written to `/bundle/config`; a job writes to `/bundle/output`. `gpus` is how many it sees. `state` are
    directories that a service writes, kept in the release under `state/NAME`; their sources are relative to that.
    `inner` is the port inside its container where that is another than `port`; `runtime` is what its image has to run
    the proxy with (`node`; left out, Python). `api_key` is the path of a file on the node. `starts` is `early` for a
    service that waits for no job to end: it comes up before the jobs, or, where it reads a job's results, once that
    job has begun. `way_out` is the one address of the intranet that a job may reach, `host:port`.
    """

    name: str
    kind: str
    image: str
    command: tuple[str, ...]
    mounts: tuple[Mount, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    gpus: int = 0
    shm: int = 1 << 30
    port: int = 0
    bind: str = "127.0.0.1"
    health: str = ""
    # Left out of the lock where empty, so that what was trained under an older lock counts as made from the same.
    state: tuple[Mount, ...] = ()
    inner: int | None = None
    runtime: str = ""
    api_key: str = ""
    starts: str = ""
    way_out: str = ""

    def __post_init__(self) -> None:
        _checked_name(self.name)
        if self.api_key:
            checked_absolute(self.api_key)
        if self.starts not in ("", "early"):
            raise MalformedJson("the lock", f"{self.name} starts {self.starts!r:.40}, which is not known")
        if self.way_out and not (is_address(self.way_out) and not self.is_service):
            raise MalformedJson("the lock", f"{self.name} has the way out {self.way_out!r:.60}, which is no job's")
        if self.runtime not in ("", "node"):
            raise MalformedJson("the lock", f"{self.name} has the runtime {self.runtime!r:.40}, which is not known")
        for path in self.files:
            checked_path(path)

    @property
    def is_service(self) -> bool:
        """Whether it stays up."""
        return self.port > 0

    @property
    def needs(self) -> tuple[str, ...]:
        """The jobs whose results it reads."""
        found = (mount.source.partition("/") for mount in self.mounts)
        return tuple(dict.fromkeys(name for kind, _, name in found if kind == "results"))

    @property
    def is_early(self) -> bool:
        """Whether it is a service that waits for no job to end."""
        return self.is_service and self.starts == "early"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked once everything is up: to which service, under which model name."""

    service: str
    model: str
    text: str
    max_tokens: int = 64


@dataclass(frozen=True, slots=True)
class GpuMemory:
    """What `bundle plan` predicted of a workload: bytes of each of its GPUs, and of the node's host memory.

    Below `least_bytes` it can't run; `device_bytes` is what it is expected to hold. `basis` says where the formulas
    were compared with a GPU: `measured`, or `formula`.
    """

    workload: str
    device_bytes: int
    least_bytes: int
    host_bytes: int
    basis: str

    def __post_init__(self) -> None:
        """Raises MalformedJson."""
        if min(self.device_bytes, self.least_bytes, self.host_bytes) < 0 or self.basis not in ("measured", "formula"):
            raise MalformedJson("the lock", f"the memory of {self.workload!r:.40} is not a prediction")


@dataclass(frozen=True, slots=True)
class Lock:
    """All of it. `workloads` stand in the order in which they run; `evaluations` are jobs that run when asked for.

    `memory` is predicted, for the checks of the node. It stands beside the workloads, not in them, so that a better
    prediction is no other training, and is left out where nothing is predicted (a CPU, an architecture not counted).
    """

    format: int
    name: str
    version: str
    agent: LockedAgent
    hardware: Hardware
    images: tuple[LockedImage, ...] = ()
    models: tuple[LockedFiles, ...] = ()
    datasets: tuple[LockedFiles, ...] = ()
    workloads: tuple[Workload, ...] = ()
    question: Question | None = None
    evaluations: tuple[Workload, ...] = ()
    memory: tuple[GpuMemory, ...] = ()

    def __post_init__(self) -> None:
        """Every name that is used is there. Raises MalformedJson."""
        images = {image.name for image in self.images}
        sources = {f"models/{model.name}" for model in self.models}
        sources |= {f"datasets/{dataset.name}" for dataset in self.datasets}
        everything = (*self.workloads, *self.evaluations)
        if len({workload.name for workload in everything}) < len(everything):
            raise MalformedJson("the lock", "two of its workloads have one name")
        for workload in everything:
            needed = {mount.source for mount in workload.mounts}
            if not workload.command or workload.image not in images or not needed <= sources:
                raise MalformedJson("the lock", f"{workload.name} has no command, or needs what is not in the bundle")
            if not workload.is_service:
                sources.add(f"results/{workload.name}")

    @classmethod
    def parse(cls, raw: bytes, what: str) -> Lock:
        """Read a lock's bytes; `what` names it in errors. Raises MalformedJson."""
        document = parse_object(raw, what)
        if document.get("format") != FORMAT:
            raise MalformedJson(what, f"its format is {document.get('format')!r}, this program reads format {FORMAT}")
        return from_json(cls, document, what)

    def encode(self) -> bytes:
        """The lock's bytes: the same for the same lock, indented so that people can compare two."""
        return canonical(to_json(self), indent=2)

    @property
    def bundle(self) -> BundleName:
        """The bundle's name and version."""
        return BundleName(self.name, self.version)

    def blobs(self) -> Iterator[Descriptor]:
        """Every blob that the artifacts consist of, the agent's among them; the lock's own is not."""
        yield self.agent.blob
        for image in self.images:
            yield image.manifest
            yield from image.blobs
        for files in (*self.models, *self.datasets):
            yield files.manifest
            for file in files.files:
                yield Descriptor(RAW, file.digest, file.size)
