"""What is made of a workload's reports: findings, each with the workload and the part in its name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from bundler.node.findings import Finding, Severity, good
from bundler.rehearsal import report as said
from bundler.rehearsal.absences import absences
from bundler.rehearsal.counts import counts
from bundler.rehearsal.models import architecture, model
from bundler.rehearsal.plain import first
from bundler.rehearsal.probed import Probed, failed, for_want_of_a_gpu
from bundler.rehearsal.report import Report
from bundler.rehearsal.trial import probed
from bundler.rehearsal.tries import ENDED

_SHOWN = 8
_ASIDE = {True: "as it is one process alone here", False: "as there is no GPU here"}
_TAG = re.compile(r":v?(\d+\.\d+[\w.+-]*)")


def judge(one: Probed) -> tuple[Finding, ...]:
    """All findings of one workload's probe."""
    return tuple(_judge(one))


def _judge(one: Probed) -> Iterator[Finding]:
    if not one.report.finished:
        at = one.report.parts[-1] if one.report.parts else "the start"
        yield Finding(
            one.named("probe"),
            Severity.BLOCK,
            f"the probe was ended after {at}: {ENDED.get(one.code, f'exit code {one.code}')}",
            why="the last lines of its log are: " + " | ".join(one.last) if one.last else "it said nothing",
            remedy="bundle rehearse NAME -v   # shows all that it says; --timeout gives it longer",
        )
    if not one.known:  # and of a probe that was ended, only what it came to
        told = {*one.report.parts, *one.report.failures}
        yield from (judged(one) for part, judged in (("versions", _versions), ("imports", _imports)) if part in told)
    if not probed(one.workload):
        yield Finding(
            one.named("arguments"),
            Severity.NOT_TRIED,
            f"there is no probe for a workload of the kind {one.workload.kind}: its image was looked into, no more",
        )
    elif one.report.finished or "imports" in one.report.parts:
        yield _arguments(one)
        yield from _downloads(one)
        yield from model(one)
        yield from counts(one.report, one.predicted, one.workload.name)
        yield from architecture(one)
    yield from absences(one.report, one.workload.name)


def _versions(one: Probed) -> Finding:
    check = one.named("versions")
    if broken := failed(one, "versions"):
        return broken
    seen: dict[str, str] = {package.name: package.version for package in one.report.all(said.Package)}
    pinned = dict(one.image.build.packages) if one.image.build else {}
    other = [name for name in pinned if name in seen and seen[name] != pinned[name]]
    wrong = [f"{name} is {seen[name] or 'not there'}, the lock says {pinned[name]}" for name in other]
    if wrong:
        more = f", and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        return Finding(
            check,
            Severity.BLOCK,
            "; ".join(wrong[:_SHOWN]) + more,
            why=f"the image {one.image.name} has other packages than were read when it was built",
            remedy="bundle build MANIFEST   # builds it anew, and pins what came out",
        )
    known = f"{len(seen)} packages as the lock says" if pinned else "the lock pins the image alone"
    told = told_versions(one.report)
    what = f"{known}; " + ", ".join(f"{name} {version}" for name, version in told.items())
    tag, main = _TAG.search(one.image.source), seen.get(one.workload.kind, "").partition("+")[0]
    if not pinned and tag and main and not tag[1].startswith(main):
        return Finding(
            check,
            Severity.WARN,
            f"{one.workload.kind} is {main}, and the image's tag is {tag[1]}",
            why="the manifest's version decides which flags are written",
            remedy=f"set the service's `{one.workload.kind}` to {main!r} in the manifest, and build again",
        )
    return good(check, what)


def told_versions(report: Report) -> Mapping[str, str]:
    """The versions that people ask about: Python's, and those of the modules that the workload imports."""
    seen = {package.name: package.version for package in report.all(said.Package) if package.version}
    wanted = (package.module.replace("_", "-") for package in report.all(said.Import))
    own = {"python": report.python} if report.python else {}
    return {**own, **{name: seen[name] for name in wanted if name in seen}}


def _imports(one: Probed) -> Finding:
    check = one.named("imports")
    tried = tuple(one.report.all(said.Import))
    bad = [module for module in tried if module.error]
    if not bad:
        return good(check, f"{len(tried)} modules import: {', '.join(module.module for module in tried)}")
    what = "; ".join(f"{module.module}: {first(module.error, 200)}" for module in bad)
    why = "; ".join(dict.fromkeys(first(cause) for module in bad for cause in module.causes))
    if not one.with_gpus and all(for_want_of_a_gpu(said.Failed(m.error, m.causes)) for m in bad):
        return Finding(check, Severity.UNREADABLE, what, why="it asks for a GPU, and this machine has none for it")
    return Finding(check, Severity.BLOCK, what, why=why, remedy="install it in the image's Dockerfile, and build again")


def _arguments(one: Probed) -> Finding:
    check = one.named("arguments")
    if broken := failed(one, "arguments"):
        return broken
    parsed = next(one.report.all(said.Parsed), None)
    if parsed is None:
        return Finding(check, Severity.BLOCK, "the probe said nothing of the arguments", why=" | ".join(one.last))
    aside = f"; not shown to it, {_ASIDE[one.with_gpus]}: {', '.join(parsed.aside)}" if parsed.aside else ""
    return good(check, f"{parsed.file}: its own parser takes all {parsed.keys}{aside}")


def _downloads(one: Probed) -> Iterator[Finding]:
    told = [f"{found.key} names {found.value}" for found in one.report.all(said.Elsewhere)]
    if told:
        yield Finding(
            one.named("downloads"),
            Severity.BLOCK,
            f"{'; '.join(told)}: not in the bundle, so the program would ask a hub for it",
            why="there is no network behind the gap",
            remedy="carry it as a model of the manifest; or take it out of `extra`",
        )
