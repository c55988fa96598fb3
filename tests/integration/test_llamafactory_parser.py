"""LLaMA-Factory 0.9.3's own parser reads what is rendered, and what it refuses is refused before the gap."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bundler.manifest.loader import load
from bundler.manifest.schema import Manifest
from tests.oracle.argument_mistakes import REFUSED, SILENT, told, unchecked
from tests.oracle.parsing import PARSER, questions
from tests.oracle.process import Judge
from tests.unit.manifest_cases import manifest
from tests.unit.training_matrix import MATRIX

MANIFESTS = [path for path in sorted((Path(__file__).parents[2] / "manifests").glob("*.yaml")) if load(path).train]
API = {"image": "train", "llamafactory_api": "0.9.3", "model": "train", "name": "x", "template": "qwen3", "port": 80}
EVALUATED = {"datasets.test": {"path": "test.json"}, "evaluate": {"datasets": ["test"]}}
MORE = {
    "evaluated-and-answering": {**EVALUATED, "services.api": API},
    "evaluated-nf4": {**EVALUATED, "train.quantization": "nf4", "train.deepspeed": "z3-offload"},
    "one-gpu": {"target.count": 1, "serve.tensor_parallel": 1},
}

pytestmark = pytest.mark.timeout(900)  # the first makes the environment, and imports it


@pytest.fixture(scope="module")
def parser(trainer: Path) -> Iterator[Judge]:
    """LLaMA-Factory's own parser, imported once."""
    with Judge(trainer, PARSER) as judge:
        yield judge


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_every_yaml_of_a_manifest_is_taken(parser: Judge, path: Path, tmp_path: Path) -> None:
    assert_taken(parser, load(path), tmp_path)


@pytest.mark.parametrize("name", [*MATRIX, *MORE])
def test_every_yaml_of_every_kind_of_training_is_taken(parser: Judge, name: str, tmp_path: Path) -> None:
    assert_taken(parser, manifest(tmp_path, (MATRIX | MORE)[name]), tmp_path)


def assert_taken(parser: Judge, given: Manifest, directory: Path) -> None:
    """Each YAML passes, and the stage and method are those of the manifest."""
    for name, question in questions(given, directory):
        answer = parser.ask(question)
        assert answer["error"] is None, (name, answer["error"])
        if given.train and name == "train":
            assert answer["read"]["stage"] == given.train.stage
            assert answer["read"]["finetuning_type"] == given.train.method
            assert answer["read"]["learning_rate"] == given.train.learning_rate
            assert answer["read"]["quantization_bit"] == (4 if given.train.quantization == "nf4" else None)


@pytest.mark.parametrize(("changes", "words"), REFUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_what_the_parser_refuses_is_refused_before_the_gap(
    parser: Judge, changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    given = unchecked(tmp_path, changes)
    error = parser.ask(training(given, tmp_path))["error"]
    assert error
    assert words in error
    assert told(given, changes)


@pytest.mark.parametrize("changes", SILENT, ids=str)
def test_what_the_parser_takes_and_the_training_dies_of_or_ignores_is_refused_too(
    parser: Judge, changes: dict[str, Any], tmp_path: Path
) -> None:
    given = unchecked(tmp_path, changes)
    assert parser.ask(training(given, tmp_path))["error"] is None
    assert told(given, changes)


def training(given: Manifest, directory: Path) -> dict[str, Any]:
    """What train.yaml would say."""
    return dict(questions(given, directory))["train"]
