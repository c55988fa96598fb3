"""What is made of a model's config, tokenizer and template, and of its architecture in vLLM."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bundler.manifest.lock import Workload
from bundler.node.findings import Finding, Severity, good
from bundler.rehearsal import report as said
from bundler.rehearsal.probed import Probed, failed


def model(one: Probed) -> Iterator[Finding]:
    """Config, tokenizer and template."""
    config = next(one.report.all(said.Config), None)
    tokenizer = next(one.report.all(said.Tokenizer), None)
    broken = failed(one, "model")
    if config:
        of = "" if _there(one.workload) else " (of the base model: the trained one is not made yet)"
        names = ", ".join(config.architectures) or "no architecture named"
        yield good(one.named("config"), f"{config.model}, {names}{of}")
    if broken:
        yield replace(broken, check=one.named("tokenizer" if config else "config"))
        return
    if tokenizer is None or config is None:
        return
    yield _template(one, config, tokenizer)
    if one.workload.kind == "vllm" and not tokenizer.chat_template and _there(one.workload):
        yield Finding(
            one.named("chat-template"),
            Severity.WARN,
            "the tokenizer has no chat template",
            why="vLLM then refuses every chat request (transformers gives no default since 4.44)",
            remedy="carry the model's tokenizer_config.json or chat_template.jinja",
        )


def _there(workload: Workload) -> bool:
    """Whether its model is one that the bundle carries, and not what a job makes."""
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


def architecture(one: Probed) -> Iterator[Finding]:
    """What vLLM makes of the model; nothing of other workloads."""
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
    elif broken := failed(one, "architecture"):
        if registry and registry.known and broken.severity is Severity.UNREADABLE:
            known = ", ".join(registry.known)
            yield replace(broken, what=f"{known} is known; {broken.what}")
        else:
            yield broken
