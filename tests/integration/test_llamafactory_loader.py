"""LLaMA-Factory 0.9.3's own loader, on the kept cases: what `lock` says of a dataset is what the training will do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.world.tiny.repository import write_model
from tests.oracle.compare_datasets import LOADER, TEMPLATE, agree, ours, theirs
from tests.oracle.parquet_cases import CASES as PARQUET
from tests.oracle.process import Judge
from tests.unit.test_datasets import CASES

pytestmark = pytest.mark.timeout(900)  # the first makes the environment, and imports it


@pytest.fixture(scope="module")
def loader(trainer: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    """LLaMA-Factory's own loader, imported once, with the tokenizer of the tiny model."""
    model = tmp_path_factory.mktemp("hub") / "model"
    write_model(model)
    with Judge(trainer, LOADER, str(model), TEMPLATE) as judge:
        yield judge


def test_every_kept_case_is_judged_as_the_loader_itself_treats_it(loader: Judge, tmp_path: Path) -> None:
    differ = []
    for number, case in enumerate(CASES):
        path = tmp_path / str(number) / case["name"]
        path.parent.mkdir()
        path.write_bytes(case["body"].encode("latin-1"))
        description, stage = {"ranking": False} | case["info"], case["stage"]
        said, mine = theirs(loader, path, description, stage), ours(path, description, stage)
        if not agree(said, mine, stage):
            differ.append((case["name"], stage, said, mine))
    assert not differ


def test_every_kept_dataset_in_parquet_is_judged_as_the_loader_itself_treats_it(loader: Judge, tmp_path: Path) -> None:
    """Written by this environment's pyarrow, read by the training image's."""
    differ = []
    for number, case in enumerate(PARQUET):
        path = case.made(tmp_path / str(number))
        kept = {"raises": case.raises, "kept": case.kept, "dropped": case.dropped}
        said, mine = theirs(loader, path, case.description, case.stage), ours(path, case.description, case.stage)
        if not (agree(said, mine, case.stage) and agree(said, kept, case.stage)):
            differ.append((case.name, case.stage, said, mine))
    assert not differ
