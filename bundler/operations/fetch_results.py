"""`fetch-results`: what a training made becomes a bundle of its own, so that it travels back as anything else does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.errors import IntegrityFailed
from bundler.core.events import BytesMoved, Events, StepEnded, StepStarted
from bundler.core.media_types import RAW
from bundler.core.reference import BundleName
from bundler.core.size import format_size
from bundler.manifest.lock import FORMAT, Hardware, Lock, LockedAgent, LockedFile, LockedFiles
from bundler.operations.record import record
from bundler.operations.release import Release
from bundler.operations.results_collected import collect
from bundler.sources.modelpack import lock_files, put_manifest
from bundler.store.adopt import adopt
from bundler.store.contents import read_lock
from bundler.store.layout import BundleEntry, Store
from bundler.store.leases import leasing
from bundler.store.space import need, require

STEP = "fetch-results"
SUFFIX = "-results"
_LINKED = 1 << 20
"""Bytes from which a file is shared rather than copied: weights, which nobody appends to."""


@dataclass(frozen=True, slots=True)
class FetchedResults:
    """The bundle of the results, in its store. `files` and `bytes` by artifact; `plot_drawn`: by us, from the log."""

    bundle: BundleEntry
    store: Path
    files: Mapping[str, int]
    bytes: Mapping[str, int]
    plot_drawn: bool


def fetch_results(
    store: Store, bundle: BundleEntry, target: Store, events: Events, *, merged: bool = False
) -> FetchedResults:
    """Make a bundle `NAME-results` in the target store of what this bundle's training left; `merged` weights too.

    Run again it writes nothing that is there. Raises NotDone where a job has not ended well, NoSpace, IntegrityFailed.
    """
    release, made = Release.of(store, bundle), read_lock(store, bundle)
    with leasing(target, STEP), release.changing():  # no `up` sets results aside while they are read
        found = collect(release, made, merged=merged)
        events.emit(StepStarted(STEP))
        named: dict[str, Mapping[str, Path | bytes]] = {
            "trained": {**found.trained},
            "merged": {**found.merged},
            "records": found.records,
        }
        source = f"results:{bundle.name}@{bundle.root.digest}"
        artifacts = {
            name: lock_files(name, source, _taken(files, target, events), dataset=name == "records")
            for name, files in named.items()
            if files
        }
        for files in artifacts.values():
            put_manifest(files, target)
        _take(made.agent.blob, store.path(made.agent.blob.digest), target, events)
        entry = record(_lock(bundle, made.agent, artifacts), target)
        sizes = {name: sum(file.size for file in files.files) for name, files in artifacts.items()}
        events.emit(StepEnded(STEP, f"{format_size(sum(sizes.values()))} in {entry.name}"))
    counts = {name: len(files.files) for name, files in artifacts.items()}
    return FetchedResults(entry, target.root, counts, sizes, found.plot_drawn)


def _lock(bundle: BundleEntry, agent: LockedAgent, artifacts: Mapping[str, LockedFiles]) -> Lock:
    """A bundle that runs nothing: models and records, and the agent that can verify and push them."""
    name = BundleName(f"{bundle.name.name}{SUFFIX}", bundle.name.version)
    models = tuple(files for kind, files in artifacts.items() if kind != "records")
    records = tuple(files for kind, files in artifacts.items() if kind == "records")
    return Lock(FORMAT, name.name, name.version, agent, Hardware(), models=models, datasets=records)


def _taken(files: Mapping[str, Path | bytes], target: Store, events: Events) -> list[LockedFile]:
    """Each file or text as a blob of the target store."""
    taken = []
    for path, content in files.items():
        small = content if isinstance(content, bytes) else _small(content)
        if small is not None:
            blob = target.put(small, RAW)
            events.emit(BytesMoved(STEP, path, blob.size))
        else:
            assert isinstance(content, Path)
            blob = Descriptor(RAW, Digest.of_file(content), content.stat().st_size)
            _take(blob, content, target, events)
        taken.append(LockedFile(path, blob.digest, blob.size))
    return taken


def _small(path: Path) -> bytes | None:
    """A file's bytes, where it is so small that a copy costs nothing: logs go on being written under their own name."""
    return path.read_bytes() if path.stat().st_size < _LINKED else None


def _take(blob: Descriptor, path: Path, target: Store, events: Events) -> None:
    if target.has(blob):
        return
    if not adopt(target, blob, path, lambda count: events.emit(BytesMoved(STEP, path.name, count))):
        require(target, need(target, [blob]))
        raise IntegrityFailed(
            f"{path} changed while it was read, or can't be read", because="its SHA-256 is not what it was a moment ago"
        )
