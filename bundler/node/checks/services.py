"""The ports that the bundle's services answer on."""

from __future__ import annotations

from collections.abc import Iterable

from bundler.manifest.lock import Lock
from bundler.node.facts import Facts
from bundler.node.findings import Finding, Severity, good
from bundler.node.needs import Needs
from bundler.node.ports import bind_problem


def ports(lock: Lock, ours: Iterable[int]) -> Finding:
    """Can the services' ports be bound? `ours` are those that this bundle's own containers hold, and will give up."""
    held = set(ours)
    for workload in lock.workloads:
        if not workload.is_service or workload.port in held:
            continue
        problem = bind_problem(workload.bind, workload.port)
        if problem:
            return Finding(
                "ports",
                Severity.BLOCK,
                f"port {workload.port} of {workload.bind}, which the service {workload.name} needs, can't be had",
                why=problem,
                remedy=f"ss -ltnp 'sport = :{workload.port}'   # stop what holds it, or change 'port:' in the manifest",
            )
    return good("ports", "free")


def free_ports(_facts: Facts, needs: Needs) -> Finding:
    """The same, as the other checks are asked; this one tries, because nothing else tells."""
    return ports(needs.lock, needs.ports) if needs.lock else good("ports", "none needed")
