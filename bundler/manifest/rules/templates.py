"""Chat templates: LLaMA-Factory has them by name, and a model answers well only in its own.

It looks a name up when the job runs (LF 0.9.3, data/template.py, get_template_and_fix_tokenizer). A template that is
another model's raises nothing: the training goes well, and the answers are poor (LF#4639, #6736).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from bundler.manifest.artifacts import HubModel
from bundler.manifest.findings import KeyPath, Problem, shown
from bundler.manifest.rules.training import TEMPLATES_SINCE
from bundler.manifest.schema import Manifest
from bundler.manifest.serving import LlamaFactoryApi
from bundler.manifest.tables import templates
from bundler.manifest.version import Version


def known(manifest: Manifest) -> Iterator[Problem]:
    """The version has a template of that name. A version that we have no table of is not judged."""
    train = manifest.train
    if train:
        yield from _known(("train", "template"), train.template, train.llamafactory)
    for path, service in manifest.services_of(LlamaFactoryApi):
        yield from _known((*path, "template"), service.template, service.llamafactory_api)


def _known(path: KeyPath, name: str, version: Version) -> Iterator[Problem]:
    table = templates(str(version))
    since = TEMPLATES_SINCE.get(name)
    if table is None or name in table.names or (since and version < since):
        return  # the last is told by itself, with the version that has it
    near = next(iter(difflib.get_close_matches(name, sorted(table.names), n=1)), "")
    yield Problem(path, shown(name), f"a template of LLaMA-Factory {version}", "the job would end before it reads data",
                  near)  # fmt: skip


def own(manifest: Manifest) -> Iterator[Problem]:
    """Where LLaMA-Factory lists the model, its template is the one that it lists, or writes the same turns (without
    thoughts: qwen3_nothink; without pictures: qwen for qwen2_vl). `pt` has no turns to write.
    """
    train = manifest.train
    model = manifest.models.get(train.model) if train else None
    table = templates(str(train.llamafactory)) if train else None
    if not train or not table or not isinstance(model, HubModel) or train.stage == "pt":
        return
    if train.template not in table.names:
        return
    for origin in model.origins:
        repository = origin.source.partition("://")[2].partition("@")[0]
        listed = table.of_model.get(repository.lower())
        if listed and not table.same_turns(train.template, listed):
            because = f"LLaMA-Factory lists {repository} with it; with another one it trains, and answers badly"
            concerns = (("models", train.model), ("train", "model"))
            yield Problem(("train", "template"), shown(train.template), shown(listed), because, concerns=concerns)
            return


def prompts(manifest: Manifest) -> Iterator[Problem]:
    """`train_on_prompt` raises with templates that have no end of their own after an answer (data/template.py)."""
    train = manifest.train
    table = templates(str(train.llamafactory)) if train else None
    if train and table and train.train_on_prompt and train.template in table.efficient_eos:
        because = f"LLaMA-Factory refuses it with the template {train.template}"
        yield Problem(("train", "train_on_prompt"), "true", "false", because, concerns=(("train", "template"),))


RULES = (known, own, prompts)
