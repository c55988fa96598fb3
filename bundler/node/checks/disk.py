"""Room: for the images where the engine keeps them, for what the jobs leave beside the store, and in inodes."""

from __future__ import annotations

from bundler.core.size import format_size
from bundler.node.facts import Disk, Facts
from bundler.node.findings import Finding, Severity, good, unread
from bundler.node.needs import Needs
from bundler.store.unpacked import UNPACKED

HEADROOM = 1.1
"""Space asked for beyond what is needed."""
_LOW = 0.1
"""The share of a file system or of its inodes, free, below which gpud 4a8de33a warns."""
_FEW = 100_000
"""Inodes that an image with PyTorch and CUDA takes: about 60,000 files in the sets of dockerfiles/."""


def disk(facts: Facts, needs: Needs) -> Finding:
    """Is there room for the images, unpacked, where the engine keeps them?"""
    images = needs.lock.images if needs.lock else ()
    compressed = sum({blob.digest: blob.size for image in images for blob in image.blobs}.values())
    needed = int(compressed * UNPACKED * HEADROOM)
    root = facts.engine.root if facts.engine else ""
    here = facts.disks.get(root)
    if here is None:
        if not root:
            return unread("disk", "the engine's directory", facts.unreadable.get("engine", ""))
        return Finding("disk", Severity.UNREADABLE, f"the engine's directory {root} can't be looked at from here")
    if here.free >= needed:
        return good("disk", f"{format_size(here.free)} free in {root}, up to {format_size(needed)} needed")
    return Finding(
        "disk",
        Severity.WARN,
        f"{format_size(here.free)} are free in {root}; unpacked, the images may take {format_size(needed)}",
        why="layers that the engine holds already take no space, so it may still be enough",
        remedy=f"df -h {root}; {facts.engine.product.lower() if facts.engine else 'docker'} image prune",
        needed=format_size(needed),
    )


def results_disk(facts: Facts, needs: Needs) -> Finding:
    """Is there room beside the store for what the jobs leave: the merged model is as large as the one it is made of."""
    models = needs.weights
    jobs = [workload for workload in needs.workloads if not workload.is_service]
    needed = int(HEADROOM * max((models.get(m.source, 0) for job in jobs for m in job.mounts), default=0))
    here = facts.disks.get(facts.store)
    if here is None:
        return Finding("results-disk", Severity.UNREADABLE, f"the file system of {facts.store} can't be looked at")
    if here.free >= needed:
        return good("results-disk", f"{format_size(here.free)} free in {facts.store}")
    return Finding(
        "results-disk",
        Severity.WARN,
        f"{format_size(here.free)} are free in {facts.store}; results may take {format_size(needed)} and more",
        why="the merged model is as large as the base model; checkpoints come on top. What is there already counts",
        remedy=f"df -h {facts.store}; du -sh {facts.store}/releases/*/results/*",
        needed=format_size(needed),
    )


def disk_full(facts: Facts, _needs: Needs) -> Finding:
    """Is a file system that is written to nearly full?"""
    for path, here in facts.disks.items():
        if here.free < here.total * _LOW:
            return Finding(
                "disk-full",
                Severity.WARN,
                f"{here.free / here.total:.0%} of the file system of {path} is free",
                why="logs, checkpoints and the engine's own files stop being written when it is full",
                remedy=f"df -h {path}",
                needed=f"{_LOW:.0%}",
            )
    return good("disk-full", "none nearly full") if facts.disks else unread("disk-full", "no file system", "")


def inodes(facts: Facts, needs: Needs) -> Finding:
    """Are there inodes for as many files as images have? A file system that makes them as needed states none."""
    for path, here in facts.disks.items():
        if _has_few(here):
            return Finding(
                "inodes",
                Severity.BLOCK if needs.lock and here.inodes_free < _FEW // 100 else Severity.WARN,
                f"{here.inodes_free} inodes are free in {path}",
                why="an image with PyTorch has tens of thousands of files; `no space left` is also said without inodes",
                remedy=f"df -i {path}",
                needed=str(_FEW),
            )
    return good("inodes", "enough") if facts.disks else unread("inodes", "no file system", "")


def _has_few(here: Disk) -> bool:
    return here.inodes > 0 and (here.inodes_free < _FEW or here.inodes_free < here.inodes * _LOW)
