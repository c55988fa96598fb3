"""What is made of a workload's reports: findings, each with the workload and the part in its name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bundler.manifest.lock import LockedImage, Workload
from bundler.node.findings import Finding, Severity, good
from bundler.planning.datasets.verdict import DatasetVerdict
from bundler.rehearsal import report as said
from bundler.rehearsal.absences import absences
from bundler.rehearsal.counts import counts
from bundler.rehearsal.report import Report
from bundler.rehearsal.trial import probed

_SHOWN = 8
_OF_A_GPU = re.compile(r"libcuda|libnvidia|\bcuda\b|\bgpus?\b|nvml|device type|no nvidia|triton|driver", re.IGNORECASE)
_TAG = re.compile(r":v?(\d+\.\d+[\w.+-]*)")


@dataclass(frozen=True, slots=True)
class Probed:
    """A workload with its image, what its probe said, and whether it had the GPUs that it runs on.

    Of an image that is `known`, a workload before it has told versions and imports. `last` are the last lines of its
    log, where the probe itself was ended.
    """

    workload: Workload
    image: LockedImage
    report: Report
    with_gpus: bool
    predicted: Mapping[str, DatasetVerdict]
    known: bool = False
    last: Sequence[str] = ()

    def named(self, part: str) -> str:
        """A finding's name."""
        return f"{self.workload.name}/{part}"


def judge(one: Probed) -> tuple[Finding, ...]:
    """All findings of one workload's probe."""
    return tuple(_judge(one))


def _judge(one: Probed) -> Iterator[Finding]:
    if not one.report.finished:
        at = one.report.parts[-1] if one.report.parts else "the start"
        yield Finding(
            one.named("probe"),
            Severity.BLOCK,
            f"the probe was ended after {at}",
            why="the last lines of its log are: " + " | ".join(one.last) if one.last else "it said nothing",
            remedy="bundle rehearse NAME -v   # shows all that it says; --timeout gives it longer",
        )
    if not one.known:
        yield _versions(one)
        yield _imports(one)
    if not probed(one.workload):
        yield Finding(
            one.named("arguments"),
            Severity.NOT_TRIED,
            f"there is no probe for a workload of the kind {one.workload.kind}: its image was looked into, no more",
        )
    elif one.report.finished or "imports" in one.report.parts:
        yield _arguments(one)
        yield from _downloads(one)
        yield from _model(one)
        yield from counts(one.report, one.predicted, one.workload.name)
        yield from _architecture(one)
    yield from absences(one.report, one.workload.name)


def _versions(one: Probed) -> Finding:
    check = one.named("versions")
    if failed := _failed(one, "versions"):
        return failed
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
    return {"python": report.python, **{name: seen[name] for name in wanted if name in seen}}


def _imports(one: Probed) -> Finding:
    check = one.named("imports")
    tried = tuple(one.report.all(said.Import))
    broken = [module for module in tried if module.error]
    if not broken:
        return good(check, f"{len(tried)} modules import: {', '.join(module.module for module in tried)}")
    what = "; ".join(f"{module.module}: {module.error.splitlines()[0][:200]}" for module in broken)
    why = "; ".join(dict.fromkeys(cause.splitlines()[0][:300] for module in broken for cause in module.causes))
    if not one.with_gpus and all(_for_want_of_a_gpu(said.Failed(m.error, m.causes)) for m in broken):
        return Finding(check, Severity.UNREADABLE, what, why="it asks for a GPU, and this machine has none for it")
    return Finding(check, Severity.BLOCK, what, why=why, remedy="install it in the image's Dockerfile, and build again")


def _arguments(one: Probed) -> Finding:
    check = one.named("arguments")
    if failed := _failed(one, "arguments"):
        return failed
    parsed = next(one.report.all(said.Parsed), None)
    if parsed is None:
        return Finding(check, Severity.BLOCK, "the probe said nothing of the arguments", why=" | ".join(one.last))
    aside = f"; not shown to it, as there is no GPU here: {', '.join(parsed.aside)}" if parsed.aside else ""
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


