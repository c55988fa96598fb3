"""`bundle plan`."""

from __future__ import annotations

from pathlib import Path

import click

from bundler.cli import options
from bundler.core.errors import CheckRefused
from bundler.core.events import Events
from bundler.core.records import to_json
from bundler.core.size import format_size
from bundler.operations.plan import PlanResult


@click.command("plan")
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option("--config", "configs", multiple=True, metavar="MODEL=FILE", help="A model's config.json.")
@options.output
@options.running("plan")
def command(manifest: Path, configs: tuple[str, ...], output: str, events: Events) -> None:  # noqa: ARG001
    """Say what a manifest will take of each GPU's memory, and what would make it fit. Fetches nothing.

    \b
    bundle plan manifests/qwen3-32b-l20x4.yaml --config base=Qwen3-32B/config.json
    bundle plan my-manifest.yaml -o json   # models that are directories of this machine
    """
    from bundler.manifest.loader import load
    from bundler.operations.plan import plan

    given = {}
    for one in configs:
        name, equals, path = one.partition("=")
        if not equals:
            raise click.BadParameter(f"{one!r} does not read MODEL=FILE", param_hint="--config")
        given[name] = Path(path)
    result = plan(load(manifest), given)
    options.show(output, document(result), text(result))
    if not result.fits:
        raise CheckRefused(
            f"{manifest} does not fit GPUs of {format_size(result.gpu_bytes)}",
            because="the plan's predictions are above, derived in docs/memory.md",
        )


def document(result: PlanResult) -> dict[str, object]:
    """A plan as data."""
    serve, train = result.serve, result.train
    return {
        "gpu_bytes": result.gpu_bytes,
        "gpus": result.gpus,
        "fits": result.fits,
        "train": to_json(train) if train else None,
        "serve": {"per_gpu": to_json(serve), "verdict": "fits" if serve.fits else "does not fit"} if serve else None,
    }


def text(result: PlanResult) -> str:
    """A plan for people."""
    lines = [f"{result.gpus} GPU{'s' if result.gpus > 1 else ''} of {format_size(result.gpu_bytes)}"]
    if result.train:
        memory = result.train.per_gpu
        span = f"{format_size(memory.low_bytes)} to {format_size(memory.high_bytes)}"
        lines.append(
            f"train: {result.train.verdict}: peak {format_size(memory.peak_bytes)} ({span}) at {memory.moment}"
        )
        lines.append(f"  on the device {format_size(memory.device_bytes)}, with all that is outside torch's count")
        lines += [f"    {name}: {format_size(value)}" for name, value in memory.breakdown.items() if value]
        lines += [f"  would fit: {one.change}: {format_size(one.peak_bytes)}" for one in result.train.advice]
    if result.serve:
        serve = result.serve
        lines.append(f"serve: {'fits' if serve.fits else 'does not fit'}: weights {format_size(serve.weights_bytes)}")
        lines.append(f"  KV cache {format_size(serve.kv_cache_bytes)}: {serve.kv_tokens} tokens")
        lines += [f"  {problem}" for problem in serve.problems]
    return "\n".join(lines)
