"""What can't work, and can be seen in the manifest alone. Each rule carries its source.

LF is LLaMA-Factory's source at the version named, VW the vLLM 0.8.5.post1 wheel's. What needs the model's shape, the
data or the node is checked later: by `bundle plan` and `bundle check`.
"""

from __future__ import annotations

from collections.abc import Iterator

from bundler.manifest.findings import Problem
from bundler.manifest.rules import (
    bases,
    datasets,
    distribution,
    evaluation,
    extra_arguments,
    images,
    modules,
    names,
    offline,
    packages,
    server_flags,
    services,
    serving,
    stages,
    swanlab,
    target,
    templates,
    trainer_arguments,
    trainer_values,
    training,
)
from bundler.manifest.schema import Manifest

RULES = (
    *names.RULES,
    *target.RULES,
    *images.RULES,
    *bases.RULES,
    *training.RULES,
    *modules.RULES,
    *trainer_arguments.RULES,
    *trainer_values.RULES,
    *templates.RULES,
    *stages.RULES,
    *swanlab.RULES,
    *distribution.RULES,
    *extra_arguments.RULES,
    *offline.RULES,
    *packages.RULES,
    *datasets.RULES,
    *serving.RULES,
    *server_flags.RULES,
    *services.RULES,
    *evaluation.RULES,
)


def problems(manifest: Manifest) -> Iterator[Problem]:
    """All that is wrong with a manifest that the schema takes."""
    for rule in RULES:
        yield from rule(manifest)