def _model(one: Probed) -> Iterator[Finding]:
    config = next(one.report.all(said.Config), None)
    tokenizer = next(one.report.all(said.Tokenizer), None)
    failed = _failed(one, "model")
    if config:
        yield good(one.named("config"), f"{config.model}, {', '.join(config.architectures) or 'no architecture named'}")
    if failed:
        yield Finding(
            one.named("tokenizer" if config else "config"), failed.severity, failed.what, failed.why, failed.remedy
        )
        return
    if tokenizer is None or config is None:
        return
    yield _template(one, config, tokenizer)
    if one.workload.kind == "vllm" and not tokenizer.chat_template and _serves_as_it_is(one.workload):
        yield Finding(
            one.named("chat-template"),
            Severity.WARN,
            "the tokenizer has no chat template",
            why="vLLM then refuses every chat request (transformers gives no default since 4.44)",
            remedy="carry the model's tokenizer_config.json or chat_template.jinja",
        )


def _serves_as_it_is(workload: Workload) -> bool:
    return any(mount.source.startswith("models/") for mount in workload.mounts)


def _template(one: Probed, config: said.Config, tokenizer: said.Tokenizer) -> Finding:
    check = one.named("tokenizer")
    template = next(one.report.all(said.Template), None)
    what = f"{tokenizer.tokenizer} with {tokenizer.length} tokens"
    if template is None:
        return good(check, what)
    names = ", ".join(template.added)
    if config.rows and template.highest >= config.rows and not template.grows:
        return Finding(
            check,
            Severity.BLOCK,
            f"{what}; token {template.highest} has no row in the embedding, which has {config.rows}",
            why=f"the template adds {names}" if names else "the tokenizer is of another model",
            remedy="set the template of this model in the manifest (train.template), or extra: {resize_vocab: true}",
        )
    if template.added:
        return Finding(
            check,
            Severity.WARN,
            f"{what}; the template adds {names}, which the model has never seen",
            why="their rows in the embedding are untrained",
            remedy="set the template of this model in the manifest (train.template)",
        )
    return good(check, f"{what}; the template's tokens are among them, it ends with {template.eos}")


def _architecture(one: Probed) -> Iterator[Finding]:
    if one.workload.kind != "vllm":
        return
    check = one.named("architecture")
    registry = next(one.report.all(said.Registry), None)
    resolved = next(one.report.all(said.Resolved), None)
    if resolved:
        what = f"{resolved.architecture}, {resolved.length} tokens of context, {resolved.dtype.removeprefix('torch.')}"
        if registry and not registry.known:
            why = f"it is none of the {registry.size} that this vLLM has, so a slower stand-in is taken"
            yield Finding(check, Severity.WARN, what, why=why)
        else:
            yield good(check, what)
    elif failed := _failed(one, "architecture"):
        if registry and registry.known and failed.severity is Severity.UNREADABLE:
            known = ", ".join(registry.known)
            yield Finding(check, failed.severity, f"{known} is known; {failed.what}", failed.why)
        else:
            yield failed


def _failed(one: Probed, part: str) -> Finding | None:
    """What a part died of; not a fault where that is a GPU which is not here, or a part before it."""
    found = one.report.failures.get(part)
    if found is None:
        return None
    check = one.named(part)
    if isinstance(found, said.NotTried):
        return Finding(check, Severity.NOT_TRIED, f"not tried: {found.reason}")
    first, *rest = found.error.strip().splitlines() or [""]
    causes = [cause.splitlines()[0][:300] for cause in found.causes if cause]
    why = "; ".join(dict.fromkeys([*(line.strip()[:300] for line in rest[:3] if line.strip()), *causes]))
    if not one.with_gpus and _for_want_of_a_gpu(found):
        why = f"it asks for a GPU, which is not here. {why}".strip()
        return Finding(check, Severity.UNREADABLE, first[:300], why)
    return Finding(check, Severity.BLOCK, first[:300], why=why, remedy=_REMEDIES.get(part, ""))


_REMEDIES = {
    "arguments": "mend the manifest, and build again: bundle build MANIFEST",
    "model": "carry the model whole: leave `files` and `exclude` out of the manifest's model, and build again",
    "architecture": "name an image whose vLLM has it, or another model",
}


def _for_want_of_a_gpu(failed: said.Failed) -> bool:
    return any(_OF_A_GPU.search(text) for text in (failed.error, *failed.causes))
