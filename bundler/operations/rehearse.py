"""`rehearse`: the bundle does on this machine what the node will make it do, before it travels."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from bundler import __version__
from bundler.core.errors import UsageInvalid
from bundler.core.events import Events, StepEnded, StepStarted
from bundler.core.size import format_duration
from bundler.engine.docker import DockerEngine
from bundler.engine.durable_images import LoadNotes
from bundler.engine.errors import EngineFailed
from bundler.engine.load import load
from bundler.manifest.lock import Hardware, Lock, LockedImage, Workload
from bundler.node.checks.driver import version
from bundler.node.facts import Gpu
from bundler.node.findings import Finding, Severity, worst_first
from bundler.node.reading import read_facts
from bundler.operations.rehearsal_place import Place, rehearsing, remove_containers, warn_of_rest
from bundler.operations.verify import verify
from bundler.rehearsal.evidence import FORMAT, Evidence, Kept
from bundler.rehearsal.judge import judge, told_versions
from bundler.rehearsal.prediction import predictions
from bundler.rehearsal.probed import Probed
from bundler.rehearsal.report import Report
from bundler.rehearsal.trial import (
    PROBES,
    Machine,
    chat_plan,
    ending,
    imports,
    one_step,
    plan,
    stand_in,
)
from bundler.rehearsal.tries import answered, stepped
from bundler.store.contents import read_lock
from bundler.store.layout import BundleEntry, Store
from bundler.store.leases import leasing
from bundler.store.referrers import attach

STEP, ANSWER = "step", "answer"
_IN_FULL = {STEP: "one training step", ANSWER: "one answer"}
PATIENCE = 3600
"""Seconds that each container may take: to tokenise a large dataset, to read large weights once."""
_OF_THE_IMAGE = re.compile(r"exec(utable file| format error|: )", re.IGNORECASE)
"""In an engine's words (runc's, crun's): the image has no such program, or one that does not run here."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What was found, worst first, and as what it is kept. `loaded` are images that this run brought to the engine."""

    evidence: Evidence
    findings: tuple[Finding, ...]
    loaded: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing blocks."""
        return self.evidence.passed


class NothingToRehearse(UsageInvalid):
    """A bundle that runs nothing: results, or models that are only carried."""

    def __init__(self, bundle: BundleEntry) -> None:
        super().__init__(
            f"{bundle.name} has nothing to rehearse",
            because="it names no job and no service",
            hint="bundle list   # name a bundle that trains or serves",
        )


def rehearse(
    store: Store,
    bundle: BundleEntry,
    events: Events,
    *,
    without: frozenset[str] = frozenset(),
    patience: int = PATIENCE,
) -> Rehearsal:
    """Run each workload's container with a probe in the place of its command; then, where all the GPUs that it needs
    are here, one training step and one answer, but for what is in `without` (STEP, ANSWER).

    The result is kept in the store. Raises NothingToRehearse, EngineFailed, IntegrityFailed, LockedByAnother, NoSpace.
    """
    began = time.monotonic()
    lock = read_lock(store, bundle)
    if not lock.workloads:
        raise NothingToRehearse(bundle)
    with rehearsing(store, bundle) as place:
        engine = DockerEngine.connect()
        remove_containers(place, engine)  # before GPUs count as free or full: it may hold their memory
        facts = read_facts(engine, store.root)
        described = facts.engine
        able = described is not None and described.offers_gpus
        here = Machine(usable(facts.gpus, lock.hardware) if able else 0)
        with leasing(store, "rehearse"):
            verify(store, bundle, events)
            images = load(store, bundle.name, lock.images, engine, events, LoadNotes(place.notes))
            place.prepare(store, lock)
            run = _Run(store, lock, place, engine, images.ids, here, events, patience, without)
            findings = worst_first(run.all())
            LoadNotes(place.notes).settle(lock.images)
            found = Evidence(
                format=FORMAT,
                bundle=str(bundle.name),
                root=bundle.root.digest,
                when=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                program=__version__,
                engine=f"{described.product} {described.version}" if described else "docker",
                machine=", ".join(gpu.name for gpu in facts.gpus) or f"{facts.cores} cores, no GPU",
                gpus=here.gpus,
                seconds=round(time.monotonic() - began, 1),
                versions=run.versions,
                findings=tuple(map(Kept.of, findings)),
            )
            attach(store, bundle, found.encode())
    warn_of_rest(place, events)
    return Rehearsal(found, findings, images.loaded)


def usable(gpus: Sequence[Gpu], wanted: Hardware) -> int:
    """How many of this machine's GPUs a container can be given and find as the bundle wants them.

    An engine that is asked for a number gives the first of them, so none counts behind one that is full or too old
    (by the rules of the checks `gpu-memory` and `gpu-capability`).
    """
    fit = (
        gpu.memory_free * 10 >= wanted.memory * 9 and version(gpu.capability) >= version(wanted.capability)
        for gpu in sorted(gpus, key=lambda gpu: gpu.index)
    )
    return sum(1 for _ in takewhile(bool, fit))


class _Run:
    """One rehearsal: a container after the other."""

    def __init__(
        self,
        store: Store,
        lock: Lock,
        place: Place,
        engine: DockerEngine,
        ids: dict[str, str],
        here: Machine,
        events: Events,
        patience: int,
        without: frozenset[str],
    ) -> None:
        self._store, self._lock, self._place, self._engine, self._ids = store, lock, place, engine, ids
        self._here, self._events, self._patience, self._without = here, events, patience, without
        self.versions: dict[str, dict[str, str]] = {}
        self._tried: dict[str, set[str]] = {}  # modules whose import was tried, by image

    def all(self) -> Iterator[Finding]:
        """The findings of every workload, in the order in which they run."""
        images = {image.name: image for image in self._lock.images}
        for workload in self._lock.workloads:
            findings = self._probed(workload, images[workload.image])
            yield from findings
            broken = any(finding.severity is Severity.BLOCK for finding in findings)
            if workload.kind == "train":
                yield self._in_full(workload, broken, STEP)
            elif workload.is_service and chat_plan(workload, self._lock.question, self._patience):
                yield self._in_full(workload, broken, ANSWER)
        for job in self._lock.evaluations:
            yield Finding(f"{job.name}/probe", Severity.NOT_TRIED, "the jobs of `evaluate` are not rehearsed")

    def _probed(self, workload: Workload, image: LockedImage) -> tuple[Finding, ...]:
        """The findings of its probe. An image in which it can't start is one too: the others are still to be found."""
        try:
            return tuple(self._probe(workload, image))
        except EngineFailed as error:
            if not _OF_THE_IMAGE.search(error.because or ""):
                raise
            return (Finding(f"{workload.name}/probe", Severity.BLOCK, error.what, why=error.because or ""),)

    def _probe(self, workload: Workload, image: LockedImage) -> Iterator[Finding]:
        if workload.way_out:
            text = f"{workload.way_out} is not asked: there is no network here, and the step does without it"
            yield Finding(f"{workload.name}/way-out", Severity.NOT_TRIED, text)
        if workload.runtime:
            text = f"its image has no Python to ask, but {workload.runtime}"
            yield Finding(f"{workload.name}/probe", Severity.NOT_TRIED, text)
            return
        step = f"rehearse {workload.name}"
        self._events.emit(StepStarted(step))
        began = time.monotonic()
        known = set(imports(workload)) <= self._tried.get(workload.image, {""})
        self._place.plan(workload.name, plan(workload, image, self._here, known=known))
        command = ending(self._patience, ("python3", f"{PROBES}/probe.py"))
        code, report, last = self._container(stand_in(workload, self._lock), command)
        if "imports" in report.parts:
            self._tried.setdefault(workload.image, set()).update(imports(workload))
        self.versions.setdefault(workload.image, {}).update(told_versions(report))
        trainer = self.versions[workload.image].get("llamafactory", "")
        predicted = predictions(workload, self._place.release.directory / "datasets", trainer)
        one = Probed(workload, image, report, self._here.suffices(workload), predicted, known, last, code)
        findings = judge(one)
        self._events.emit(StepEnded(step, _summary(findings, time.monotonic() - began)))
        yield from findings

    def _in_full(self, workload: Workload, broken: bool, part: str) -> Finding:
        """One step, or one answer, by the workload's own command; or why it was not tried."""
        check = f"{workload.name}/{part}"
        reason = ""
        if part in self._without:
            reason = "left out, as asked"
        elif broken:
            reason = "what blocks comes first"
        elif not self._here.suffices(workload):
            reason = f"it takes {workload.gpus} GPUs, and this machine has {self._here.gpus or 'none'} for it"
        elif part == ANSWER and not self._place.has_what_is_mounted(workload):
            reason = "it serves what a training makes, and no step was made"
        if reason:
            return Finding(check, Severity.NOT_TRIED, f"{_IN_FULL[part]}: {reason}")
        self._events.emit(StepStarted(check))
        began = time.monotonic()
        finding = self._step(workload, check) if part == STEP else self._answer(workload, check)
        self._events.emit(StepEnded(check, _summary((finding,), time.monotonic() - began)))
        return finding

    def _step(self, workload: Workload, check: str) -> Finding:
        began = time.monotonic()
        command = ending(self._patience, one_step(workload), STEP)
        code, report, last = self._container(workload, command)
        predicted = {memory.workload: memory.device_bytes for memory in self._lock.memory}.get(workload.name, 0)
        return stepped(check, code, report, last, time.monotonic() - began, predicted)

    def _answer(self, workload: Workload, check: str) -> Finding:
        asked = chat_plan(workload, self._lock.question, self._patience)
        self._place.plan(workload.name, asked)
        command = ending(self._patience, ("python3", f"{PROBES}/chat.py"), ANSWER)
        code, report, last = self._container(stand_in(workload, self._lock), command)
        return answered(check, code, report, last)

    def _container(self, workload: Workload, command: tuple[str, ...]) -> tuple[int, Report, tuple[str, ...]]:
        image, here = self._ids[workload.image], self._here
        return self._place.run(self._store, self._lock, workload, image, here, command, self._engine, self._events)


def _summary(findings: tuple[Finding, ...], seconds: float) -> str:
    bad = [finding for finding in findings if finding.severity in (Severity.BLOCK, Severity.WARN)]
    said = f"{len(bad)} of {len(findings)} findings are bad" if bad else f"{len(findings)} findings, none bad"
    return f"{said}, {format_duration(seconds)}"
