"""Checks: judgements of facts against what a bundle needs. Each gives one finding; docs/checks.md lists them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from bundler.node.checks import acs, architecture, disk, driver, engine, health, host, links, memory, services
from bundler.node.checks.services import ports
from bundler.node.facts import Facts
from bundler.node.findings import Finding, NodeRefused, Severity, worst_first
from bundler.node.needs import Needs

__all__ = ["CHECKS", "Check", "Finding", "NodeRefused", "Severity", "accepting", "judge", "ports"]

Check = Callable[[Facts, Needs], Finding]

CHECKS: tuple[Check, ...] = (
    architecture.gpu_count,
    architecture.gpu_model,
    architecture.gpu_mixed,
    architecture.capability,
    architecture.architecture,
    architecture.precision,
    driver.devices,
    driver.driver,
    driver.driver_cuda,
    driver.driver_require,
    memory.gpu_memory,
    memory.gpu_memory_free,
    memory.gpu_processes,
    health.ecc,
    health.sram,
    health.remapped,
    health.recovery,
    health.xid,
    health.throttling,
    health.persistence,
    health.mig,
    links.pcie,
    links.nvlink,
    links.fabric,
    links.peers,
    acs.acs,
    engine.engine,
    engine.engine_version,
    engine.storage_driver,
    engine.gpu_runtime,
    engine.cgroup_driver,
    engine.selinux,
    disk.disk,
    disk.results_disk,
    disk.disk_full,
    disk.inodes,
    host.host_memory,
    host.shm,
    host.memlock,
    host.swap,
    host.huge_pages,
    host.numa,
    host.clock,
    services.free_ports,
)
"""All of them, in the order of the table."""


def judge(facts: Facts, needs: Needs) -> tuple[Finding, ...]:
    """All findings, worst first."""
    return worst_first(check(facts, needs) for check in CHECKS)


def accepting(findings: Iterable[Finding], accepted: Iterable[str]) -> tuple[Finding, ...]:
    """The findings, with those that a person lets pass marked so. Only a block needs that."""
    names = frozenset(accepted)
    return tuple(
        replace(found, accepted=True) if found.severity is Severity.BLOCK and found.check in names else found
        for found in findings
    )
