"""`check`: whether this node can run a bundle, or, without one, whether it is well."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from bundler.core.errors import BundlerError, UsageInvalid
from bundler.core.events import Events, StepEnded, StepStarted, Warned
from bundler.manifest.lock import Lock
from bundler.node.checks import accepting, judge
from bundler.node.facts import Facts
from bundler.node.findings import Finding, NodeRefused, Severity, blocking
from bundler.node.needs import Needs
from bundler.node.reading import read_facts
from bundler.operations.release import Release
from bundler.store.image_config import ImageFacts, read_image_facts
from bundler.store.layout import Store

if TYPE_CHECKING:
    from bundler.engine.docker import DockerEngine


def facts_of(store: Store, engine: DockerEngine | BundlerError) -> Facts:
    """Read this node, on which the store lies; `engine` may be the reason why there is none."""
    return read_facts(engine, store.root)


def check_node(facts: Facts) -> tuple[Finding, ...]:
    """Judge a node by itself."""
    return judge(facts, Needs.of_node(facts))


def check_bundle(facts: Facts, store: Store, lock: Lock, release: Release) -> tuple[Finding, ...]:
    """Judge a node against a bundle. What the bundle's own containers hold is not in its way."""
    return judge(facts, _needs(facts, store, lock, release))


def check(
    store: Store,
    lock: Lock,
    release: Release,
    engine: DockerEngine,
    events: Events,
    accepted: Iterable[str] = (),
) -> tuple[Finding, ...]:
    """Judge this node against the bundle, before anything is loaded or run.

    `accepted` names checks that may block. Raises NodeRefused on any other block, UsageInvalid where a name is none.
    """
    events.emit(StepStarted("check"))
    findings = check_bundle(facts_of(store, engine), store, lock, release)
    _require_known(accepted, findings)
    findings = accepting(findings, accepted)
    if blocking(findings):
        raise NodeRefused(findings)
    for finding in findings:
        if finding.severity is not Severity.PASS:
            said = "block, accepted" if finding.accepted else finding.severity.value
            events.emit(Warned(f"{finding.check}: {finding.what} ({said})"))
    let = sum(finding.accepted for finding in findings)
    events.emit(StepEnded("check", f"{len(findings)} checks, " + (f"{let} accepted" if let else "none blocks")))
    return findings


def _require_known(accepted: Iterable[str], findings: Iterable[Finding]) -> None:
    known = {finding.check for finding in findings}
    for name in accepted:
        if name not in known:
            raise UsageInvalid(f"there is no check {name}", because=f"there are: {', '.join(sorted(known))}")


def _needs(facts: Facts, store: Store, lock: Lock, release: Release) -> Needs:
    told = _image_facts(store, lock)
    needs = Needs.of_bundle(lock, {name: image.environment for name, image in told.items()})
    ours = release.containers() if facts.engine else ()
    return replace(
        needs,
        made=max((image.created for image in told.values()), default=""),
        ours=frozenset(found.id for found in ours),
        ports=frozenset(port for found in ours for port in found.ports),
    )


def _image_facts(store: Store, lock: Lock) -> Mapping[str, ImageFacts]:
    """What the images' configs say, of those that are whole in the store; `verify` judges the others."""
    configs = {image.name: image.blobs[0] for image in lock.images if image.blobs}
    return {name: read_image_facts(store, blob.digest) for name, blob in configs.items() if not store.missing([blob])}
