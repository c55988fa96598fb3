"""`bundle plan`."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from bundler.cli import html, options, plan_data, plan_path
from bundler.core.errors import CheckRefused
from bundler.core.events import Events
from bundler.core.records import to_json
from bundler.core.size import format_size
from bundler.operations.plan import PlanResult
from bundler.planning.duration import StepName


@click.command("plan")
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option("--config", "configs", multiple=True, metavar="MODEL=FILE", help="A model's config.json.")
@click.option("--tokenizer", "tokenizers", multiple=True, metavar="MODEL=FILE", help="A model's tokenizer.json.")
@click.option(
    "--rate",
    "stated",
    type=plan_path.STEP_RATE,
    multiple=True,
    help="How fast a step goes: build=12MB/s, push=100MB/s, load=80MB/s. Without it a rate is assumed, or measured.",
)
@html.option
@options.store
@options.output
@options.running("plan")
def command(
    manifest: Path,
    configs: tuple[str, ...],
    tokenizers: tuple[str, ...],
    stated: tuple[tuple[StepName, int], ...],
    report: Path | None,
    store: Path,
    output: str,
    events: Events,
) -> None:
    """Say whether a manifest fits its GPUs, what would make it fit, and what becomes of its data. Fetches nothing.

    \b
    bundle plan manifests/qwen3-32b-l20x4.yaml --config base=Qwen3-32B/config.json
    bundle plan my-manifest.yaml              # models that a lock pins, or that are directories here
    bundle plan my-manifest.yaml --rate build=12MB/s --rate push=110MB/s
    bundle plan my-manifest.yaml --tokenizer base=Qwen3-32B/tokenizer.json -o json
    bundle plan my-manifest.yaml --html report.html   # one page, to look at and to hand on
    """
    from bundler.manifest.loader import load
    from bundler.operations.judge_data import all_held_back, judge_datasets, require_usable
    from bundler.operations.plan import plan
    from bundler.operations.plan_pinned import Pinned
    from bundler.operations.plan_rates import rates
    from bundler.operations.token_lengths import Counting

    said_again = [part for one in configs for part in ("--config", one)]
    said_again += [part for one in tokenizers for part in ("--tokenizer", one)]
    html.require_place(report, "plan", manifest, *said_again)
    wanted = load(manifest)
    given = _by_model(configs, "--config", manifest, wanted.models)
    pinned = Pinned.beside(wanted, manifest, store)
    counting = Counting.of(wanted, _by_model(tokenizers, "--tokenizer", manifest, wanted.models), pinned)
    data = judge_datasets(wanted, events, counting=counting, pinned=pinned)
    result = plan(wanted, {**pinned.configs(), **given}, data, pinned, rates(dict(stated)))
    held = all_held_back(wanted.train, result.data) if wanted.train else None
    said, lines = document(result, held), text(result)
    if report:
        from bundler.report import plan_page

        lines += "\n" + html.write_page(report, plan_page(said, f"{wanted.name}:{wanted.version}"))
    options.show(output, said, lines)
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


def document(result: PlanResult, held_back: str | None = None) -> dict[str, object]:
    """A plan as data. `findings` has what a page shows as such: that no sample is left, and what is not planned."""
    serve, train = result.serve, result.train
    held = {"severity": "block", "what": "No sample is left to train on.", "why": held_back, "remedy": ""}
    return {
        "gpu_bytes": result.gpu_bytes,
        "gpus": result.gpus,
        "fits": result.fits,
        "not_planned": dict(result.not_planned),
        "findings": [*([held] if held_back else []), *_not_planned_findings(result)],
        "steps": to_json(result.steps) if result.steps else None,
        "train": to_json(train) if train else None,
        "data": {name: plan_data.document(verdict) for name, verdict in result.data.items()},
        "serve": {"per_gpu": to_json(serve), "verdict": "fits" if serve.fits else "does not fit"} if serve else None,
        "evaluate": _evaluate(result),
        **plan_path.document(result),
    }


def _not_planned_findings(result: PlanResult) -> Iterator[dict[str, str]]:
    for what, why in result.not_planned.items():
        yield {"severity": "warn", "what": f"The memory of {what} is not planned.", "why": why}


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
            lines.append("  by formula: no such training was compared with a GPU (docs/memory.md)")
        lines += [f"  would fit: {one.change}: {format_size(one.peak_bytes)}" for one in result.train.advice]
    lines += _not_planned(result, "train")
    if counted := result.steps:
        lines.append(
            f"  {counted.total} steps of {counted.effective_batch} samples ({counted.per_epoch} an epoch), "
            f"{counted.samples} samples, {counted.warmup} steps of warm-up, {counted.checkpoints} checkpoints"
        )
    if result.serve:
        serve = result.serve
        lines.append(f"serve: {'fits' if serve.fits else 'does not fit'}: weights {format_size(serve.weights_bytes)}")
        lines.append(f"  KV cache {format_size(serve.kv_cache_bytes)}: {serve.kv_tokens} tokens")
        lines.append(f"  on the device {format_size(serve.peak_bytes)}, by formula, not compared with a GPU")
        lines += [f"  {problem}" for problem in serve.problems]
    lines += _not_planned(result, "serve")
    if result.evaluate:
        size = format_size(result.evaluate.device_bytes)
        does = "fits" if result.evaluate_fits else "does not fit"
        lines.append(f"evaluate: {does}: the whole model on each GPU, {size} on the device, by formula")
    for name, verdict in result.data.items():
        lines += plan_data.text(name, verdict)
    return "\n".join([*lines, *plan_path.lines(result)])


def _evaluate(result: PlanResult) -> dict[str, object] | None:
    if not result.evaluate:
        return None
    return {"per_gpu": to_json(result.evaluate), "verdict": "fits" if result.evaluate_fits else "does not fit"}


def _not_planned(result: PlanResult, what: str) -> list[str]:
    return [f"{what}: not planned: {result.not_planned[what]}"] if what in result.not_planned else []
