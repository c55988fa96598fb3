"""`bundle plan`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

import click

from bundler.cli import options, plan_data
from bundler.core.errors import CheckRefused
from bundler.core.events import Events
from bundler.core.records import to_json
from bundler.core.size import format_size
from bundler.operations.plan import PlanResult


@click.command("plan")
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option("--config", "configs", multiple=True, metavar="MODEL=FILE", help="A model's config.json.")
@click.option("--tokenizer", "tokenizers", multiple=True, metavar="MODEL=FILE", help="A model's tokenizer.json.")
@options.store
@options.output
@options.running("plan")
def command(
    manifest: Path, configs: tuple[str, ...], tokenizers: tuple[str, ...], store: Path, output: str, events: Events
) -> None:
    """Say whether a manifest fits its GPUs, what would make it fit, and what becomes of its data. Fetches nothing.

    \b
    bundle plan manifests/qwen3-32b-l20x4.yaml --config base=Qwen3-32B/config.json
    bundle plan my-manifest.yaml              # models that a lock pins, or that are directories here
    bundle plan my-manifest.yaml --tokenizer base=Qwen3-32B/tokenizer.json -o json
    """
    from bundler.manifest.loader import load
    from bundler.operations.at_hand import AtHand
    from bundler.operations.judge_data import judge_datasets, require_usable
    from bundler.operations.plan import pinned_configs, plan
    from bundler.operations.token_lengths import Counting

    wanted = load(manifest)
    given = _by_model(configs, "--config", manifest, wanted.models)
    at_hand = AtHand.of(manifest, store)
    counting = Counting.of(wanted, _by_model(tokenizers, "--tokenizer", manifest, wanted.models), at_hand)
    data = judge_datasets(wanted, events, counting=counting, at_hand=at_hand)
    result = plan(wanted, {**pinned_configs(manifest, store), **given}, data)
    options.show(output, document(result), text(result))
    if not result.fits:
        raise CheckRefused(
            f"{manifest} does not fit GPUs of {format_size(result.gpu_bytes)}",
            because="the plan's predictions are above; docs/memory.md derives them",
            hint=f"bundle build {shlex.quote(str(manifest))}   # once changed; as it is: --accept memory",
        )
    require_usable(wanted, manifest, result.data, ())


def _by_model(
    options_: tuple[str, ...], option: str, manifest: Path, models: Mapping[str, object]
) -> Mapping[str, Path]:
    """What was given as MODEL=FILE."""
    given = {}
    for one in options_:
        name, equals, path = one.partition("=")
        if not equals:
            raise click.BadParameter(f"{one!r} does not read MODEL=FILE", param_hint=option)
        if name not in models:
            there = ", ".join(sorted(models))
            raise click.BadParameter(f"{manifest} has no model {name!r}; it has: {there}", param_hint=option)
        given[name] = Path(path)
    return given


def document(result: PlanResult) -> dict[str, object]:
    """A plan as data."""
    serve, train = result.serve, result.train
    return {
        "gpu_bytes": result.gpu_bytes,
        "gpus": result.gpus,
        "fits": result.fits,
        "train": to_json(train) if train else None,
        "data": {name: plan_data.document(verdict) for name, verdict in result.data.items()},
        "serve": {"per_gpu": to_json(serve), "verdict": "fits" if serve.fits else "does not fit"} if serve else None,
    }


def text(result: PlanResult) -> str:
    """A plan for people."""
    several = "s" if result.gpus > 1 else ""
    lines = [f"{result.gpus} GPU{several} of {format_size(result.gpu_bytes)}" if result.gpus else "a CPU"]
    if result.train:
        memory = result.train.per_gpu
        span = f"{format_size(memory.low_bytes)} to {format_size(memory.high_bytes)}"
        lines.append(
            f"train: {result.train.verdict}: peak {format_size(memory.peak_bytes)} ({span}) at {memory.moment}"
        )
        lines.append(f"  on the device {format_size(memory.device_bytes)}, with all that is outside torch's count")
        lines += [f"    {name}: {format_size(value)}" for name, value in memory.breakdown.items() if value]
        if not result.train.measured:
            lines.append(
                "  several GPUs, or numbers other than bf16: by formula, not compared with a GPU (docs/memory.md)"
            )
        lines += [f"  would fit: {one.change}: {format_size(one.peak_bytes)}" for one in result.train.advice]
        if counted := result.train.steps:
            lines.append(
                f"  {counted.total} steps of {counted.effective_batch} samples ({counted.per_epoch} an epoch), "
                f"{counted.samples} samples, {counted.warmup} steps of warm-up, {counted.checkpoints} checkpoints"
            )
    if result.serve:
        serve = result.serve
        lines.append(f"serve: {'fits' if serve.fits else 'does not fit'}: weights {format_size(serve.weights_bytes)}")
        lines.append(f"  KV cache {format_size(serve.kv_cache_bytes)}: {serve.kv_tokens} tokens")
        lines += [f"  {problem}" for problem in serve.problems]
    for name, verdict in result.data.items():
        lines += plan_data.text(name, verdict)
    return "\n".join(lines)
