"""Reading a node: everything once, in well under two seconds, and nothing that changes it."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from bundler.core.errors import BundlerError
from bundler.node.facts import Disk, Facts
from bundler.node.host import disk, read_host
from bundler.node.kernel_log import read_xids
from bundler.node.nvml import read_gpus

if TYPE_CHECKING:  # facts can be read where there is no docker SDK
    from bundler.engine.docker import DockerEngine
    from bundler.engine.info import EngineInfo


def read_facts(engine: DockerEngine | BundlerError, store: Path) -> Facts:
    """Read this node, on which a store lies. `engine` may be the reason why there is none."""
    unreadable: dict[str, str] = {}
    reading = read_gpus()
    if reading.problem:
        unreadable["gpus"] = reading.problem
    described = _describe(engine, unreadable)
    disks: dict[str, Disk] = {}
    for path in (store, *([Path(described.root)] if described else [])):
        try:
            disks[str(path)] = disk(path)
        except OSError as error:
            unreadable[f"disks.{path}"] = str(error)
    try:
        xids = read_xids()
    except OSError as error:
        xids, unreadable["xids"] = (), str(error)
    return Facts(
        host=platform.node(),
        kernel=platform.release(),
        cores=os.cpu_count() or 1,
        machine=read_host(),
        driver=reading.driver,
        cuda=reading.cuda,
        gpus=reading.gpus,
        xids=xids,
        engine=described,
        store=str(store),
        disks=disks,
        unreadable=unreadable,
    )


def _describe(engine: DockerEngine | BundlerError, unreadable: dict[str, str]) -> EngineInfo | None:
    try:
        if not isinstance(engine, BundlerError):
            return engine.info()
    except BundlerError as error:
        engine = error
    unreadable["engine"] = f"{engine.what}: {engine.because}" if engine.because else engine.what
    return None
