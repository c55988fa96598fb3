"""Templates: one that writes other turns is refused, and one that a person may well choose is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from manifest_cases import assert_refused, manifest

from bundler.manifest.tables import templates
from bundler.planning.tables import templates as slots


def of(repository: str, template: str, version: str) -> dict[str, object]:
    return {
        "models.base": {"huggingface": repository},
        "train.template": template,
        "train.llamafactory": version,
    }


@pytest.mark.parametrize(
    ("repository", "template", "versions"),
    [
        ("Qwen/Qwen2.5-7B-Instruct", "qwen chatml", "0.9.3 0.9.4"),
        ("Qwen/Qwen2.5-7B", "qwen default empty alpaca", "0.9.3 0.9.4"),
        ("Qwen/Qwen3-8B", "qwen3 qwen", "0.9.3 0.9.4"),
        ("Qwen/Qwen3-8B", "qwen3_nothink", "0.9.4"),
        ("Qwen/Qwen3-4B-Instruct-2507", "qwen3 qwen3_nothink", "0.9.4"),
        ("Qwen/Qwen2.5-VL-7B-Instruct", "qwen2_vl qwen", "0.9.3 0.9.4"),  # on text alone
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-8B", "deepseekr1 deepseek3", "0.9.3 0.9.4"),  # without thoughts
        ("THUDM/GLM-Z1-9B-0414", "glmz1 glm4", "0.9.3"),
        ("google/gemma-2-9b-it", "gemma", "0.9.3 0.9.4"),
        ("google/gemma-2-9b-it", "gemma2", "0.9.4"),
        ("google/gemma-3-4b-pt", "gemma3 default", "0.9.3 0.9.4"),  # a base model
        ("meta-llama/Llama-3.2-11B-Vision", "mllama default", "0.9.3 0.9.4"),  # another
        ("mistralai/Mistral-7B-Instruct-v0.3", "mistral", "0.9.3 0.9.4"),
        ("acme/Qwen3-8B-tuned", "llama3", "0.9.3 0.9.4"),  # no one lists it
    ],
)
def test_a_template_that_fits_the_model_is_taken(repository: str, template: str, versions: str, tmp_path: Path) -> None:
    for version in versions.split():
        for name in template.split():
            manifest(tmp_path, of(repository, name, version))


@pytest.mark.parametrize("version", ["0.9.3", "0.9.4"])
@pytest.mark.parametrize(
    ("repository", "template", "listed"),
    [
        ("Qwen/Qwen3-8B", "llama3", "qwen3"),
        ("Qwen/Qwen3-8B", "default", "qwen3"),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", "qwen", "deepseekr1"),
        ("meta-llama/Meta-Llama-3-8B-Instruct", "llama2", "llama3"),
        ("google/gemma-3-4b-it", "qwen", "gemma3"),
    ],
)
def test_a_template_of_other_turns_is_refused(
    repository: str, template: str, listed: str, version: str, tmp_path: Path
) -> None:
    assert_refused(tmp_path, of(repository, template, version), "train.template", f"expected '{listed}'")


@pytest.mark.parametrize("version", ["0.9.3", "0.9.4", "0.9.5"])
def test_the_plan_writes_templates_as_the_rules_know_them(version: str) -> None:
    """Two tables are made of one source: of all templates' names and ends, and of what the plan can write."""
    known, written = templates(version), slots(version)
    assert known
    assert written.keys() <= known.names
    assert {name for name, one in written.items() if one.get("efficient_eos")} == known.efficient_eos & written.keys()


@pytest.mark.parametrize("version", ["0.9.3", "0.9.4", "0.9.5"])
def test_templates_that_are_alike_are_named_once_each(version: str) -> None:
    table = templates(version)
    assert table
    named = [name for group in table.alike for name in group]
    assert len(named) == len(set(named))
    assert set(named) <= table.names
